"""The rows of Clerk's list as a walk sees them: what one page holds, and what was seen before it."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Generic, Protocol, Self, TypeVar

from msgspec import Struct
from msgspec.structs import replace


class Item(Protocol):
    """What a walk has to know of a user; one that cannot be parsed has no time, and perhaps no id ("")."""

    @property
    def clerk_id(self) -> str:
        """Clerk's id."""

    @property
    def created_ms(self) -> int | None:
        """Clerk's ``created_at``."""


ItemT = TypeVar("ItemT", bound=Item)

#: Rows that a walk remembers: two pages.
MEMORY = 1000

#: One in so many users of a page may have a time that does not fit; else Clerk has ignored the order.
MISPLACED = 10

#: An id and its ``created_ms``.
Row = tuple[str, int | None]


class Batch(Struct, Generic[ItemT], frozen=True):
    """The items of one page, or the new ones among them.

    ``times`` are their ``created_ms``, None also of those that contradict their place among the others:
    of these ``misplaced`` has the ids.
    """

    items: Sequence[ItemT]
    times: Sequence[int | None]
    observed_ms: int | None
    misplaced: frozenset[str] = frozenset()
    is_end: bool = False

    @classmethod
    def of(cls, items: Sequence[ItemT], observed_ms: int | None) -> Self:
        """A page as it came."""
        told = [item.created_ms for item in items]
        times = fitting(told)
        misplaced = (item.clerk_id for item, own, time in zip(items, told, times, strict=True) if own != time)
        return cls(items, times, observed_ms, frozenset(misplaced))

    @property
    def ids(self) -> set[str]:
        """The ids that are known."""
        return {item.clerk_id for item in self.items if item.clerk_id}

    @property
    def rows(self) -> list[Row]:
        """The ids and times."""
        return [(item.clerk_id, time) for item, time in zip(self.items, self.times, strict=True)]

    @property
    def first_ms(self) -> int | None:
        """The first time that is known."""
        return next((time for time in self.times if time is not None), None)

    @property
    def last_id(self) -> str | None:
        """The last id that is known."""
        return next((item.clerk_id for item in reversed(self.items) if item.clerk_id), None)

    @property
    def is_ascending(self) -> bool:
        """Whether no row is older than the one before it, but for a few users whose own time is wrong."""
        return len(self.misplaced) <= max(1, len(self.items) // MISPLACED)


class Seen:
    """What a walk remembers: its last rows, and the time below which it has seen all."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque(maxlen=MEMORY)
        self._edge: int | None = None
        self.border: int | None = None

    @property
    def rows(self) -> list[Row]:
        """The last rows that have an id, in order."""
        return list(self._rows)

    @property
    def cursor(self) -> str | None:
        """The last id."""
        return self._rows[-1][0] if self._rows else None

    def add(self, rows: Sequence[Row]) -> None:
        """Remember rows that were seen."""
        self._rows.extend(row for row in rows if row[0])

    def move_border(self, batch: Batch[ItemT]) -> None:
        """Move the border on to the last time of a page but one.

        The last one is believed once others go beyond it: if it is wrong, and far too late, all
        users behind it would seem to have been seen.
        """
        times = {time for time in batch.times if time is not None}
        self._edge = max(times, default=self._edge)
        believed = (time for time in times if time != self._edge and not is_below(time, self.border))
        self.border = max(believed, default=self.border)

    def only_new(self, batch: Batch[ItemT]) -> Batch[ItemT]:
        """Return what was not seen; users without an id always count as new."""
        known = {clerk_id for clerk_id, _ in self._rows}
        new = [
            (item, time)
            for item, time in zip(batch.items, batch.times, strict=True)
            if item.clerk_id not in known and not is_below(time, self.border)
        ]
        return replace(batch, items=[item for item, _ in new], times=[time for _, time in new])

    def joins(self, batch: Batch[ItemT]) -> bool:
        """Whether a page begins among the rows that were seen, so that none lies between."""
        known = {clerk_id for clerk_id, _ in self._rows}
        return bool(batch.ids & known) or is_below(batch.first_ms, self.border)

    def anchor(self) -> int:
        """Return the index of the row to go on from: the last one before those of the last time, or the last.

        What comes after it is those rows once more, and then new ones. So rows that share a
        millisecond are read together, whatever their order, and a page that does not show
        them again is suspect.
        """
        rows = self.rows
        below = (index for index in reversed(range(len(rows))) if is_below(rows[index][1], self._edge))
        return next(below, len(rows) - 1)

    def is_followed_by(self, batch: Batch[ItemT], *, index: int) -> bool:
        """Whether a page can be what comes after the row at that index.

        It is not if the server ignored the cursor: then rows come again, or older ones.
        """
        rows = self.rows
        clerk_id, created_ms = rows[index]
        later = {later_id for later_id, _ in rows[index + 1 :]}
        # Rows of the same millisecond may have changed places.
        earlier = {row_id for row_id, row_ms in rows[:index] if created_ms is None or row_ms != created_ms}
        if not batch.is_ascending or batch.ids & (earlier | {clerk_id}):
            return False
        floor = self.border if created_ms is None and not batch.ids & later else created_ms
        return not is_below(batch.first_ms, floor)


def fitting(times: Sequence[int | None]) -> list[int | None]:
    """The times, but None for those that have to go so that the others, as many as possible, never fall."""
    known = [(place, time) for place, time in enumerate(times) if time is not None]
    if all(one[1] <= other[1] for one, other in pairwise(known)):
        return list(times)
    # A longest subsequence that never falls, by patience sorting: ``ends`` are the lowest times with which
    # one of each length can end, ``lasts`` their places, and ``before`` leads from a place to the one before.
    ends: list[int] = []
    lasts: list[int] = []
    before: dict[int, int | None] = {}
    for place, time in known:
        length = bisect_right(ends, time)
        before[place] = lasts[length - 1] if length else None
        ends[length : length + 1] = [time]
        lasts[length : length + 1] = [place]
    kept, at = set[int](), next(reversed(lasts), None)
    while at is not None:
        kept.add(at)
        at = before[at]
    return [time if place in kept else None for place, time in enumerate(times)]


def is_below(created_ms: int | None, border: int | None) -> bool:
    """Whether both are known and the first is less."""
    return created_ms is not None and border is not None and created_ms < border
