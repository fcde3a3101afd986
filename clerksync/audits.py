"""Audits that are kept in the books of the runs, so that what they found can be looked up afterwards."""

from __future__ import annotations

from threading import Event

from django.db import router, transaction
from django.utils import timezone

from clerksync import counts, foreign, leases, runs
from clerksync.client import ClerkClient
from clerksync.counts import Key
from clerksync.exceptions import ClerkSyncError, SyncInterrupted
from clerksync.findings import Summary
from clerksync.inspection import Inspection
from clerksync.leases import Lease
from clerksync.models import SyncRun

_FIX = "manage.py audit_clerk_users"


def run(*, stop: Event | None = None) -> dict[str, int]:
    """Audit the table of users, and the other tables of the settings; nothing is mended.

    Args:
        stop: Once set, the audit ends after the page that it is at.

    Returns:
        How many users Clerk has, and how many findings there are, by kind.

    Raises:
        SyncInterrupted: ``stop`` was set.
        LeaseHeld: Another audit is at work.
        ClerkSyncError: The audit could not be done.
        ImproperlyConfigured: There is no usable key, or ``CLERKSYNC_AUDIT_MODELS`` is wrong.
    """
    stop = stop or Event()
    tables = foreign.from_settings()
    with ClerkClient(halt=stop) as client, leases.hold("audit") as lease:
        with lease.writing():
            row = runs.begin(SyncRun.Kind.AUDIT, instance_id="")
        inspection = Inspection(client, tables, on_page=lambda seen: _go_on(row, lease, stop))
        try:
            for _ in inspection.findings():
                pass  # they are counted, and nothing more is kept
        except ClerkSyncError as error:
            _end(row, inspection.summary, error=error)
            raise
        _end(row, inspection.summary)
    return _counts(inspection.summary)


def _go_on(row: SyncRun, lease: Lease, stop: Event) -> None:
    with lease.writing():
        SyncRun.objects.filter(pk=row.pk).update(progressed_at=timezone.now())
    if stop.is_set():
        raise SyncInterrupted("the audit was stopped; the next one begins anew")


def _end(row: SyncRun, summary: Summary, *, error: ClerkSyncError | None = None) -> None:
    now, state = timezone.now(), _state(error)
    counted = {Key("requests", row.kind): summary.requests}
    # Another audit that has taken over has closed this one already.
    running = SyncRun.objects.filter(pk=row.pk, state=SyncRun.State.RUNNING)
    with transaction.atomic(using=router.db_for_write(SyncRun)):
        closed = running.update(
            state=state,
            instance_id=summary.instance or "",
            counts=_counts(summary),
            skipped=summary.skipped_users,
            api_calls=summary.requests,
            progressed_at=now,
            finished_at=now,
            error=str(error or _verdict(summary)),
        )
        counts.add(counted | {Key("runs", row.kind, state): closed}, at=now)


def _state(error: ClerkSyncError | None) -> str:
    if error is None:
        return SyncRun.State.COMPLETED
    return SyncRun.State.INTERRUPTED if isinstance(error, SyncInterrupted) else SyncRun.State.FAILED


def _verdict(summary: Summary) -> str:
    """What is left to do, in one line; "" if nothing is."""
    if not summary.findings:
        return ""
    return f"{summary.findings} findings. Run: {_FIX}"


def _counts(summary: Summary) -> dict[str, int]:
    found = {kind.value: number for kind, number in summary.counts.items() if number}
    skipped = {"skipped": summary.skipped} if summary.skipped else {}
    return {"seen": summary.users_in_clerk or 0, **found, **skipped}
