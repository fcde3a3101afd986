"""The parts of the periodic work, each as one call: what the scheduler and tasks run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from threading import Event

from django.db.models import QuerySet
from django.utils import timezone

from clerksync import audits, replay, retention
from clerksync.client import ClerkClient
from clerksync.exceptions import SyncInterrupted
from clerksync.incremental import incremental_sync
from clerksync.models import ClerkUser, MirrorState, WebhookEvent
from clerksync.refresh import sync_pending
from clerksync.schedule import Part
from clerksync.sync import full_sync
from clerksync.tally import Report


def run(part: Part, *, stop: Event | None = None) -> dict[str, int]:
    """Run a part to its end.

    Args:
        part: Which.
        stop: Once set, the part ends after the page, or the event, that it is at.

    Returns:
        What was done, by name; never about a person.

    Raises:
        LeaseHeld: Another sync of this kind is at work.
        SyncInterrupted: ``stop`` was set; the next run goes on.
        ClerkSyncError: The part could not do its work.
        ImproperlyConfigured: There is no usable key.
    """
    return _RUNNERS[part](stop or Event())


def replay_all(*, stop: Event | None = None) -> dict[str, int]:
    """Replay all events that are failed or parked, due or not.

    Returns:
        How many ended in which state.

    Raises:
        SyncInterrupted: ``stop`` was set.
    """
    return _replay(replay.select_events(), stop or Event())


def _incremental(stop: Event) -> dict[str, int]:
    with ClerkClient(halt=stop) as client:
        return _counts(incremental_sync(client, stop=stop, sleep=_sleeper(stop)))


def _full(stop: Event) -> dict[str, int]:
    with ClerkClient(halt=stop) as client:
        return _counts(full_sync(client, stop=stop, sleep=_sleeper(stop)))


def _pending(stop: Event) -> dict[str, int]:
    if not _is_pending():
        return {}  # nothing is asked, and no run is recorded every minute
    with ClerkClient(halt=stop) as client:
        return _counts(sync_pending(client))


def _is_pending() -> bool:
    """Whether the time of a user in doubt has come, by Clerk's clock as far as it is known."""
    skew_ms = MirrorState.objects.values_list("skew_ms", flat=True).first() or 0
    due_ms = time.time_ns() // 1_000_000 - skew_ms
    return ClerkUser.objects.needs_refresh().filter(retry_ms__lte=due_ms).exists()


def _events(stop: Event) -> dict[str, int]:
    return _replay(replay.select_due(timezone.now()), stop)


def _replay(chosen: QuerySet[WebhookEvent], stop: Event) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for _, became, _ in replay.replay(chosen):
        counts[became] += 1
        if stop.is_set():
            raise SyncInterrupted(f"stopped after {counts.total()} events; the next run goes on")
    return dict(counts)


def _prune(stop: Event) -> dict[str, int]:
    return retention.prune(stop=stop)


def _audit(stop: Event) -> dict[str, int]:
    return audits.run(stop=stop)  # what it finds is no failure of it


def _counts(report: Report) -> dict[str, int]:
    if report.error is not None:
        raise report.error
    counted = {name: count for name, count in report.counts.items() if count}
    return {**counted, "in_doubt": report.in_doubt, "requests": report.requests}


def _sleeper(stop: Event) -> Callable[[float], None]:
    """Waits for doubts that are not yet due, unless there is no time for that."""

    def sleep(seconds: float) -> None:
        if stop.wait(seconds):
            raise SyncInterrupted("stopped; users in doubt are read again by the next run")

    return sleep


_RUNNERS: dict[Part, Callable[[Event], dict[str, int]]] = {
    Part.INCREMENTAL: _incremental,
    Part.FULL: _full,
    Part.PENDING: _pending,
    Part.EVENTS: _events,
    Part.PRUNE: _prune,
    Part.AUDIT: _audit,
}
