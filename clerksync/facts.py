"""What the tables tell of how the mirror stands: read in a few queries that no table's size makes slow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from django.db.models import Count, DateTimeField, Q, Subquery, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Greatest, Least
from msgspec import Struct

from clerksync import leases, webhooks
from clerksync.models import ClerkUser, MirrorState, ScheduledJob, SyncRun, WebhookEvent

#: Deliveries are judged over this time.
PERIOD = timedelta(hours=24)
#: So long after a silence of webhooks syncs may find what it has swallowed.
AFTERMATH = timedelta(hours=1)
#: A run every minute makes 1,440 of them.
MAX_RUNS = 2_000
#: So far back webhooks may be silent and be told of it: runs are kept a month.
LONGEST_SILENCE = timedelta(days=30)
#: More users in doubt are not counted one by one.
MAX_DOUBTS = 10_000

_KINDS = (SyncRun.Kind.FULL, SyncRun.Kind.INCREMENTAL)


class Judged(Struct, frozen=True):
    """What one sync found of deliveries."""

    started_at: datetime
    missed: int
    delivered: int


class Facts(Struct, frozen=True):
    """Everything that the answer is made of.

    ``runs`` is the last one of each kind, ``judged`` those that judged changes in the last 25 hours, or
    since a webhook has told of one if that is longer ago, the newest first,
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

    def judged_since(self, moment: datetime) -> list[Judged]:
        """Those that began later than that."""
        return [run for run in self.judged if run.started_at > moment]


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
        judged=tuple(_judged(now - PERIOD - AFTERMATH)),
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


def _judged(since: datetime) -> Iterable[Judged]:
    telling = SyncRun.objects.filter(Q(counts__missed__gt=0) | Q(counts__delivered__gt=0), kind__in=_KINDS)
    runs = telling.filter(started_at__gt=Least(_moment(since), _last_delivered(since - LONGEST_SILENCE)))
    newest = runs.order_by("-started_at", "-pk").values_list("started_at", "counts")
    for started_at, counts in newest[:MAX_RUNS]:
        yield Judged(started_at, counts.get("missed", 0), counts.get("delivered", 0))


def _last_delivered(earliest: datetime) -> Combinable:
    """When the last sync began that found changes of which webhooks had told."""
    delivered = SyncRun.objects.filter(counts__delivered__gt=0).order_by("-started_at").values("started_at")
    # One kind after the other, for that is how the index holds them.
    return Greatest(
        *(Coalesce(Subquery(delivered.filter(kind=kind)[:1]), _moment(earliest)) for kind in _KINDS)
    )


def _moment(moment: datetime) -> Value:
    return Value(moment, output_field=DateTimeField())


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
