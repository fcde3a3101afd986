"""The incremental sync: who was changed since the last one is read, and who is in doubt; nobody else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from clerksync import census, instances, leases, runs, watermarks
from clerksync.client import ClerkClient
from clerksync.conf import settings
from clerksync.exceptions import SyncIncomplete
from clerksync.logs import Log, told
from clerksync.models import MirrorState, SyncRun
from clerksync.runner import OnPage, Runner, Watch, announce
from clerksync.scan import Scan
from clerksync.sync import Options, full_sync
from clerksync.tally import Report

logger = logging.getLogger(__name__)

_NOTHING_KNOWN = "No full sync has been completed yet, so this one was full."


def incremental_sync(
    client: ClerkClient,
    *,
    allow_deletes: int | None = None,
    dry_run: bool = False,
    on_page: OnPage | None = None,
    stop: threading.Event | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> Report:
    """Bring up to date who was changed since the last sync: a scan of the head, then the drain.

    Costs one request while nothing has changed, and one more for 490 changes; deletes are found by webhooks
    and full syncs only. Until a walk over all users has been completed this is a full sync, and says so.

    Args:
        client: Clerk.
        allow_deletes: How many users in doubt may be buried; None for the breaker's limit.
        dry_run: Write nothing, and tell what would change.
        on_page: Progress; with ``dry_run`` the pages hold old and new values.
        stop: Once set, the sync ends after the current page; the next one reads the same again.
        sleep: Waits for doubts that are not yet due.

    Returns:
        What was done; an error on the way, with everything before it kept, is in ``error``.

    Raises:
        LeaseHeld: Another incremental sync (or, at first, a full one) is at work.
    """
    if watermarks.known().updates_ms is None:
        logger.info("no full sync has been completed yet: this one is full", extra=told(Log.FIRST_SYNC))
        options = Options(allow_deletes=allow_deletes, dry_run=dry_run)
        report = full_sync(client, options, on_page=on_page, stop=stop, sleep=sleep)
        report.note = _NOTHING_KNOWN
        return report
    watch = Watch(on_page=on_page, stop=stop, sleep=sleep)
    if dry_run:
        return _Incremental(client, watch, lease=None, run=None, allow_deletes=allow_deletes).report()
    with leases.hold("incremental") as lease:
        with lease.writing():
            pinned = MirrorState.objects.values_list("instance_id", flat=True).get(pk=1)
            run = runs.begin(SyncRun.Kind.INCREMENTAL, instance_id=pinned)
        report = _Incremental(client, watch, lease=lease, run=run, allow_deletes=allow_deletes).report()
    return announce(run, report)


class _Incremental(Runner):
    """One run of an incremental sync."""

    kind = SyncRun.Kind.INCREMENTAL

    def work(self) -> None:
        """Read the head of the list, then by id who is in doubt."""
        self.instance = instances.check_once(self.client, dry_run=self.writer.dry_run)
        known_ms = self.known.updates_ms or 0
        until_ms = known_ms - round(settings.OVERLAP * 1000)
        scan = Scan(self.client, self.checkpoint, self.writer, until_ms=until_ms)
        self.read(scan.pages(), advice="the next run reads the same changes again")
        started_ms = self.checkpoint.started_ms
        if started_ms is not None and started_ms < known_ms - watermarks.TOLERANCE_MS:
            raise SyncIncomplete(
                f"Clerk's clock is {(known_ms - started_ms) // 1000} s behind the time up to which changes were "
                f"thought to be known; run a full sync: manage.py sync_clerk_users"
            )
        self.advance(updates_ms=started_ms)
        self.drain()
        if self.run is not None:
            census.take_if_old()
