"""The head of Clerk's list: the users that were changed last, read until the changes are old enough.

Clerk has no filter for the time of a change, only an order, and for that order only offsets. Rows move while
they are read: a change takes its user to the front, and all others one place down, which does no harm; a
delete takes those behind it one place up, and out of the next page. So pages overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from clerksync.answers import Page
from clerksync.ceiling import Ceiling
from clerksync.exceptions import SyncIncomplete
from clerksync.paging import LIMIT, OVERLAP

#: Rows of the first page: enough while little has changed, and then there is no other.
FIRST = 100
_MAX_STEPS_BACK = 3
_MAX_RESTARTS = 2
_MAX_IDLE = 3


class Item(Protocol):
    """What has to be known of a user; one that cannot be parsed has the version 0, and perhaps no id ("")."""

    @property
    def clerk_id(self) -> str:
        """Clerk's id."""

    @property
    def updated_ms(self) -> int:
        """Clerk's ``updated_at``."""


ItemT = TypeVar("ItemT", bound=Item)


class Fetch(Protocol):
    """How a page is got: ``ClerkClient.list_users``, or a simulated list in a test."""

    def __call__(self, *, limit: int, order_by: str, offset: int) -> Page:
        """Return one page."""


class HeadPage(Struct, Generic[ItemT], frozen=True):
    """What one page brought that those before it had not: new users, or newer versions."""

    items: Sequence[ItemT]
    observed_ms: int | None


def read_head(
    *, fetch: Fetch, decode: Callable[[Page], Sequence[ItemT]], count: Callable[[], int], until_ms: int
) -> Iterator[HeadPage[ItemT]]:
    """Yield everybody who was changed at ``until_ms`` or later, and a few more, the last change first.

    Who is changed meanwhile may be missing, and is at the head of the next reading. ``count`` tells how many
    users there are; it is asked only if the list seems to have no end.

    Raises:
        SyncIncomplete: The pages do not join, come in another order, or never end.
    """
    head = _Head(fetch, decode, Ceiling(count), until_ms=until_ms)
    while not head.is_read:
        yield head.read()


class _Head(Generic[ItemT]):
    """How far the list has been read."""

    def __init__(
        self, fetch: Fetch, decode: Callable[[Page], Sequence[ItemT]], ceiling: Ceiling, *, until_ms: int
    ) -> None:
        self._fetch = fetch
        self._decode = decode
        self._ceiling = ceiling
        self._until_ms = until_ms
        self._known: dict[str, int] = {}
        #: Rows of Clerk's list up to the last one that was seen, and the last ones of them.
        self._position = 0
        self._tail: Sequence[ItemT] = ()
        self._limit = FIRST
        self._was_short = False
        self._restarts = 0
        self._idle = 0
        self.is_read = False

    def read(self) -> HeadPage[ItemT]:
        """Return the next page."""
        offset, page = self._get_joined()
        new = [item for item in page.items if self._note(item)]
        # Users without an id always count as new, so they prove nothing.
        self._idle = 0 if any(item.clerk_id for item in new) else self._idle + 1
        self.is_read = self._is_end(page, new)
        if self._idle > _MAX_IDLE and not self.is_read:
            raise SyncIncomplete(
                "Clerk ignores the offset, or sends no users with ids: the same page of users comes again and again"
            )
        self._position = offset + len(page.items)
        self._tail = page.items[-OVERLAP:]
        self._was_short = len(page.items) < self._limit
        self._limit = LIMIT
        return HeadPage(new, page.observed_ms)

    def _note(self, item: ItemT) -> bool:
        """Whether a user, or so new a version, was not seen; from now on it is."""
        if not item.clerk_id:
            return True
        if self._known.get(item.clerk_id, -1) >= item.updated_ms:
            return False
        self._known[item.clerk_id] = item.updated_ms
        return True

    def _is_end(self, page: HeadPage[ItemT], new: Sequence[ItemT]) -> bool:
        """Whether the rest is old enough, or there is none.

        A short page is not yet the end. It is if the next one, which begins with its last row, is that row.
        """
        last_ms = next((item.updated_ms for item in reversed(page.items) if item.updated_ms), None)
        if last_ms is not None and last_ms < self._until_ms:
            return True
        return not page.items or (self._was_short and not new and len(page.items) == 1)

    def _get_joined(self) -> tuple[int, HeadPage[ItemT]]:
        """Return the next page and its offset: so far back that no row lies between it and the last."""
        while self._position > 0:
            offset = self._position - min(self._position, 1 if self._was_short else OVERLAP)
            for _ in range(_MAX_STEPS_BACK + 1):
                page = self._get(offset)
                if offset == 0 or self._joins(page):
                    return offset, page
                offset = max(0, offset - LIMIT)
            self._start_again()
        return 0, self._get(0)

    def _start_again(self) -> None:
        self._restarts += 1
        if self._restarts > _MAX_RESTARTS:
            raise SyncIncomplete(
                "Clerk's list of changed users moves faster than it can be read: its pages do not join. "
                "Run the sync again"
            )
        self._position = 0

    def _joins(self, page: HeadPage[ItemT]) -> bool:
        """Whether the page shows a row again that was seen, or begins with a later change than the last one."""
        tail = {(item.clerk_id, item.updated_ms) for item in self._tail}
        if any((item.clerk_id, item.updated_ms) in tail for item in page.items):
            return True
        first = next((item.updated_ms for item in page.items if item.updated_ms), 0)
        last = next((item.updated_ms for item in reversed(self._tail) if item.updated_ms), 0)
        return 0 < last < first

    def _get(self, offset: int) -> HeadPage[ItemT]:
        page = self._fetch(limit=self._limit, order_by="-updated_at", offset=offset)
        items = self._decode(page)
        self._ceiling.add(len(items), seen=len(self._known))
        times = [item.updated_ms for item in items if item.updated_ms]
        if any(before < after for before, after in pairwise(times)):
            raise SyncIncomplete("Clerk ignored the order: its users do not come by the time of their change")
        return HeadPage(items, page.observed_ms)
