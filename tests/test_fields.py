"""The typed columns and the digest, pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given

from clerksync.fields import MAX_DEPTH, MAX_INDEXED, MAX_MS, build_fields, canonical_json, digest
from clerksync.wire import User
from tests.jsons import any_json
from tests.observed import user_json


def read(**changes: Any) -> User:
    """A user with these values."""
    return msgspec.convert(user_json(**changes), User)


def digest_of(**changes: Any) -> tuple[str, str]:
    """The stable and the volatile half."""
    user = read(**changes)
    stable, _, volatile = digest(user, build_fields(user)[0]).partition(":")
    return stable, volatile


@given(any_json)
@example([1e23, -0.0, 0.0, 1e308, 5e-324, 10**30, 1.5e16])
@example({"a": {"b": [1e22]}, "b": ",1e5"})
def test_canonical_json__stays_itself(value: Any) -> None:
    """What was stored and is read again is written in the same way, so that it never looks changed."""
    value = json.loads(json.dumps(value).encode("utf-8", "replace").replace(b"\\ud", b"\\u0d").decode())
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text
    assert json.loads(text) == value


@pytest.mark.parametrize(
    "number", [1e15, 1e16, 1e22, 1e23, 123456789012345678.0, 1.7976931348623157e308, -1e30]
)
def test_canonical_json__large_floats_are_integers(number: float) -> None:
    """PostgreSQL gives back the digits that it was given, so they are all given."""
    assert json.loads(canonical_json([number, 1e30])) == [int(number), int(1e30)]


@pytest.mark.parametrize(
    "name", ["created_at", "updated_at", "last_sign_in_at", "last_active_at", "legal_accepted_at"]
)
@pytest.mark.parametrize(
    ("ms", "is_kept"), [(0, True), (MAX_MS, True), (-1, False), (MAX_MS + 1, False), (10**30, False)]
)
def test_build_fields__times(name: str, ms: int, is_kept: bool) -> None:  # noqa: FBT001  # a parameter of pytest
    """What is no time is dropped, and said so."""
    user = read()
    setattr(user, name, ms)
    fields, dropped = build_fields(user)
    assert getattr(fields, name) == (ms if is_kept else None)
    assert dropped == (() if is_kept else (f"{name}: not a time in ms",))


@pytest.mark.parametrize("name", ["username", "external_id"])
def test_build_fields__indexed_texts(name: str) -> None:
    """What an index cannot hold is dropped; an empty text is none."""
    fields, dropped = build_fields(read(**{name: "x" * MAX_INDEXED}))
    assert (getattr(fields, name), dropped) == ("x" * MAX_INDEXED, ())
    fields, dropped = build_fields(read(**{name: "x" * (MAX_INDEXED + 1)}))
    assert (getattr(fields, name), dropped) == (None, (f"{name}: longer than {MAX_INDEXED} characters",))
    assert getattr(build_fields(read(**{name: ""}))[0], name) is None


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_build_fields__deep_metadata() -> None:
    """Metadata that is nested too deeply stays in the payload only; wide metadata is no deep one."""
    assert build_fields(read(public_metadata=nested(MAX_DEPTH)))[1] == ()
    fields, dropped = build_fields(read(public_metadata=nested(MAX_DEPTH + 1)))
    assert (fields.public_metadata, len(dropped)) == ("{}", 1)
    assert build_fields(read(public_metadata=[[]] * 5000))[1] == ()


@pytest.mark.parametrize("empty", [None, {}, [], "", 0, False])
def test_digest__empty_metadata_is_all_the_same(empty: Any) -> None:
    """List, get and webhook differ in null, {} and absent: no tie of that."""
    assert digest_of(public_metadata=empty) == digest_of()


@pytest.mark.parametrize(
    "name", ["phone_numbers", "web3_wallets", "external_accounts", "enterprise_accounts"]
)
def test_digest__empty_lists_are_absent(name: str) -> None:
    """Null, an empty list and no list are one."""
    assert digest_of(**{name: None}) == digest_of(**{name: []}) == digest_of()


def test_digest__order_of_addresses() -> None:
    """Two sources may list the addresses in different orders."""
    emails = [{"id": f"idn_{number}", "email_address": f"{number}@harbour-works.io"} for number in range(3)]
    assert digest_of(email_addresses=emails) == digest_of(email_addresses=emails[::-1])
    assert digest_of(email_addresses=emails) != digest_of(email_addresses=emails[:2])


@pytest.mark.parametrize("name", ["last_sign_in_at", "last_active_at"])
def test_digest__volatile_fields(name: str) -> None:
    """A sign-in changes the volatile half alone; ``updated_at`` changes neither."""
    assert digest_of(**{name: 5})[0] == digest_of()[0]
    assert digest_of(**{name: 5})[1] != digest_of()[1]
    assert digest_of(updated_at=5) == digest_of()


@pytest.mark.parametrize(
    "change",
    [
        {"first_name": "Eva"}, {"banned": True}, {"deprovisioned": True}, {"two_factor_enabled": True},
        {"totp_enabled": True}, {"public_metadata": {"a": 1}}, {"external_id": "7"}, {"created_at": 1},
        {"primary_email_address_id": None}, {"image_url": "https://img.test/"}, {"legal_accepted_at": 1},
        {"email_addresses": [{"id": "idn_1", "email_address": "ada@harbour-works.io"}]},
        {"external_accounts": [{"provider": "oauth_google", "provider_user_id": "1"}]},
    ],
)  # fmt: skip
def test_digest__stable_fields(change: dict[str, Any]) -> None:
    """Whatever an application may rely on changes the stable half."""
    assert digest_of(**change)[0] != digest_of()[0]
