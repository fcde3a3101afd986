"""What a signed body says, when it happened, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Collection

import pytest

from clerksync.envelopes import MAX_AGE_MS, Event, keep, observe, parse_event
from clerksync.leaks import holds
from clerksync.payloads import Kind, Observation, Parser
from tests.deliveries import body_of
from tests.observed import T0, user_json


def observed(at: int, *, sent_ms: int = T0) -> Observation:
    """What the event of an update at that time says."""
    event = parse_event(body_of("user.updated", user_json(), at=at))
    seen = observe(event, Parser(), sent_ms=sent_ms, provenance="msg_1")
    assert seen is not None
    return seen


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        pytest.param(T0 + 7, T0 + 7, id="milliseconds, to the last one"),
        pytest.param(T0 // 1000, T0, id="seconds, as in the specification's examples"),
    ],
)
def test_observe__time(timestamp: int, expected: int) -> None:
    """The time of an event is in ms, whatever it was told in."""
    assert observed(timestamp).observed_ms == expected


def test_observe__age() -> None:
    """An event that is older than Svix's last try comes from a replay, and says too little to replace a row."""
    assert observed(T0, sent_ms=T0 + MAX_AGE_MS).full
    assert not observed(T0, sent_ms=T0 + MAX_AGE_MS + 1).full


def test_observe__delete_of_any_age() -> None:
    """A delete stays one."""
    event = parse_event(body_of("user.deleted", {"object": "user", "id": "user_a", "deleted": True}, at=T0))
    seen = observe(event, Parser(), sent_ms=T0 + 2 * MAX_AGE_MS, provenance="msg_1")
    assert seen is not None
    assert (seen.kind, seen.full) == (Kind.DELETED, True)


def kept(body: bytes, *, exclude: Collection[str] = ()) -> str:
    """What is kept of a body."""
    text = keep(parse_event(body), body, exclude=exclude)
    assert text is not None
    return text


#: Numbers and letters as Clerk writes them, and nobody else.
_AS_SENT = b'{"id": "user_a", "updated_at":1767225600000, "ratio": 1.50e2, "first_name": "Zo\xc3\xab", "a": "\\\\ \\""}'


def test_keep__as_clerk_sent_it() -> None:
    """Not a byte of the user is written anew; who was at the browser is left out."""
    attributes = b'"event_attributes": {"http_request": {"client_ip": "203.0.113.7"}}'
    text = kept(b'{"type": "user.updated", "data": %s, "timestamp": 17, %s}' % (_AS_SENT, attributes))
    assert _AS_SENT.decode() in text
    assert json.loads(text).keys() == {"type", "data", "timestamp"}


@pytest.mark.parametrize("name", [b"backup_codes", b"backup\\u005fcodes"], ids=["as it is", "escaped"])
@pytest.mark.parametrize(
    "event",
    [
        b'{"type": "user.updated", "data": %s}',
        b'{"type": "session.created", "data": {"id": "sess_1", "user": %s}}',
    ],
    ids=["user", "session"],
)
def test_keep__never_codes(name: bytes, event: bytes) -> None:
    """One-time codes are taken out of a user, and of a session's user."""
    text = kept(event % b'{"id": "user_a", "phone_numbers": [{"id": "idn_2", "%s": ["hush"]}]}' % name)
    assert "hush" not in text
    assert "idn_2" in text


def test_keep__attributes_with_an_escaped_name() -> None:
    """The name of what is left out may be escaped as well."""
    assert "secret" not in kept(
        b'{"type": "user.updated", "data": {"id": "u"}, "event\\u005fattributes": "secret"}'
    )


@pytest.mark.parametrize(
    "value",
    [b'"\\ud800"', b'"\xff"', b"NaN", b"1" * 400, b"[" * 900 + b"]" * 900],
    ids=["lone surrogate", "no UTF-8", "no number", "huge number", "deep"],
)
def test_keep__odd_values(value: bytes) -> None:
    """What the fast decoder refuses is kept as well, as text that both databases store."""
    text = kept(b'{"type": "user.updated", "data": {"id": "user_a", "x": %s}}' % value)
    assert "user_a" in text
    text.encode()


def test_keep__texts_are_found_again() -> None:
    """Whatever JSON may escape: an event of nobody that names a user is found by the user's texts."""
    for written in (b"Quay 4\\/5", b"Quay 4\\u002f5", b"Quay 4/5"):
        text = kept(b'{"type": "organization.created", "data": {"id": "org_1", "address": "%s"}}' % written)
        assert holds(text, ["Quay 4/5"])


def test_keep__nothing_of_excluded_parts() -> None:
    """CLERKSYNC_EXCLUDE_FIELDS holds for what is kept of events."""
    body = b'{"type": "user.updated", "data": {"id": "user_a", "private_metadata": {"plan": "hush"}}}'
    assert "hush" in kept(body)
    assert "hush" not in kept(body, exclude=["private_metadata"])
    assert "hush" not in kept(body, exclude=["private_metadata.plan"])


@pytest.mark.parametrize(
    ("data", "owner"),
    [
        (b'{"organization": {"public_metadata": {"user_id": "user_boss"}}, "user_id": "user_a"}', "user_a"),
        (
            b'{"public_inviter_data": {"user_id": "user_boss"}, "public_user_data": {"user_id": "user_a"}}',
            "user_a",
        ),
        (b'{"organization": {"public_metadata": {"user_id": "user_boss"}}}', ""),
        (b'{"user_id": "user a\\n"}', ""),
        (b'{"user_id": 7, "note": "\xff", "x": {"user_id": "user_a"}}', "user_a"),
    ],
)
def test_owner__of_the_object_itself(data: bytes, owner: str) -> None:
    """Whom metadata or the inviter name is somebody else; what is no JSON is searched as text."""
    event = Event(
        type="organizationMembership.created", data=data, timestamp_ms=1, instance_id="", object_id=""
    )
    assert event.user_id == owner
