"""Where a reading of Clerk's list stops that would never end: pages may go in a circle, or users be made up."""

from __future__ import annotations

from collections.abc import Callable

from clerksync.exceptions import SyncIncomplete

#: So many rows are read before anybody asks how many users there are.
LEEWAY = 2_000
#: Pages overlap, and some are read again: so many times the users may come.
TIMES = 4
#: A shorter page costs as much.
_SHORT = 10


class Ceiling:
    """Counts the rows that were read; ``count`` says how many users Clerk has, and is seldom asked."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._rows = 0
        self._most = LEEWAY

    def add(self, rows: int, *, seen: int | None = None) -> None:
        """Count a page's rows; short pages count as longer ones.

        Args:
            rows: How many it has.
            seen: How many different users all pages have had; None if nobody knows.

        Raises:
            SyncIncomplete: They are more than there can be.
        """
        self._rows += max(_SHORT, rows)
        if self._rows <= self._most:
            return
        counted = self._count()
        users = counted if seen is None else min(counted, seen)
        self._most = LEEWAY + TIMES * max(0, users)
        if self._rows > self._most:
            raise SyncIncomplete(
                f"Clerk's list of users does not end: {self._rows} rows were read, but there are {users} users; "
                f"nobody was deleted. Try again later"
            )
