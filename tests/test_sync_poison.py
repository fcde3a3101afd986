"""Users whom no database and no type would take: each costs only itself (I14)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from clerksync.models import ClerkUser
from clerksync.salvage import unescape_text
from clerksync.testing import FakeClerk, Request
from tests.syncing import Syncer, differences, on_each_database, table, told

pytestmark = pytest.mark.django_db


def spoiled_json(user: dict[str, Any], changes: dict[str, Any]) -> bytes:
    """The user's JSON with raw bytes in place of some values."""
    raw = {name: msgspec.Raw(value) if isinstance(value, bytes) else value for name, value in changes.items()}
    return msgspec.json.encode({**user, **raw})


POISONS: dict[str, dict[str, Any]] = {
    "nul": {"first_name": b'"a\\u0000b"', "public_metadata": b'{"\\u0000": "\\u0000"}'},
    "raw_nul": {"first_name": b'"a\x00b"'},
    "lone_surrogate": {"last_name": b'"\\ud800"', "unsafe_metadata": b'{"x": ["\\udfff\\ud800"]}'},
    "invalid_utf8": {"username": b'"caf\xe9"'},
    "invalid_utf8_elsewhere": {"locale": b'"\xff\xfe"'},
    "our_own_mark": {"first_name": "\u241b0000", "public_metadata": {"\u241b": "\u241bd800"}},
    "large": {"private_metadata": {"text": "0123456789abcdef" * 65_536}},
    "nested_150": {"public_metadata": b"[" * 150 + b"]" * 150},
    "nested_1000": {"public_metadata": b"[" * 1000 + b"]" * 1000},
    "nested_20000": {"public_metadata": b"[" * 20_000 + b"]" * 20_000},
    "unknown_enums": {
        "object": "person",
        "provider": 7,
        "email_addresses": [{"object": {}, "verification": {"status": "blue"}}],
    },
    "strings_for_numbers": {"created_at": "STRING", "updated_at": "STRING", "last_sign_in_at": "12x"},
    "negative_time": {"last_active_at": -5},
    "negative_creation": {"created_at": -5},
    "huge_creation": {"created_at": 10**30},
    "huge_time": {"last_sign_in_at": 10**18, "legal_accepted_at": b"1e400"},
    "latest_time": {"last_sign_in_at": 253_402_214_399_999},
    "fractional_times": {"created_at": "FRACTION", "updated_at": "FRACTION"},
    "huge_numbers": {
        "public_metadata": b'{"a": 1e400, "b": -1E+999, "c": 123456789012345678901234567890, "d": %s}'
        % (b"9" * 5000)
    },
    "odd_floats": {
        "public_metadata": b'{"a": 1e23, "b": -0.0, "c": 1e-300, "d": 1.0, "e": 5e-324, "f": 1e308}'
    },
    "list_for_object": {"public_metadata": [1, "two"], "email_addresses": {}},
    "objects_for_texts": {
        "first_name": {},
        "last_name": [],
        "username": 7,
        "image_url": True,
        "external_id": 4.5,
    },
    "texts_for_flags": {"banned": "perhaps", "locked": 3, "has_image": [], "two_factor_enabled": "true"},
    "broken_parts": {
        "phone_numbers": [5, None, {"id": 7}],
        "web3_wallets": "none",
        "external_accounts": [[]],
    },
    "nulls": dict.fromkeys(("email_addresses", "updated_at", "banned", "public_metadata", "has_image")),
    "long_texts": {"username": "u" * 9000, "external_id": "e" * 9000, "first_name": "f" * 9000},
    "long_id": {"id": "user_" + "x" * 300},
    "no_id": {"id": None},
    "number_for_id": {"id": 17},
    "nul_in_id": {"id": b'"user_\\u0000"'},
    "not_an_object": {"": b"[]"},
}


#: Those of which too little is left to be a row.
UNREADABLE = {
    "huge_creation", "list_for_object", "long_id", "negative_creation", "nested_20000", "no_id",
    "not_an_object", "nul_in_id", "nulls", "number_for_id",
}  # fmt: skip


def spoil(clerk: FakeClerk, clerk_id: str, name: str) -> None:
    """Have Clerk send this user as the poison says."""
    user = clerk.get(clerk_id)
    changes: dict[str, Any] = {
        key: str(user[key]) if value == "STRING" else user[key] + 0.5 if value == "FRACTION" else value
        for key, value in POISONS[name].items()
    }
    clerk.set_raw(clerk_id, changes[""] if "" in changes else spoiled_json(user, changes))


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("name", sorted(POISONS))
def test_full__one_poisoned_user(name: str) -> None:
    """I14: whatever one user looks like, the others arrive, on both databases, and the user is named."""
    for syncer in on_each_database():
        ids = syncer.clerk.create_users(5)
        spoil(syncer.clerk, ids[2], name)
        report = syncer.full()
        assert (report.error, report.counts["seen"]) == (None, 5)
        assert ClerkUser.objects.active().exclude(pk=ids[2]).count() == 4
        assert report.exit_status == (1 if name in UNREADABLE else 0)
        assert len(report.skipped) == report.counts["skipped"] == (1 if name in UNREADABLE else 0)
        assert told(syncer.full())["unchanged"] >= 4
    assert table("default") == table("other")


