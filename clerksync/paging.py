"""A walk over all users in ascending ``created_at`` that notices when Clerk's list moves under it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Generic, Protocol

from msgspec import Struct
from msgspec.structs import replace

from clerksync.answers import Page
from clerksync.ceiling import Ceiling
from clerksync.exceptions import ClerkRejected, SyncIncomplete
from clerksync.rows import Batch, ItemT, Seen

#: What Clerk allows; 501 silently gives 10 rows.
LIMIT = 500
#: How many rows two pages share when they are counted off instead of followed by cursor.
OVERLAP = 10

#: Which of the last rows are tried as cursors as well, counted from the end, before rows are counted off.
_CURSORS = (1, 2, 3, 8, 64)
#: Answers to a cursor whose user is gone.
_CURSOR_GONE = frozenset({400, 404, 410, 422})
_MAX_LOST = 2
_MAX_STEPS_BACK = 3
_MAX_IDLE = 3


Decode = Callable[[Page], Sequence[ItemT]]


class Fetch(Protocol):
    """How a walk gets a page: ``ClerkClient.list_users``, or a simulated list in a test."""

    def __call__(
        self, *, limit: int, order_by: str, starting_after: str | None = None, offset: int | None = None
    ) -> Page:
        """Return one page."""


class Walked(Struct, Generic[ItemT], frozen=True):
    """One page of a walk: what the pages before did not hold.

    ``cursor`` and ``cursor_ms`` are what a later walk resumes after once these items
    are committed: all users below ``cursor_ms`` have been seen, and some of those from it on.
    ``misplaced`` are users whose own time contradicts their place. The last page is empty:
    it says that there are no more.
    """

    items: Sequence[ItemT]
    observed_ms: int | None
    cursor: str | None
    cursor_ms: int | None
    is_last: bool = False
    misplaced: frozenset[str] = frozenset()


def walk(
    *,
    fetch: Fetch,
    decode: Decode[ItemT],
    count: Callable[[], int],
    after: str | None = None,
    after_ms: int | None = None,
    cursors: Sequence[str] = (),
    seen: int = 0,
    limit: int = LIMIT,
) -> Iterator[Walked[ItemT]]:
    """Yield every user that is there during the whole walk, in order, page by page.

    A user who was created, or moved to another ``created_at``, during the walk may
    be missing. Only an empty page, proved by the row before it, ends the walk.

    Args:
        fetch: Reads one page.
        decode: Turns it into items.
        count: How many users there are; asked only if the list seems to have no end.
        after: Resume after this user, who was committed, as was everybody before.
        after_ms: That user's ``created_at``.
        cursors: Ids of users right before that one, the nearest last.
        seen: How many users were committed; without it rows are counted from the start, if need be.
        limit: Rows of a page.

    Raises:
        SyncIncomplete: The pages do not join, come in another order, or never end.
    """
    walker = _Walker(fetch, decode, Ceiling(count), limit=max(1, min(limit, LIMIT)))
    if after is not None:
        walker.resume([*(cursor for cursor in cursors if cursor != after), after], after_ms, position=seen)
    while True:
        batch = walker.read()
        if batch.items:
            rows = walker.seen
            yield Walked(batch.items, batch.observed_ms, rows.cursor, rows.border, misplaced=batch.misplaced)
        if batch.is_end:
            yield Walked((), batch.observed_ms, walker.seen.cursor, walker.seen.border, is_last=True)
            return


def count_is_plausible(*, seen: int, counted: int) -> bool:
    """Whether a walk that saw so many users can have been complete, by Clerk's count after it."""
    if seen == 0:
        return counted == 0
    return (counted - seen) * 1000 <= max(5000, counted)


