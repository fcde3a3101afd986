"""Seals: what must be the same for a user of a list not to be read in full."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from clerksync.decisions import MAX_AHEAD_MS, fold, is_sealed
from clerksync.payloads import Kind, Parser, Source, blank
from clerksync.records import DELETED, INCOMPLETE, Doubt, Row
from clerksync.seals import Head, read_heads, seal
from tests.observed import T0, user_json

PARSER = Parser()
USER = user_json()
BODY = json.dumps([USER]).encode()


def stored(body: bytes = BODY, *, parser: Parser = PARSER) -> Row:
    """The row that a list writes."""
    [observation] = parser.parse_page(body, source=Source.LIST, observed_ms=T0 + 5)
    row = fold(None, [observation]).row
    assert row is not None
    return row


def head(body: bytes = BODY, *, observed_ms: int = T0 + 9) -> Head:
    """The head that a later list shows."""
    heads = PARSER.read_heads(body, observed_ms=observed_ms)
    assert heads is not None
    return heads[0]


def test_sealed__the_same_bytes() -> None:
    """A user who is listed as before is as stored."""
    assert is_sealed(stored(), head(), shaped=PARSER.shape)


@pytest.mark.parametrize(
    "changes",
    [
        {"watched": ("user_a@example.com", *stored().watched[1:])},
        {"watched": (*stored().watched[:-1], "User")},
        {"watched": (None, *stored().watched[1:])},
        {"doubt_reason": Doubt.TIE},
        {"state": DELETED},
        {"state": INCOMPLETE},
        {"digest": ""},
        {"digest": stored().digest + "0"},
        {"seal": ""},
        {"seal": stored().seal[:-1]},
        {"updated_ms": T0 - 1},
        {"updated_ms": T0 + 1},
        {"created_ms": None},
        {"created_ms": T0 + 1},
    ],
    ids=str,
)
def test_sealed__not_a_row_that_was_changed(changes: dict[str, Any]) -> None:
    """Whatever the apply rule looks at in a row is looked at."""
    assert not is_sealed(msgspec.structs.replace(stored(), **changes), head(), shaped=PARSER.shape)


@pytest.mark.parametrize("name", ["first_name", "banned", "last_active_at", "a_new_key", "private_metadata"])
def test_sealed__not_other_bytes(name: str) -> None:
    """A change that does not move ``updated_at`` is found, volatile or not, known or not."""
    assert not is_sealed(stored(), head(json.dumps([{**USER, name: "x"}]).encode()), shaped=PARSER.shape)


@pytest.mark.parametrize("parser", [Parser(store_payload=False), Parser(exclude=["last_name"])])
def test_sealed__not_under_other_settings(parser: Parser) -> None:
    """A row that was stored under other settings is written anew."""
    row = stored(parser=parser)
    assert is_sealed(row, head(), shaped=parser.shape)
    assert not is_sealed(row, head(), shaped=PARSER.shape)


def test_sealed__not_a_version_from_the_future() -> None:
    """A version that is not believed is a doubt each time."""
    assert is_sealed(stored(), head(observed_ms=T0 - MAX_AHEAD_MS), shaped=PARSER.shape)
    assert not is_sealed(stored(), head(observed_ms=T0 - MAX_AHEAD_MS - 1), shaped=PARSER.shape)


def test_sealed__not_without_a_row() -> None:
    """Nobody is stored who is not in the table."""
    assert not is_sealed(None, head(), shaped=PARSER.shape)


@pytest.mark.parametrize("source", [Source.WEBHOOK, Source.GET])
def test_seal__of_lists_only(source: Source) -> None:
    """The bytes of other sources are others: a seal of them would never fit."""
    assert PARSER.parse_user(json.dumps(USER).encode(), source=source, observed_ms=T0).seal == ""


def test_seal__goes_with_what_it_is_of() -> None:
    """A hash of somebody's data is not kept of whom nothing else is."""
    row = fold(stored(), [blank("user_a", Kind.ERASED, observed_ms=T0 + 9)]).row
    assert row is not None
    assert row.seal == ""


def test_seal__keeps_its_parts_apart() -> None:
    """No part can pass for another."""
    parts = [
        {"digest": "d", "watched": ("a", "b")},
        {"digest": "d", "watched": ("a', 'b",)},
        {"digest": "d", "watched": ("a", None)},
        {"digest": "d", "watched": ("a", "None")},
        {"digest": "d ('a',", "watched": ("b",)},
    ]
    assert len({seal("h", **part) for part in parts}) == len(parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "odd",
    [
        b"{}",
        b"[{}]",
        b"[1]",
        b"[" * 2000,
        b'[{"id": "user_a", "created_at": 1}]',
        b'[{"id": "user_a", "created_at": null, "updated_at": 1}]',
        b'[{"id": "user_a", "created_at": 1.5, "updated_at": 1}]',
        b'[{"id": "user_a", "created_at": -1, "updated_at": 1}]',
        b'[{"id": "user_a", "created_at": 1, "updated_at": 999999999999999}]',
        b'[{"id": "", "created_at": 1, "updated_at": 1}]',
        b'[{"id": "user\\u0000a", "created_at": 1, "updated_at": 1}]',
        '[{"id": "user_ä", "created_at": 1, "updated_at": 1}]'.encode(),
        b'[{"id": "%s", "created_at": 1, "updated_at": 1}]' % (b"a" * 256),
    ],
    ids=lambda body: body[:60].decode(),
)
def test_heads__none_of_an_odd_page(odd: bytes) -> None:
    """Whatever could be read otherwise in full is read in full, with its whole page."""
    assert read_heads(odd, observed_ms=1) is None
    assert read_heads(BODY[:-1] + b"," + odd[1:], observed_ms=1) is None


@pytest.mark.parametrize("key", ["id", "created_at", "updated_at"])
def test_heads__none_without_a_key(key: str) -> None:
    """Who leaves out a key that heads are made of reads in full."""
    assert Parser(exclude=[key]).read_heads(BODY, observed_ms=1) is None
