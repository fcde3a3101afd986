"""The sweep: a walk over all users, compared with the table page by page.

A page proves the range of ``created_at`` strictly below its last value; users at that
value wait for the next page and are compared as a set, since the order of ties is not
known. Whoever is in the table and not in the range is put in doubt, and judged by the
drain. Page and checkpoint are committed together, under the lease.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from functools import partial

from clerksync import mirror
from clerksync.client import ClerkClient, Walked
from clerksync.pages import Checkpoint, PageWriter, SweptPage, unreadable
from clerksync.payloads import Kind, Observation, Source
from clerksync.records import DELETED
from clerksync.tables import Window

#: So many cursors are kept, in case the last page's last user is deleted before a resume.
KEPT_CURSORS = 4


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

    def pages(self) -> Generator[SweptPage]:
        """Walk to the end; each page is committed before it is yielded."""
        checkpoint = self.checkpoint
        walk = self.client.iter_pages(
            decode=self.writer.decode,
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
                yield swept

    def _apply(self, walked: Walked[Observation]) -> SweptPage:
        shown = {observation.clerk_id for observation in walked.items}
        rows = mirror.read(shown, self._window(walked))
        known = shown.union(self.checkpoint.border)
        missing = sorted(
            clerk_id for clerk_id, row in rows.items() if clerk_id not in known and row.state != DELETED
        )
        doubted = [self._missed(clerk_id, walked) for clerk_id in missing if self.mark_missing]
        changes = self.writer.apply([*walked.items, *doubted], rows)
        place = f"after {self.checkpoint.cursor}" if self.checkpoint.cursor else "of the list"
        skipped = unreadable(walked.items, place=place)
        return SweptPage(walked.items, rows, changes, skipped, tuple(missing), self._advanced(walked))

    def _window(self, walked: Walked[Observation]) -> Window | None:
        """The range that this page proves; none while nobody has a time."""
        if not walked.is_last and walked.cursor_ms is None:
            return None
        return Window(self.checkpoint.cursor_ms, None if walked.is_last else walked.cursor_ms)

    def _missed(self, clerk_id: str, walked: Walked[Observation]) -> Observation:
        return Observation(
            clerk_id=clerk_id,
            source=Source.LIST,
            kind=Kind.MISSED,
            observed_ms=walked.observed_ms or 0,
            provenance=self.writer.provenance,
        )

    def _advanced(self, walked: Walked[Observation]) -> Checkpoint:
        """The checkpoint after this page."""
        before = self.checkpoint
        same_border = walked.cursor_ms == before.cursor_ms
        at_border = [item.clerk_id for item in walked.items if item.created_ms in (walked.cursor_ms, None)]
        ids = dict.fromkeys(item.clerk_id for item in walked.items if item.clerk_id)
        nameless = sum(not item.clerk_id for item in walked.items)
        return Checkpoint(
            seen=before.seen + len(ids) + nameless,
            cursor=walked.cursor,
            cursor_ms=walked.cursor_ms,
            cursors=[*before.cursors, *ids][-KEPT_CURSORS:],
            border=[*(before.border if same_border else ()), *filter(None, at_border)],
            # Only the first page tells when the walk began.
            started_ms=walked.observed_ms if before.seen == 0 else before.started_ms,
            done=walked.is_last,
        )
