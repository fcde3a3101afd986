"""Where a reading stops that would never end."""

from __future__ import annotations

import pytest

from clerksync.ceiling import LEEWAY, TIMES, Ceiling
from clerksync.exceptions import SyncIncomplete


def test_add__few_rows_ask_nobody() -> None:
    """Clerk is asked for its count once there are many rows, and then not soon again."""
    asked: list[int] = []

    def count() -> int:
        asked.append(1)
        return 5_000

    ceiling = Ceiling(count)
    ceiling.add(LEEWAY)
    assert asked == []
    for _ in range(5_000 * TIMES // 500):
        ceiling.add(500)
    assert asked == [1]
    with pytest.raises(SyncIncomplete, match="22500 rows were read, but there are 5000 users"):
        ceiling.add(500)
    assert asked == [1, 1]


def test_add__a_growing_list() -> None:
    """While Clerk counts more users the list may go on."""
    counted = iter(range(10_000, 1_000_000, 10_000))
    ceiling = Ceiling(lambda: next(counted))
    for _ in range(400):
        ceiling.add(500)


def test_add__short_pages() -> None:
    """Empty pages come to an end as well."""
    ceiling = Ceiling(lambda: 0)
    for _ in range(LEEWAY // 10):
        ceiling.add(0)
    with pytest.raises(SyncIncomplete):
        ceiling.add(0)


def test_add__count_too_high() -> None:
    """Where it is known how many users there are, a count that says more is not believed."""
    ceiling = Ceiling(lambda: 10**12)
    ceiling.add(LEEWAY, seen=10)
    with pytest.raises(SyncIncomplete, match="there are 10 users"):
        ceiling.add(TIMES * 10 + 1, seen=10)
