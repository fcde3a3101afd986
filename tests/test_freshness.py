"""Whether what the table holds can be trusted on a page, pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clerksync.freshness import (
    INTERVAL,
    RETRY,
    Hints,
    Reason,
    age_of,
    between_reads,
    read_hints,
    why_read,
)
from clerksync.models import ClerkUser

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
NOTHING = Hints((), NOW_MS)
HOUR = timedelta(hours=1)


def row(**values: Any) -> ClerkUser:
    """An active user who was read an hour ago."""
    defaults = {"state": "active", "observed_ms": NOW_MS - 3_600_000, "first_name": "Isla"}
    return ClerkUser(clerk_id="user_a", **defaults | values)


def why(user: ClerkUser | None, **values: Any) -> Reason | None:
    """The rule, for a user whose data may be two hours old."""
    defaults: dict[str, Any] = {"hints": NOTHING, "age": HOUR, "refresh_after": 2 * HOUR, "is_due": True}
    return why_read(user, **defaults | values)


@pytest.mark.parametrize(
    ("user", "values", "expected"),
    [
        (None, {}, Reason.NEW),
        (row(state="incomplete"), {}, Reason.NEW),
        (row(state="deleted"), {}, Reason.DELETED),
        (row(doubt_reason="tie"), {}, Reason.DOUBT),
        (row(doubt_reason="tie"), {"is_due": False}, None),
        (row(), {"age": 2 * HOUR}, Reason.STALE),
        (row(), {"age": 2 * HOUR - timedelta(seconds=1)}, None),
        (row(), {"age": 99 * HOUR, "refresh_after": None}, None),
        (row(), {"age": timedelta(0), "refresh_after": timedelta(0)}, Reason.STALE),
        (row(), {"hints": Hints((("first_name", "Marin"),), NOW_MS)}, Reason.CLAIMS),
        (row(), {"hints": Hints((("first_name", "Isla"),), NOW_MS)}, None),
        (row(), {"hints": Hints((("email_verified", True),), NOW_MS)}, Reason.CLAIMS),
        (row(), {"hints": Hints((("email_verified", "false"),), NOW_MS)}, None),
        (row(), {}, None),
    ],
)
def test_why_read(user: ClerkUser | None, values: dict[str, Any], expected: Reason | None) -> None:
    """Each reason for itself, beside a neighbour that is none."""
    assert why(user, **values) is expected


def test_age_of__newest() -> None:
    """The newest of three times counts, each by its own clock."""
    user = row(checked_at=NOW - timedelta(minutes=40))
    half = NOW - timedelta(minutes=30)
    assert age_of(row(), now=NOW, now_ms=NOW_MS, scanned_at=None) == HOUR
    assert age_of(user, now=NOW, now_ms=NOW_MS, scanned_at=None) == timedelta(minutes=40)
    assert age_of(user, now=NOW, now_ms=NOW_MS, scanned_at=half) == timedelta(minutes=30)
    # Clerk's clock is two hours ahead of ours.
    assert age_of(user, now=NOW, now_ms=NOW_MS + 7_200_000, scanned_at=half) == timedelta(minutes=40)


def test_age_of__nobody_and_the_future() -> None:
    """Nobody is older than everything; what is yet to come is of this moment."""
    assert age_of(None, now=NOW, now_ms=NOW_MS, scanned_at=NOW) == timedelta.max
    assert age_of(row(observed_ms=NOW_MS + 5), now=NOW, now_ms=NOW_MS, scanned_at=None) == timedelta(0)


def test_read_hints__missing_values() -> None:
    """What Clerk writes for a value that is not there says nothing."""
    claims = {"a": "null", "b": "null Berg", "c": None, "d": "", "e": "nullable", "f": False}
    mapping = dict(
        zip(
            "abcdefg",
            ("email", "full_name", "username", "first_name", "last_name", "banned", "x"),
            strict=True,
        )
    )
    assert read_hints(claims, mapping, issued_ms=1) == Hints(
        (("last_name", "nullable"), ("banned", False)), 1
    )


def test_between_reads() -> None:
    """New users are tried again soon, others when they are no longer fresh."""
    assert between_reads(Reason.NEW, HOUR) == RETRY
    assert between_reads(Reason.STALE, HOUR) == HOUR
    assert between_reads(Reason.CLAIMS, None) == INTERVAL
    assert between_reads(Reason.DELETED, timedelta(0)) == INTERVAL
