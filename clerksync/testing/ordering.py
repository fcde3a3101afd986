"""Sorted indexes over users: one order each, read in both directions."""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clerksync.testing.roster import Record

#: Missing last, the value, the tie-breaker, the id.
Key = tuple[bool, Any, float, str]

#: Draws another tie-breaker for a record.
Tie = Callable[["Record"], float]

#: The values that ``order_by`` may name, and where a record keeps them.
FIELDS: dict[str, Callable[[Record], Any]] = {
    "created_at": lambda record: record.created_at,
    "updated_at": lambda record: record.updated_at,
    "last_active_at": lambda record: record.last_active_at,
    "last_sign_in_at": lambda record: record.last_sign_in_at,
    "first_name": lambda record: record.first_name,
    "last_name": lambda record: record.last_name,
    "username": lambda record: record.username,
    "email_address": lambda record: next(iter(record.emails), None),
    "phone_number": lambda record: next(iter(record.phones), None),
    "web3wallet": lambda record: next(iter(record.wallets), None),
}


class Ordering:
    """The ids of users in ascending order of one field; missing values come last."""

    def __init__(self, field: str, records: Iterable[Record], *, tie: Tie | None = None) -> None:
        self._value = FIELDS[field]
        self._tie = tie
        self.keys = sorted(map(self._key, records))

    def add(self, record: Record) -> None:
        """Insert a record that is not in the index."""
        insort(self.keys, self._key(record))

    def discard(self, record: Record) -> None:
        """Take out a record that is in the index."""
        del self.keys[bisect_left(self.keys, self._key(record))]

    def lowest(self) -> Any:
        """Return the lowest value, or None if there is none."""
        return self.keys[0][1] if self.keys and not self.keys[0][0] else None

    def bounds(self, *, above: int | None, below: int | None) -> tuple[int, int]:
        """Return the slice of the keys whose values lie strictly between the two."""
        if above is None and below is None:
            return 0, len(self.keys)
        low = 0 if above is None else bisect_left(self.keys, (False, above + 1))
        high = bisect_left(self.keys, (True,) if below is None else (False, below))
        return low, max(low, high)

    def around(self, record: Record) -> tuple[int, int]:
        """Return where the keys before a record end, and where those after it begin."""
        key = self._key(record)
        return bisect_left(self.keys, key), bisect_right(self.keys, key)

    def _key(self, record: Record) -> Key:
        value = self._value(record)
        tie = record.tie if self._tie is None else self._tie(record)
        return (value is None, 0 if value is None else value, tie, record.clerk_id)


def shuffled_by(salt: str) -> Tie:
    """Return a tie-breaker that is another one for every salt."""
    start = zlib.crc32(salt.encode())
    return lambda record: zlib.crc32(record.clerk_id.encode(), start)
