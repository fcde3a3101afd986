"""The rows of Clerk's list as a walk sees them: what one page holds, and what was seen before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, Protocol, TypeVar


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

#: An id and its ``created_ms``.
Row = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Batch(Generic[ItemT]):
    """The items of one page, or the new ones among them."""

    items: Sequence[ItemT]
    observed_ms: int | None
    is_end: bool = False

    @property
    def ids(self) -> set[str]:
        """The ids that are known."""
        return {item.clerk_id for item in self.items if item.clerk_id}

    @property
    def first_ms(self) -> int | None:
        """The first ``created_ms`` that is known."""
        return next((item.created_ms for item in self.items if item.created_ms is not None), None)

    @property
    def last_id(self) -> str | None:
        """The last id that is known."""
        return next((item.clerk_id for item in reversed(self.items) if item.clerk_id), None)

    @property
    def is_ascending(self) -> bool:
        """Whether no row is older than the one before it."""
        times = [item.created_ms for item in self.items if item.created_ms is not None]
        return all(before <= after for before, after in pairwise(times))


class Seen:
    """What a walk remembers: its last rows, and the time below which it has seen all."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque(maxlen=MEMORY)
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
        """Remember the rows of one more page."""
        self._rows.extend(row for row in rows if row[0])
        times = [created_ms for _, created_ms in rows if created_ms is not None]
        self.border = max(times, default=self.border)

    def only_new(self, batch: Batch[ItemT]) -> Batch[ItemT]:
        """Return what was not seen; users without an id always count as new."""
        known = {clerk_id for clerk_id, _ in self._rows}
        items = [
            item
            for item in batch.items
            if item.clerk_id not in known and not is_below(item.created_ms, self.border)
        ]
        return Batch(items, batch.observed_ms)

    def joins(self, batch: Batch[ItemT]) -> bool:
        """Whether a page begins among the rows that were seen, so that none lies between."""
        known = {clerk_id for clerk_id, _ in self._rows}
        return bool(batch.ids & known) or is_below(batch.first_ms, self.border)

    def anchor(self) -> int:
        """Return the index of the row to go on from: the last one below the border, or the last.

        What comes after it is the border's own rows once more, and then new ones. So rows
        that share a millisecond are read together, whatever their order, and a page that
        does not show the border again is suspect.
        """
        rows = self.rows
        below = (index for index in reversed(range(len(rows))) if is_below(rows[index][1], self.border))
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


def is_below(created_ms: int | None, border: int | None) -> bool:
    """Whether both are known and the first is less."""
    return created_ms is not None and border is not None and created_ms < border
