"""Audits that are kept in the books of the runs, so that what they found can be looked up afterwards."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

from django.db import router, transaction
from django.utils import timezone

from clerksync import counts, foreign
from clerksync.client import ClerkClient
from clerksync.counts import Key
from clerksync.exceptions import ClerkSyncError, SyncInterrupted
from clerksync.findings import Summary
from clerksync.inspection import Inspection
from clerksync.models import SyncRun

#: An audit of which nothing was heard for so long is taken for dead; if it is not, its end says so.
_FORSAKEN = timedelta(minutes=10)
_FIX = "manage.py audit_clerk_users"


def run(*, stop: Event | None = None) -> dict[str, int]:
    """Audit the table of users, and the other tables of the settings; nothing is mended.

    Args:
        stop: Once set, the audit ends after the page that it is at.

    Returns:
        How many users Clerk has, and how many findings there are, by kind.

    Raises:
        SyncInterrupted: ``stop`` was set.
        ClerkSyncError: The audit could not be done.
        ImproperlyConfigured: There is no usable key, or ``CLERKSYNC_AUDIT_MODELS`` is wrong.
    """
    stop = stop or Event()
    tables = foreign.from_settings()
    with ClerkClient(halt=stop) as client:
        row = _begin()
        inspection = Inspection(client, tables, on_page=lambda seen: _go_on(row, stop))
        try:
            for _ in inspection.findings():
                pass  # they are counted, and nothing more is kept
        except ClerkSyncError as error:
            _end(row, inspection.summary, error=error)
            raise
        _end(row, inspection.summary)
    return _counts(inspection.summary)


def _go_on(row: SyncRun, stop: Event) -> None:
    SyncRun.objects.filter(pk=row.pk).update(progressed_at=timezone.now())
    if stop.is_set():
        raise SyncInterrupted("the audit was stopped; the next one begins anew")


def _begin() -> SyncRun:
    now = timezone.now()
    running = SyncRun.objects.filter(kind=SyncRun.Kind.AUDIT, state=SyncRun.State.RUNNING)
    running.filter(progressed_at__lt=now - _FORSAKEN).update(
        state=SyncRun.State.INTERRUPTED, finished_at=now, error="it ended without a word"
    )
    return SyncRun.objects.create(kind=SyncRun.Kind.AUDIT, started_at=now, progressed_at=now)


def _end(row: SyncRun, summary: Summary, *, error: ClerkSyncError | None = None) -> None:
    now, state = timezone.now(), _state(error)
    counted = {Key("runs", row.kind, state): 1, Key("requests", row.kind): summary.requests}
    with transaction.atomic(using=router.db_for_write(SyncRun)):
        SyncRun.objects.filter(pk=row.pk).update(
            state=state,
            instance_id=summary.instance or "",
            counts=_counts(summary),
            skipped=summary.skipped_users,
            api_calls=summary.requests,
            progressed_at=now,
            finished_at=now,
            error=str(error or _verdict(summary)),
        )
        counts.add(counted, at=now)


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
