"""The sweep: a walk over all users, compared with the table page by page.

A page proves the range of ``created_at`` strictly below its last value; users at that
value wait for the next page and are compared as a set, since the order of ties is not
known. Whoever is in the table and not in the range is put in doubt, and judged by the
drain. Page and checkpoint are committed together, under the lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass

import msgspec
from django.db import transaction

from clerksync import mirror
from clerksync.answers import Page
from clerksync.client import ClerkClient, Walked
from clerksync.mirror import Change
from clerksync.payloads import Kind, Observation, Parser, Source
from clerksync.records import DELETED, Row
from clerksync.tables import Window

#: So many cursors are kept, in case the last page's last user is deleted before a resume.
KEPT_CURSORS = 4


class Checkpoint(msgspec.Struct):
    """How far a sweep has come: everything below is committed."""

    seen: int = 0
    cursor: str | None = None
    cursor_ms: int | None = None
    cursors: list[str] = []
    border: list[str] = []
    started_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SweptPage:
    """What one page did; ``missing`` are users of the table that Clerk's list should show.

    ``shown`` are Clerk's users and ``rows`` those of the table, as they were before.
    """

    shown: Sequence[Observation]
    rows: Mapping[str, Row]
    changes: Mapping[str, Change]
    skipped: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...] = ()


class Sweep:
    """One walk, from the checkpoint on.

    Args:
        client: Clerk.
        parser: Under which settings users are read.
        checkpoint: Where to begin; moves on with each page.
        before_write: Called first in each page's transaction: renews the lease.
        after_write: Called last in it, with what the page did: keeps the checkpoint.
        mark_missing: Put users in doubt whom Clerk's list lacks.
        compare_all: Compare every column.
        dry_run: Write nothing.
        provenance: The id of the run.
    """

    def __init__(
        self,
        client: ClerkClient,
        parser: Parser,
        checkpoint: Checkpoint,
        *,
        before_write: Callable[[], None],
        after_write: Callable[[SweptPage], None],
        mark_missing: bool = True,
        compare_all: bool = False,
        dry_run: bool = False,
        provenance: str = "",
    ) -> None:
        self.client = client
        self.parser = parser
        self.checkpoint = checkpoint
        self.before_write = before_write
        self.after_write = after_write
        self.mark_missing = mark_missing
        self.compare_all = compare_all
        self.dry_run = dry_run
        self.provenance = provenance

    def pages(self) -> Iterator[SweptPage]:
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
                    return  # an empty list proves nothing
                yield self._commit(walked)

    def _decode(self, page: Page) -> list[Observation]:
        return self.parser.parse_page(
            page.body, source=Source.LIST, observed_ms=page.observed_ms, provenance=self.provenance
        )

    def _commit(self, walked: Walked[Observation]) -> SweptPage:
        with nullcontext() if self.dry_run else transaction.atomic(using=mirror.database()):
            self.before_write()
            page = self._apply(walked)
            self._advance(walked)
            self.after_write(page)
        return page

    def _apply(self, walked: Walked[Observation]) -> SweptPage:
        shown = {observation.clerk_id for observation in walked.items}
        rows = mirror.read(shown, self._window(walked))
        known = shown.union(self.checkpoint.border)
        missing = sorted(
            clerk_id for clerk_id, row in rows.items() if clerk_id not in known and row.state != DELETED
        )
        doubted = [self._missed(clerk_id, walked) for clerk_id in missing if self.mark_missing]
        changes = mirror.apply(
            [*walked.items, *doubted],
            rows=rows,
            compare_all=self.compare_all,
            with_fields=self.dry_run,
            dry_run=self.dry_run,
        )
        skipped = {
            observation.clerk_id or "?": observation.problems
            for observation in walked.items
            if not observation.full
        }
        return SweptPage(walked.items, rows, changes, skipped, tuple(missing))

    def _window(self, walked: Walked[Observation]) -> Window:
        """The range that this page proves."""
        return Window(self.checkpoint.cursor_ms, None if walked.is_last else walked.cursor_ms)

    def _missed(self, clerk_id: str, walked: Walked[Observation]) -> Observation:
        return Observation(
            clerk_id=clerk_id,
            source=Source.LIST,
            kind=Kind.MISSED,
            observed_ms=walked.observed_ms or 0,
            provenance=self.provenance,
        )

    def _advance(self, walked: Walked[Observation]) -> None:
        checkpoint = self.checkpoint
        same_border = walked.cursor_ms == checkpoint.cursor_ms
        at_border = [item.clerk_id for item in walked.items if item.created_ms in (walked.cursor_ms, None)]
        checkpoint.border = [*(checkpoint.border if same_border else ()), *filter(None, at_border)]
        checkpoint.seen += len(walked.items)
        ids = [item.clerk_id for item in walked.items if item.clerk_id]
        checkpoint.cursors = [*checkpoint.cursors, *ids][-KEPT_CURSORS:]
        checkpoint.cursor, checkpoint.cursor_ms = walked.cursor, walked.cursor_ms
        if checkpoint.started_ms is None:
            checkpoint.started_ms = walked.observed_ms
