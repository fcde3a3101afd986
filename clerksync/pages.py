"""Pages of users on their way into the table: each is written together with how far the run has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
from django.db import IntegrityError
from msgspec import Struct

from clerksync import copying, mirror
from clerksync.answers import Page
from clerksync.decisions import is_sealed
from clerksync.mirror import Change
from clerksync.payloads import Observation, Parser, Source
from clerksync.records import Row
from clerksync.seals import Head

#: Other processes may insert users of a page now and then, not all the time.
MAX_COLLISIONS = 5


class Checkpoint(msgspec.Struct):
    """How far a run has come: everybody created before ``cursor_ms`` is committed; ``done`` at the end of the list.

    ``border`` are those that are committed although they were created later, or nobody knows when, with that time.
    ``started_ms`` is when it began, in Clerk's clock. A scan, which cannot be resumed, has no cursor.
    """

    seen: int = 0
    cursor: str | None = None
    cursor_ms: int | None = None
    cursors: list[str] = []
    border: dict[str, int | None] = {}
    started_ms: int | None = None
    done: bool = False

    def move_to(self, later: Checkpoint) -> None:
        """Become the later one, whose page is committed."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(later, name))


class SweptPage(Struct, frozen=True):
    """What one page did; ``missing`` are users of the table that Clerk's list should show.

    ``shown`` are Clerk's users but for those of ``stored``, of whom the head is enough to know that they are as
    stored; ``rows`` are those of the table, as they were before; ``changes`` says what became of ``shown``.
    ``checkpoint`` says where a run goes on once the page is committed.
    """

    shown: Sequence[Observation]
    rows: Mapping[str, Row]
    changes: Mapping[str, Change]
    skipped: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...] = ()
    checkpoint: Checkpoint | None = None
    stored: Sequence[Head] = ()


class PageWriter(Struct, frozen=True, kw_only=True):
    """How a walk or a scan reads pages and writes them.

    Args:
        parser: Under which settings users are read.
        before_write: Called first in each page's transaction: renews the lease.
        after_write: Called last in it, with what the page did: keeps the page's checkpoint.
        compare_all: Compare every column.
        dry_run: Write nothing.
        provenance: The id of the run.
    """

    parser: Parser
    before_write: Callable[[], None]
    after_write: Callable[[SweptPage], None]
    compare_all: bool = False
    dry_run: bool = False
    provenance: str = ""

    def decode(self, page: Page) -> list[Observation]:
        """Read the users of a page of a list."""
        return self.parser.parse_page(
            page.body, source=Source.LIST, observed_ms=page.observed_ms, provenance=self.provenance
        )

    def decode_heads(self, page: Page) -> list[Head] | None:
        """Read only the heads of the users of a page; None if more has to be known of them."""
        if self.compare_all or self.dry_run:
            return None
        return self.parser.read_heads(page.body, observed_ms=page.observed_ms)

    def complete(self, head: Head) -> Observation:
        """Read the rest of a user."""
        return self.parser.parse_head(head, provenance=self.provenance)

    def is_stored(self, head: Head, row: Row | None) -> bool:
        """Whether the row is known to be what Clerk shows, as far as the apply rule would find out."""
        return is_sealed(row, head, shaped=self.parser.shape)

    def write(self, apply: Callable[[], SweptPage]) -> SweptPage:
        """Apply a page and keep its checkpoint, in one transaction.

        Once more from the start if another process has inserted one of its users after they were read: that
        is rare, and a savepoint for it would cost each page two statements.
        """
        for _ in range(MAX_COLLISIONS):
            try:
                return self._write(apply)
            except IntegrityError as error:
                if not copying.is_collision(error):
                    raise
        return self._write(apply)

    def _write(self, apply: Callable[[], SweptPage]) -> SweptPage:
        with self._transaction():
            self.before_write()
            page = apply()
            self.after_write(page)
        return page

    def apply(self, observations: Sequence[Observation], rows: Mapping[str, Row]) -> dict[str, Change]:
        """Bring these users' rows up to date."""
        return mirror.apply(
            observations,
            rows=rows,
            compare_all=self.compare_all,
            with_fields=self.dry_run,
            dry_run=self.dry_run,
            savepoint=False,  # an error ends the page's transaction
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self.dry_run:
            yield
            return
        with mirror.page_transaction():
            yield


def unreadable(items: Sequence[Observation], *, place: str) -> dict[str, tuple[str, ...]]:
    """Who could not be read in full, and why; a user without an id is named by the place in the list."""
    return {
        item.clerk_id or f"no id, {number}. {place}": item.problems
        for number, item in enumerate(items, start=1)
        if not item.full
    }