class _Walker(Generic[ItemT]):
    """Where a walk stands."""

    def __init__(self, fetch: Fetch, decode: Decode[ItemT], ceiling: Ceiling, *, limit: int) -> None:
        self._fetch = fetch
        self._decode = decode
        self._ceiling = ceiling
        self._limit = limit
        #: Rows of Clerk's list up to the last one that was seen.
        self._position = 0
        self._page_size = limit
        self._cursors_lost = 0
        self.seen = Seen()

    def resume(self, ids: list[str], border: int | None, *, position: int) -> None:
        """Go on after rows that an earlier walk has seen."""
        self.seen.add([(clerk_id, None) for clerk_id in ids])
        self.seen.border = border
        self._position = position

    def read(self) -> Batch[ItemT]:
        """Return the next new items, by cursor if Clerk still knows one."""
        if self._position == 0 and self.seen.cursor is None:
            return self._read_first()
        if self._cursors_lost < _MAX_LOST:
            batch = self._read_after_cursor()
            if batch is not None:
                return batch
            self._cursors_lost += 1
        return self._read_by_offset()

    def _read_first(self) -> Batch[ItemT]:
        batch = self._get()
        if not batch.is_ascending:
            raise SyncIncomplete("Clerk ignored the order: the first page of users does not ascend")
        return self._step(batch, is_end=not batch.items)

    def _read_after_cursor(self) -> Batch[ItemT] | None:
        """Try the row below the border as the cursor, then others; None if no answer can be trusted.

        An empty page proves the end only if a page that was asked for later shows its
        cursor: it may be the answer to a cursor whose user is gone.
        """
        rows = self.seen.rows
        barren: dict[str, Batch[ItemT]] = {}
        for index in self._cursors(len(rows)):
            cursor = rows[index][0]
            batch = self._get_after(cursor)
            if batch is None or not self.seen.is_followed_by(batch, index=index):
                continue
            if self.seen.only_new(batch).ids:
                return self._step(batch)
            if proved := batch.ids & barren.keys():
                return self._step(barren[proved.pop()], is_end=True)
            if not batch.ids:
                barren[cursor] = batch
        return None

    def _cursors(self, known: int) -> list[int]:
        """Return the indexes of the rows to try as cursors, in this order."""
        if not known:
            return []
        indexes = [self.seen.anchor(), *(known - back for back in _CURSORS if back <= known)]
        return [index for index, _ in groupby(indexes)]

    def _get_after(self, cursor: str) -> Batch[ItemT] | None:
        try:
            return self._get(starting_after=cursor)
        except ClerkRejected as error:
            if error.status in _CURSOR_GONE:
                return None
            raise

    def _read_by_offset(self) -> Batch[ItemT]:
        """Count rows off instead, some of the last page's again to prove that none was skipped."""
        tail, furthest, idle, end = self.seen.cursor, 0, 0, None
        while idle < _MAX_IDLE:
            batch = self._get_joined()
            if self.seen.only_new(batch).ids:
                return self._accept(batch)
            # A resumed walk may have to pass over rows that were committed long ago.
            if batch.last_id != tail and self._position > furthest:
                tail, furthest, end = batch.last_id, self._position, None
                continue
            # Nothing behind, and then the same rows at the same place: none has moved up meanwhile.
            if end is not None and self._position >= end:
                return self._accept(batch, is_end=True)
            end = None if self._get(offset=self._position).items else self._position
            idle += 1
        raise SyncIncomplete(
            "Clerk ignores the cursor and the offset, or lists users by other times than it shows: the same page "
            "of users comes again"
        )

    def _get_joined(self) -> Batch[ItemT]:
        """Return the page at the position, or so far before it that its rows join those that were seen."""
        start = max(0, self._position - min(OVERLAP, max(1, self._page_size // 2)))
        for _ in range(_MAX_STEPS_BACK + 1):
            batch = self._get(offset=start)
            if batch.is_ascending and (start == 0 or self.seen.joins(batch)):
                self._position = start + len(batch.items)
                return batch
            start = max(0, start - self._limit)
        raise SyncIncomplete("the pages of users do not join, or come in another order")

    def _get(self, *, starting_after: str | None = None, offset: int | None = None) -> Batch[ItemT]:
        page = self._fetch(
            limit=self._limit, order_by="+created_at", starting_after=starting_after, offset=offset
        )
        batch = Batch.of(self._decode(page), page.observed_ms)
        self._ceiling.add(len(batch.items))
        self._page_size = len(batch.items) or self._page_size
        return batch

    def _step(self, batch: Batch[ItemT], *, is_end: bool = False) -> Batch[ItemT]:
        new = self._accept(batch, is_end=is_end)
        self._position += len(new.items)
        return new

    def _accept(self, batch: Batch[ItemT], *, is_end: bool = False) -> Batch[ItemT]:
        new = self.seen.only_new(batch)
        self.seen.add(new.rows)
        self.seen.move_border(batch)
        return replace(new, is_end=is_end)
