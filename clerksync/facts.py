"""What the tables tell of how the mirror stands: read in a few queries that no table's size makes slow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from django.db.models import Count, Q, Subquery

from clerksync import leases, webhooks
from clerksync.models import ClerkUser, MirrorState, ScheduledJob, SyncRun, WebhookEvent

#: Deliveries are judged over this time.
PERIOD = timedelta(hours=24)
#: A run every minute makes 1,440 of them.
MAX_RUNS = 2_000
#: More users in doubt are not counted one by one.
MAX_DOUBTS = 10_000

_KINDS = (SyncRun.Kind.FULL, SyncRun.Kind.INCREMENTAL)


@dataclass(frozen=True, slots=True)
class Judged:
    """What one sync found of deliveries."""

    missed: int
    delivered: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the answer is made of.

    ``runs`` is the last one of each kind, ``judged`` those of the last 24 hours, the newest first,
    ``doubts`` the reason and the time (ms, Clerk's clock) of users in doubt, ``events`` how many are
    parked and failed; ``held`` the kinds of sync that are at work, and ``audit`` if one is. ``jobs`` is empty where no
    scheduler is used.
    """

    state: MirrorState
    held: frozenset[str]
    runs: Mapping[str, SyncRun]
    judged: tuple[Judged, ...]
    doubts: tuple[tuple[str, int], ...]
    events: Mapping[str, int]
    last_event_at: datetime | None
    jobs: tuple[ScheduledJob, ...]


def read(now: datetime) -> Facts:
    """Read them, in seven queries.

    Raises:
        django.db.Error: The database cannot be read, or has other tables.
    """
    held = {f"is_{kind}_held": leases.is_held(kind) for kind in leases.KINDS}
    row = MirrorState.objects.filter(pk=1).annotate(**held).first()
    return Facts(
        state=row or MirrorState(pk=1),
        held=frozenset(kind for kind in leases.KINDS if getattr(row, f"is_{kind}_held", False)),
        runs={run.kind: run for run in _last_runs()},
        judged=tuple(_judged(now)),
        doubts=tuple(_doubts()),
        events=_events(),
        last_event_at=_last_event_at(),
        jobs=tuple(ScheduledJob.objects.order_by("part")),
    )


def _last_runs() -> Iterable[SyncRun]:
    newest = SyncRun.objects.order_by("-started_at", "-pk").values("pk")
    wanted = (Q(pk=Subquery(newest.filter(kind=kind)[:1])) for kind in SyncRun.Kind)
    return SyncRun.objects.filter(reduce(or_, wanted)).only(
        "kind", "state", "started_at", "finished_at", "error"
    )


def _judged(now: datetime) -> Iterable[Judged]:
    runs = SyncRun.objects.filter(kind__in=_KINDS, started_at__gt=now - PERIOD).order_by("-started_at", "-pk")
    for counts in runs.values_list("counts", flat=True)[:MAX_RUNS]:
        yield Judged(counts.get("missed", 0), counts.get("delivered", 0))


def _doubts() -> Iterable[tuple[str, int]]:
    waiting = ClerkUser.objects.in_doubt().order_by("retry_ms")
    return waiting.values_list("doubt_reason", "doubt_ms")[:MAX_DOUBTS]


def _events() -> dict[str, int]:
    """Those of the last days are few: a replay or a prune takes them away."""
    states = (WebhookEvent.State.PARKED, WebhookEvent.State.FAILED)
    # Without "applied" among them the index of the others can be used.
    waiting = WebhookEvent.objects.exclude(state=WebhookEvent.State.APPLIED).filter(state__in=states)
    return dict(waiting.values_list("state").annotate(Count("pk")).order_by())


def _last_event_at() -> datetime | None:
    real = WebhookEvent.objects.exclude(type=webhooks.PROBE).order_by("-received_at")
    return real.values_list("received_at", flat=True).first()
