"""The sweep: a walk over all users, compared with the table page by page.

A page proves the range of ``created_at`` strictly below its last value; users at that
value wait for the next page and are compared as a set, since the order of ties is not
known. Whoever is in the table and not in the range is put in doubt, and judged by the
drain. Page and checkpoint are committed together, under the lease.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from functools import partial

from clerksync import mirror
from clerksync.answers import Page
from clerksync.client import ClerkClient, Walked
from clerksync.pages import Checkpoint, PageWriter, SweptPage, unreadable
from clerksync.payloads import Observation, unlisted
from clerksync.records import DELETED, Row
from clerksync.rows import is_below
from clerksync.seals import Head
from clerksync.tables import Window

#: So many cursors are kept, in case the last page's last user is deleted before a resume.
KEPT_CURSORS = 4
#: Why a user who is in the table is told of all the same.
_MISPLACED = "created_at contradicts the user's place in Clerk's list"

#: A user of a page, read in full or not.
Item = Observation | Head


class Sweep:
    """One walk, from the checkpoint on.

    Args:
        client: Clerk.
        checkpoint: Where to begin; moves on once a page is committed, never before.
        writer: How pages are written.
        mark_missing: Put users in doubt whom Clerk's list lacks.
    """

    def __init__(
        self, client: ClerkClient, checkpoint: Checkpoint, writer: PageWriter, *, mark_missing: bool = True
    ) -> None:
        self.client = client
        self.checkpoint = checkpoint
        self.writer = writer
        self.mark_missing = mark_missing
        #: Who was told of for a time that does not fit.
        self._misplaced: set[str] = set()
        #: Whether only the heads of the next page are read, on the thread that reads ahead.
        self._skims = True

    def pages(self) -> Generator[SweptPage]:
        """Walk to the end; each page is committed before it is yielded."""
        checkpoint = self.checkpoint
        walk = self.client.iter_pages(
            decode=self._decode,
            after=checkpoint.cursor,
            after_ms=checkpoint.cursor_ms,
            cursors=checkpoint.cursors,
            seen=checkpoint.seen,
        )
        with closing(walk):  # its thread reads ahead
            for walked in walk:
                if walked.is_last and checkpoint.seen == 0:
                    checkpoint.move_to(self._advanced(walked))
                    return  # an empty list proves nothing about those in the table
                swept = self.writer.write(partial(self._apply, walked))
                checkpoint.move_to(swept.checkpoint or checkpoint)
                self._misplaced |= walked.misplaced
                yield swept

    def _decode(self, page: Page) -> Sequence[Item]:
        """Users of whom most are as stored need not be read in full; others are best read here."""
        heads = self.writer.decode_heads(page) if self._skims else None
        return self.writer.decode(page) if heads is None else heads

    def _apply(self, walked: Walked[Item]) -> SweptPage:
        shown = {item.clerk_id for item in walked.items}
        rows = mirror.read(shown, self._window(walked))
        known = shown.union(self.checkpoint.border)
        missing = sorted(
            clerk_id for clerk_id, row in rows.items() if clerk_id not in known and row.state != DELETED
        )
        at_ms, by = walked.observed_ms or 0, self.writer.provenance
        doubted = [unlisted(one, observed_ms=at_ms, provenance=by) for one in missing if self.mark_missing]
        stored, read = self._complete(walked.items, rows)
        changes = self.writer.apply([*read, *doubted], rows)
        place = f"after {self.checkpoint.cursor}" if self.checkpoint.cursor else "of the list"
        told = sorted(walked.misplaced - self._misplaced)
        skipped = {**dict.fromkeys(told, (_MISPLACED,)), **unreadable(read, place=place)}
        advanced = self._advanced(walked)
        return SweptPage(read, rows, changes, skipped, tuple(missing), advanced, stored)

    def _complete(
        self, items: Sequence[Item], rows: Mapping[str, Row]
    ) -> tuple[list[Head], list[Observation]]:
        """Those who are as stored, and the others, read in full."""
        stored, read = [], []
        for item in items:
            if isinstance(item, Observation):
                read.append(item)
            elif self.writer.is_stored(item, rows.get(item.clerk_id)):
                stored.append(item)
            else:
                read.append(self.writer.complete(item))
        again = sum(
            item.seal != "" and item.seal == rows[item.clerk_id].seal
            for item in read
            if item.clerk_id in rows
        )
        self._skims = 2 * (len(stored) + again) >= len(items)
        return stored, read

    def _window(self, walked: Walked[Item]) -> Window | None:
        """The range that this page proves; none while nobody has a time."""
        if not walked.is_last and walked.cursor_ms is None:
            return None
        return Window(self.checkpoint.cursor_ms, None if walked.is_last else walked.cursor_ms)

    def _advanced(self, walked: Walked[Item]) -> Checkpoint:
        """The checkpoint after this page."""
        before = self.checkpoint
        same_border = walked.cursor_ms == before.cursor_ms
        border = {name: time for name, time in before.border.items() if same_border or time is not None}
        border |= {item.clerk_id: item.created_ms for item in walked.items if item.clerk_id}
        ids = dict.fromkeys(item.clerk_id for item in walked.items if item.clerk_id)
        nameless = sum(not item.clerk_id for item in walked.items)
        return Checkpoint(
            seen=before.seen + len(ids) + nameless,
            cursor=walked.cursor,
            cursor_ms=walked.cursor_ms,
            cursors=[*before.cursors, *ids][-KEPT_CURSORS:],
            border={name: time for name, time in border.items() if not is_below(time, walked.cursor_ms)},
            # Only the first page tells when the walk began.
            started_ms=walked.observed_ms if before.seen == 0 else before.started_ms,
            done=walked.is_last,
        )
