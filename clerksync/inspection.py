"""A whole audit: the mirror, then the tables that a site had before; and their repair if it is asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from django.db import Error as DatabaseError

from clerksync import census
from clerksync.audit import Audit
from clerksync.client import ClerkClient
from clerksync.exceptions import ClerkSyncError
from clerksync.fills import TableAudit
from clerksync.findings import PLACEHOLDERS, Finding, FindingKind, Summary
from clerksync.foreign import ForeignTable
from clerksync.logs import Log, told
from clerksync.refresh import OnPage
from clerksync.repairs import Repair
from clerksync.undo import UndoFile

logger = logging.getLogger(__name__)


class Inspection:
    """One run of the command.

    Args:
        client: Clerk; None to judge the mirror by the rules alone.
        tables: Which other tables.
        mirror: Whether the mirror itself is audited.
        undo: Where the values are kept that are replaced in other tables; None to mend nothing.
        preview: Tell what mending would do.
        on_page: Told after each page of Clerk's how many users have been seen.
        on_changes: Called with what mending the mirror changes.
    """

    def __init__(
        self,
        client: ClerkClient | None,
        tables: Sequence[ForeignTable] = (),
        *,
        mirror: bool = True,
        undo: UndoFile | None = None,
        preview: bool = False,
        on_page: Callable[[int], object] | None = None,
        on_changes: OnPage | None = None,
    ) -> None:
        self.client = client
        self.tables = tables
        self.mirror = mirror
        self.undo = undo
        self.preview = preview
        self.on_page = on_page
        self.on_changes = on_changes
        self.summary = Summary(dry_run=preview)
        #: What kept the mirror from being mended.
        self.error: ClerkSyncError | None = None
        if undo is not None:
            self.summary.left = dict.fromkeys(FindingKind, 0)

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong; what is found in the mirror is mended before other tables are compared with it.

        Raises:
            InstanceMismatch: The key is of another instance than the table.
            SyncIncomplete: Clerk's list cannot be complete.
            ClerkError: Clerk could not be asked.
            OSError: The file for what is replaced cannot be written; nothing more was replaced.
        """
        started = time.monotonic()
        summary = self.summary
        try:
            if self.mirror:
                yield from self._in_mirror()
            for table in self.tables:
                summary.complete = False
                yield from TableAudit(table, summary, undo=self.undo, preview=self.preview).findings()
            summary.complete = self.error is None
        finally:
            if self.undo is not None and self.undo.is_used:
                summary.undo_file = str(self.undo.path)
            summary.seconds = round(time.monotonic() - started, 3)

    def _in_mirror(self) -> Iterator[Finding]:
        audit = Audit(self.client, summary=self.summary, on_page=self.on_page)
        if self.client is None or (self.undo is None and not self.preview):
            yield from audit.findings()
            self._note(self.summary.counts)
            return
        repair = Repair(audit, dry_run=self.preview, on_page=self.on_changes)
        yield from repair.noting(audit.findings())
        report = repair.mend(self.client)
        self.error = report.error if report else None
        if not self.preview:
            self._note(self.summary.left or {})

    def _note(self, counts: Mapping[FindingKind, int]) -> None:
        """Keep how many placeholders there are, for the status; a database that is read-only is no hindrance."""
        try:
            census.note_placeholders(sum(counts.get(kind, 0) for kind in PLACEHOLDERS))
        except DatabaseError as error:
            logger.warning(
                "the outcome of the audit was not kept: %s",
                type(error).__name__,
                extra=told(Log.AUDIT_NOT_KEPT),
            )
