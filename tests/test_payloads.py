"""JSON from Clerk turned into observations, pure: tolerant of anything, and nothing is made up."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clerksync.exceptions import PayloadError
from clerksync.fields import build_fields, digest
from clerksync.payloads import Observation, Parser, Source
from clerksync.salvage import read_user
from clerksync.testing import FakeClerk, every_shape
from clerksync.wire import User, decode_user
from tests.jsons import any_json
from tests.observed import T0, user_json

NAMES = sorted({*User.__struct_fields__, "object", "locale", "saml_accounts"})
anything_for_a_user = st.dictionaries(st.sampled_from(NAMES), any_json, max_size=6)


def parse(value: Any, parser: Parser | None = None) -> Observation:
    """What is seen of one user."""
    return (parser or Parser()).parse_user(json.dumps(value).encode(), source=Source.LIST, observed_ms=T0 + 5)


def parse_page(body: bytes, parser: Parser | None = None) -> list[Observation]:
    """What is seen of a page."""
    return (parser or Parser()).parse_page(body, source=Source.LIST, observed_ms=T0 + 5)


@given(anything_for_a_user)
def test_parse__any_value_in_any_place(changes: dict[str, Any]) -> None:
    """Whatever stands in a user, an observation comes out or a PayloadError, and it can be stored."""
    try:
        seen = parse(user_json() | changes)
    except PayloadError:
        return
    stored = msgspec.json.encode(seen)
    assert b"\\u0000" not in stored.replace(b"\\\\u0000", b"")
    assert seen.payload is not None
    seen.payload.encode()
    assert json.loads(seen.payload)["id"] is not None


@given(st.binary(max_size=60) | any_json.map(lambda value: json.dumps(value).encode()))
def test_parse__any_bytes(body: bytes) -> None:
    """No answer at all raises anything else than a PayloadError."""
    for parser in (Parser(), Parser(exclude=["private_metadata"])):
        for element in (body, b"[%s]" % body):
            try:
                parse_page(element, parser)
                parser.parse_user(element, source=Source.GET, observed_ms=None)
            except PayloadError:
                pass


@given(st.lists(anything_for_a_user, min_size=1, max_size=4))
def test_parse_page__neighbours_of_anything(odd: list[dict[str, Any]]) -> None:
    """Users beside a poisoned one are read in full, each in their place."""
    users: list[dict[str, Any]] = []
    for number, changes in enumerate(odd):
        users += [user_json(f"user_{number}"), user_json(f"odd_{number}") | changes]
    seen = parse_page(json.dumps(users).encode())
    assert len(seen) == len(users)
    good = [observation for observation in seen[::2] if observation.full and not observation.problems]
    assert [observation.clerk_id for observation in good] == [f"user_{number}" for number in range(len(odd))]


def test_parse__both_ways_agree() -> None:
    """The fast and the careful way see the same in users of every shape."""
    clerk = FakeClerk(seed=2)
    every_shape(clerk)
    clerk.create_users(30)
    for user in clerk.users():
        raw = json.dumps(user).encode()
        fast, (careful, _, problems) = decode_user(raw), read_user(raw)
        assert (careful, problems) == (fast, ())
        assert digest(fast, build_fields(fast)[0]) == digest(careful, build_fields(careful)[0])


def test_digest__order_of_keys() -> None:
    """The same user with the keys in another order is the same user."""
    user = user_json(public_metadata={"a": {"b": 1, "c": 2}, "d": 3})
    keys = list(user)
    random.Random(4).shuffle(keys)
    other = {key: user[key] for key in keys} | {"public_metadata": {"d": 3, "a": {"c": 2, "b": 1}}}
    assert parse(user).digest == parse(other).digest


def test_digest__says_under_which_settings() -> None:
    """Rows that were stored under other settings are known by their digest."""
    parsers = [
        Parser(),
        Parser(exclude=["private_metadata"]),
        Parser(exclude=["private_metadata.a"]),
        Parser(store_payload=False),
    ]
    shapes = {parse(user_json(), parser).digest.partition(":")[0] for parser in parsers}
    assert shapes == {parser.shape for parser in parsers}
    assert len(shapes) == len(parsers)


EXCLUDED = (
    "private_metadata", "unsafe_metadata.notes", "email_addresses", "phone_numbers.phone_number", "first_name",
    "external_accounts.email_address", "external_id", "web3_wallets",
)  # fmt: skip


@given(anything_for_a_user, st.sampled_from(EXCLUDED))
def test_exclude__no_trace(changes: dict[str, Any], path: str) -> None:
    """The value of an excluded part is nowhere in what is stored, whatever else the user holds."""
    top, _, inner = path.partition(".")
    hidden: Any = "SECRET-VALUE" if top in {"first_name", "external_id"} else {"x": ["SECRET-VALUE"]}
    user = user_json() | changes | {top: [{inner: hidden}, {inner: hidden, "id": "i"}] if inner else hidden}
    stored = ""
    try:
        stored = msgspec.json.encode(parse(user, Parser(exclude=[path]))).decode()
    except PayloadError as error:
        stored = str(error)
    assert "SECRET" not in stored


def test_store_payload__off() -> None:
    """Without payloads nothing but the columns is kept."""
    seen = parse(user_json(locale="de-DE"), Parser(store_payload=False))
    assert seen.payload is None
    assert b"de-DE" not in msgspec.json.encode(seen)


@pytest.mark.parametrize(
    "odd", [{}, {"first_name": "\u0000"}, {"first_name": "\ud800"}, {"banned": "perhaps"}]
)
@pytest.mark.parametrize("parser", [Parser(), Parser(exclude=["private_metadata"])])
def test_backup_codes__never_stored(odd: dict[str, Any], parser: Parser) -> None:
    """One-time codes are dropped on every way through the parser."""
    phone = {"id": "idn_2", "phone_number": "+4930123456", "backup_codes": ["SECRET-1", "SECRET-2"]}
    user = user_json(phone_numbers=[phone], primary_phone_number_id="idn_2", **odd)
    for seen in (parse(user, parser), *parse_page(json.dumps([user, user_json("user_b")]).encode(), parser)):
        assert b"SECRET" not in msgspec.json.encode(seen)
    assert parse(user, parser).fields is not None


@pytest.mark.parametrize("missing", ["created_at", "updated_at", "email_addresses"])
def test_full__needs(missing: str) -> None:
    """A user without a version, a time of creation or addresses is too little for a row."""
    user = user_json()
    del user[missing]
    assert not parse(user).full
    assert not parse(user_json(**{missing: "perhaps"})).full


def test_observed__without_a_date() -> None:
    """Without a date the snapshot is as old as the version, so that it wins no tie."""
    [seen] = Parser().parse_page(json.dumps([user_json()]).encode(), source=Source.LIST, observed_ms=None)
    assert (seen.updated_ms, seen.observed_ms) == (T0, T0)
