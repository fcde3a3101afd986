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
    """How far a sweep has come: everything below is committed; ``done`` at the end of the list."""

    seen: int = 0
    cursor: str | None = None
    cursor_ms: int | None = None
    cursors: list[str] = []
    border: list[str] = []
    started_ms: int | None = None
    done: bool = False

    def move_to(self, later: Checkpoint) -> None:
        """Become the later one, whose page is committed."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(later, name))


@dataclass(frozen=True, slots=True)
class SweptPage:
    """What one page did; ``missing`` are users of the table that Clerk's list should show.

    ``shown`` are Clerk's users and ``rows`` those of the table, as they were before;
    ``checkpoint`` says where a sweep goes on once the page is committed.
    """

    shown: Sequence[Observation]
    rows: Mapping[str, Row]
    changes: Mapping[str, Change]
    skipped: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...] = ()
    checkpoint: Checkpoint | None = None


class Sweep:
    """One walk, from the checkpoint on.

    Args:
        client: Clerk.
        parser: Under which settings users are read.
        checkpoint: Where to begin; moves on once a page is committed, never before.
        before_write: Called first in each page's transaction: renews the lease.
        after_write: Called last in it, with what the page did: keeps the page's checkpoint.
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
                    checkpoint.move_to(self._advanced(walked))
                    return  # an empty list proves nothing about those in the table
                yield self._commit(walked)

    def _decode(self, page: Page) -> list[Observation]:
        return self.parser.parse_page(
            page.body, source=Source.LIST, observed_ms=page.observed_ms, provenance=self.provenance
        )

    def _commit(self, walked: Walked[Observation]) -> SweptPage:
        with nullcontext() if self.dry_run else transaction.atomic(using=mirror.database()):
            self.before_write()
            page = self._apply(walked)
            self.after_write(page)
        self.checkpoint.move_to(page.checkpoint or self.checkpoint)
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
        skipped = self._skipped(walked)
        return SweptPage(walked.items, rows, changes, skipped, tuple(missing), self._advanced(walked))

    def _skipped(self, walked: Walked[Observation]) -> dict[str, tuple[str, ...]]:
        """Who could not be read; a user without an id is named by the place in the list."""
        place = f"after {self.checkpoint.cursor}" if self.checkpoint.cursor else "of the list"
        return {
            item.clerk_id or f"no id, {number}. {place}": item.problems
            for number, item in enumerate(walked.items, start=1)
            if not item.full
        }

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
            provenance=self.provenance,
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
