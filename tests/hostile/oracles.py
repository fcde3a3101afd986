"""What must hold of any bytes: only documented errors, results that can be stored, and no blow-up in time."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from django.test import override_settings

from clerksync import envelopes, salvage, token_rules, webhooks
from clerksync.claims import Claims
from clerksync.envelopes import parse_event
from clerksync.exceptions import ClerkUnavailable, PayloadError, TokenError, WebhookError
from clerksync.fields import MAX_MS, UserFields
from clerksync.payloads import Observation, Parser, Source
from clerksync.testing.deliveries import WEBHOOK_SECRET
from clerksync.token_rules import Rules
from clerksync.tokens import Verifier
from tests.hostile.forging import signature
from tests.observed import T0, user_json

#: Seconds of processor time, and seconds a byte: a hundred times what it takes.
_BASE, _EACH = 0.5, 2e-5
_PARSERS = (
    Parser(),
    Parser(exclude=["private_metadata", "email_addresses.email_address"]),
    Parser(store_payload=False),
)
_NOW = 1_800_000_000.0


def take_user(data: bytes) -> None:
    """``parse_user`` and ``parse_page``, under several settings."""
    began = time.process_time()
    for parser in _PARSERS:
        try:
            seen = parser.parse_user(data, source=Source.WEBHOOK, observed_ms=T0)
        except PayloadError:
            pass
        else:
            check_observation(seen)
            again = parser.parse_user(data, source=Source.WEBHOOK, observed_ms=T0)
            assert again == seen
        try:
            page = parser.parse_page(b"[%b]" % data, source=Source.LIST, observed_ms=None)
        except PayloadError:
            continue
        for one in page:
            if one.clerk_id and one.fields is not None:
                check_observation(one)
    check_time(began, data)


def take_event(data: bytes) -> None:
    """``parse_event``, and what it says of a user."""
    began = time.process_time()
    try:
        event = parse_event(data)
        assert 0 < len(event.type) <= 100
        assert event.type.isprintable()
        check_text(event.instance_id, event.object_id)
        if event.timestamp_ms is not None:
            datetime.fromtimestamp(event.timestamp_ms / 1000, UTC)
        check_text(salvage.dump_object(salvage.load_object(data), without=["data.private_metadata"]))
        event.decode_data()
        seen = envelopes.observe(event, _PARSERS[0], sent_ms=T0, provenance="msg_1")
        if seen is not None:
            check_observation(seen)
    except PayloadError:
        pass
    check_time(began, data)


def take_delivery(data: bytes) -> None:
    """``webhooks.verify``: the first three lines are headers, the rest is the body; then truly signed."""
    began = time.process_time()
    lines = data.split(b"\n", 3)
    lines += [b""] * (4 - len(lines))
    names = "svix-id", "svix-timestamp", "svix-signature"
    headers = {name: line.decode("latin-1") for name, line in zip(names, lines[:3], strict=True)}
    body = lines[3]
    fresh = str(int(time.time()))
    with override_settings(CLERK_WEBHOOK_SIGNING_SECRET=WEBHOOK_SECRET):
        timely = {**headers, "svix-timestamp": fresh}
        for given in (headers, timely, {**timely, "svix-id": "m"}):
            check_refused(body, given)
        if not _is_text(body):
            return
        signed = {"svix-id": "m", "svix-timestamp": fresh, "svix-signature": signature(body, "m", fresh)}
        assert webhooks.verify(body, signed).svix_id == "m"
    check_time(began, data)


def check_refused(body: bytes, headers: dict[str, str]) -> None:
    """What nobody signed is not accepted."""
    status = 200
    try:
        webhooks.verify(body, headers)
    except WebhookError as refused:
        status = refused.status
    assert status == 400


class _NoKeys:
    """A source that knows no key."""

    edition = 0

    def find(self, kid: str | None) -> None:
        return None

    def find_other(self, kid: str | None, than: object) -> None:
        return None


# The first one takes a second, for svix is imported then.
webhooks.sign(b"", svix_id="msg_1", secret=WEBHOOK_SECRET)
_verifier = Verifier(rules=Rules(issuers=frozenset(["https://clerk.harbour.test"])), source=_NoKeys())


def take_token(data: bytes) -> None:
    """``tokens.verify`` of any text, of any header and claims, and the rules as if they were signed."""
    began = time.process_time()
    header, _, claims = data.partition(b"\n")
    encoded = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, claims))
    for token in (data.decode("latin-1"), ".".join([*encoded, "AAAA"])):
        said = ""
        try:
            _verifier.verify(token, now=_NOW)
        except (TokenError, ClerkUnavailable) as refused:
            said = str(refused)
        assert 0 < len(said) < 500
        assert said.isprintable()
    try:
        raw = msgspec.json.decode(claims, type=dict[str, object])
        Rules(audiences=frozenset(["a"])).check(raw, now=_NOW)
        accepted = Claims.of(raw)
        assert accepted.user_id
        assert token_rules.valid_from(raw) <= _NOW < token_rules.valid_until(raw)
        hash(accepted)
    except (TokenError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        pass
    check_time(began, data)


def check_observation(seen: Observation) -> None:
    """A database takes it as it is."""
    assert 0 < len(seen.clerk_id) <= 255
    check_text(seen.clerk_id, seen.payload or "", *seen.problems)
    assert 0 <= seen.updated_ms <= MAX_MS
    assert -(2**63) <= seen.observed_ms < 2**63
    if seen.payload is not None:
        salvage.load_object(seen.payload.encode())
    if seen.fields is not None:
        check_fields(seen.fields)


def check_fields(fields: UserFields) -> None:
    """Texts have no NUL and no half characters, times fit into datetime, metadata is JSON."""
    for name in fields.__struct_fields__:
        value = getattr(fields, name)
        if isinstance(value, str):
            check_text(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            datetime.fromtimestamp(value / 1000, UTC)
    for text in (fields.public_metadata, fields.private_metadata, fields.unsafe_metadata):
        assert "\\u0000" not in text.replace("\\\\", "")
        json.loads(text)


def check_text(*texts: str) -> None:
    """PostgreSQL stores it."""
    for text in texts:
        assert "\x00" not in text
        text.encode()


def check_time(began: float, data: bytes) -> None:
    """No more than so much for each byte."""
    assert time.process_time() - began < _BASE + _EACH * len(data), f"slow, of {len(data)} bytes"


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


ORACLES: dict[str, Callable[[bytes], None]] = {
    "users": take_user,
    "events": take_event,
    "deliveries": take_delivery,
    "tokens": take_token,
}

_USER = json.dumps(
    {**user_json(), "public_metadata": {"a": [1, 2.5, None, True, "x"]}, "phone_numbers": []}
).encode()
_CLAIMS = {"sub": "user_a", "sid": "sess_a", "iat": _NOW, "exp": _NOW + 60, "iss": "https://clerk.harbour.test",
           "v": 2, "o": {"id": "org_1", "rol": "admin", "per": "a,b", "fpm": "3,1"}, "fea": "o:x,u:y,o:z"}  # fmt: skip

SEEDS: dict[str, list[bytes]] = {
    "users": [_USER, _USER.replace(b'"Ada"', b'"\\u0000\\ud800\\u241b"'), b'{"id":"user_a"}', b"{}"],
    "events": [
        b'{"type":"user.updated","timestamp":1767225600,"instance_id":"ins_1","data":%b}' % _USER,
        b'{"type":"session.created","timestamp":1767225600000,"data":{"id":"sess_1","user":%b}}' % _USER,
        b'{"type":"user.deleted","timestamp":1e12,"data":{"id":"user_\\u0000","deleted":true}}',
    ],
    "deliveries": [
        b'msg_1\n1767225600\nv1,AAAA v1a,BBBB\n{"type":"a"}',
        b"msg_1\n1\nv1,%s\n[[1]]" % (b"A" * 44),
    ],
    "tokens": [
        b'{"alg":"RS256","kid":"ins_1","typ":"JWT"}\n' + json.dumps(_CLAIMS).encode(),
        b"a.b.c",
        b"ak_1",
    ],
}
