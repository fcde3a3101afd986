"""The functions behind the commands, as the machine calls them: on the acting side, by its clock.

Each returns what it did and how it ended, without what is another on each database (times, requests of a
walk that was cut while it read ahead).
"""

from __future__ import annotations

import threading
from typing import Any

from clerksync import mirror
from clerksync.audit import Audit
from clerksync.exceptions import ClerkSyncError
from clerksync.findings import Finding
from clerksync.incremental import incremental_sync
from clerksync.models import ClerkUser
from clerksync.refresh import sync_pending, sync_users
from clerksync.repairs import Repair
from clerksync.sync import Options, full_sync
from clerksync.tally import Report
from tests.convergence.twins import Twins
from tests.syncing import StopAfter, written

#: More deletes than there are users.
ANY = 1_000


class Entrances:
    """What an operator can start."""

    def __init__(self, twins: Twins) -> None:
        self.twins = twins

    def sync_all(self, *, pages: int | None = None, allow: int | None = ANY) -> Any:
        """A full sync, stopped after so many pages; one that was stopped is resumed."""
        stop = None if pages is None else StopAfter(pages)
        with self.twins.client() as client:
            report = full_sync(
                client,
                Options(allow_deletes=allow),
                on_page=stop,
                stop=stop.event if stop else threading.Event(),
                sleep=self.twins.clock.sleep,
            )
        return _told(report)

    def sync_changed(self, *, allow: int | None = ANY) -> Any:
        """An incremental sync."""
        with self.twins.client() as client:
            return _told(incremental_sync(client, allow_deletes=allow, sleep=self.twins.clock.sleep))

    def sync_pending(self, *, allow: int | None = ANY) -> Any:
        """The drain of what is due."""
        with self.twins.client() as client:
            return _told(sync_pending(client, allow_deletes=allow))

    def sync_users(self, *ids: str, allow: int | None = ANY) -> Any:
        """Reads of some users."""
        with self.twins.client() as client:
            return _told(sync_users(client, ids, allow_deletes=allow))

    def audit(self, *, fix: bool) -> Any:
        """An audit, and the repair of what it finds."""
        with self.twins.client() as client:
            audit = Audit(client)
            repair = Repair(audit)
            try:
                found = [
                    (one.clerk_id, one.kind, one.reason, one.field) for one in repair.noting(audit.findings())
                ]
                report = repair.mend(client) if fix else None
            except ClerkSyncError as error:
                return type(error)
        return found, report and _told(report)

    def find_nothing(self) -> None:
        """Once all is well an audit finds nothing, and another walk writes no row (I9).

        But for whom only the id is known, and whom Clerk does not have: nobody knows how old they are
        (rule 10), so that a walk looks for them again each time.
        """
        unknown = set(
            ClerkUser.objects.needs_refresh().filter(state="incomplete").values_list("pk", flat=True)
        )
        with self.twins.client() as client:
            found: list[Finding] = [one for one in Audit(client).findings() if one.clerk_id not in unknown]
        assert found == []
        alias = mirror.database()
        rows = written(alias)
        assert self.sync_all()["error"] is None
        others = [before for before in rows if before[0] not in unknown]
        assert [after for after in written(alias) if after[0] not in unknown] == others, (
            "I9: a walk has written"
        )

    def wait_for_doubts(self) -> None:
        """Let time pass until the next user in doubt is due."""
        clerk = self.twins.acting
        waiting = ClerkUser.objects.needs_refresh().order_by("retry_ms").values_list("retry_ms", flat=True)
        # Clerk's clock is believed to be up to 2 s earlier than it is, for its ``Date`` has whole seconds.
        clerk.advance(ms=max(0, (waiting.first() or 0) + 2_000 - clerk.clock.now_ms()))


def _told(report: Report) -> dict[str, Any]:
    return {
        "counts": {name: count for name, count in report.counts.items() if count},
        "skipped": report.skipped,
        "in_doubt": report.in_doubt,
        "resumed": report.resumed,
        "error": report.error and str(report.error),
    }