def test_full__only_poisoned_users(syncer: Syncer) -> None:
    """I14: all poisons on one page cost only themselves, and each is named."""
    ids = syncer.clerk.create_users(2 * len(POISONS))
    for number, name in enumerate(sorted(POISONS)):
        spoil(syncer.clerk, ids[2 * number + 1], name)
    report = syncer.full()
    assert report.error is None
    assert ClerkUser.objects.active().filter(pk__in=ids[::2]).count() == len(POISONS)
    assert report.exit_status == 1
    assert report.counts["skipped"] == len(report.skipped)
    unknown = ClerkUser.objects.exclude(pk__in=ids).values_list("pk", flat=True)
    assert not list(unknown)


def test_full__poison_does_not_spread(syncer: Syncer) -> None:
    """A user who turns bad keeps the good row, in doubt; when they are well again so is the row."""
    ids = syncer.clerk.create_users(3)
    syncer.full()
    good = table()[ids[1]]
    syncer.clerk.set_raw(ids[1], b'{"id": "%s", "email_addresses": "none"}' % ids[1].encode())
    report = syncer.full()
    assert (report.exit_status, list(report.skipped)) == (1, [ids[1]])
    bad = table()[ids[1]]
    assert (bad["email"], bad["state"], bad["payload_text"]) == (
        good["email"],
        "active",
        good["payload_text"],
    )
    syncer.clerk.set_raw(ids[1], None)
    syncer.clerk.advance(seconds=7 * 3600)
    assert syncer.full().exit_status == 0
    assert differences(syncer.clerk) == {}


def test_full__a_known_user_without_id(syncer: Syncer) -> None:
    """A user in the table whom Clerk now sends without an id is in doubt, never deleted, and stops nobody."""
    ids = syncer.clerk.create_users(6)
    syncer.full()
    syncer.clerk.set_raw(ids[1], b'{"first_name": "Nobody"}')
    syncer.clerk.delete_user(ids[4])
    report = syncer.full()
    assert report.error is None
    assert report.exit_status == 1
    assert list(ClerkUser.objects.deleted()) == list(ClerkUser.objects.filter(pk=ids[4]))
    assert list(ClerkUser.objects.needs_refresh().values_list("pk", flat=True)) == [ids[1]]


def test_full__two_users_without_id(syncer: Syncer) -> None:
    """Users of whom not even the id is known are counted one by one."""
    ids = syncer.clerk.create_users(4)
    syncer.clerk.set_raw(ids[0], b"{}")
    syncer.clerk.set_raw(ids[2], b"{}")
    report = syncer.full()
    assert (report.counts["skipped"], len(report.skipped), report.counts["created"]) == (2, 2, 2)


@pytest.mark.parametrize("name", ["nul", "raw_nul", "lone_surrogate", "invalid_utf8", "our_own_mark"])
def test_full__escaped_text_can_be_turned_back(syncer: Syncer, name: str) -> None:
    """What no database holds is stored in an escaped form that leads back to what Clerk sent."""
    clerk_id = syncer.clerk.create_user(username="usual")["id"]
    spoil(syncer.clerk, clerk_id, name)
    syncer.full()
    stored = ClerkUser.objects.get(pk=clerk_id)
    sent = json.loads(wire(syncer.clerk, clerk_id).decode("utf-8", "surrogateescape"), strict=False)
    for column in ("first_name", "last_name", "username"):
        assert unescape_text(getattr(stored, column)) == sent[column]
    for column in ("public_metadata", "unsafe_metadata"):
        assert unescaped(getattr(stored, column)) == sent[column]


def wire(clerk: FakeClerk, clerk_id: str) -> bytes:
    """What Clerk sends for a user."""
    return clerk.handle(
        Request("GET", f"/v1/users/{clerk_id}", headers={"Authorization": f"Bearer {clerk.secret_key}"})
    ).body


def unescaped(value: Any) -> Any:
    """Metadata as Clerk sent it."""
    match value:
        case str():
            return unescape_text(value)
        case list():
            return [unescaped(item) for item in value]
        case dict():
            return {unescape_text(key): unescaped(item) for key, item in value.items()}
        case _:
            return value
