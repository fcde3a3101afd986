"""What has a history: events, runs, rejected deliveries and requests by hour and day, from the kept counts.

A constant number of queries; no table of events, runs or users is read, but for the events of the last
minutes, which are not in the counts yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone
from msgspec import Struct, field

from clerksync import counts, throttle
from clerksync.conf import settings
from clerksync.counts import BUCKET_NAMES, LAG_BUCKETS, Event
from clerksync.models import CountedEvents, HourlyCount, RejectedDeliveries, TotalCount

#: So many slots, the current one among them.
HOURS, DAYS = 25, 31

_HOUR = timedelta(hours=1)

#: By name: what there was of something, by kind and outcome.
Counted = Mapping[str, Mapping[tuple[str, str], int]]


class Slot(Struct, frozen=True):
    """An hour or a day; ``events`` by outcome, ``requests`` and ``throttled`` (429) of syncs."""

    begins: datetime
    events: Mapping[str, int]
    rejected: int
    requests: int
    throttled: int
    missed: int
    delivered: int

    @property
    def total(self) -> int:
        """All events."""
        return sum(self.events.values())


class Lag(Struct, frozen=True):
    """How late events came, in seconds since what they tell of; interpolated, and None without events."""

    count: int = 0
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


class ApiUse(Struct, frozen=True):
    """Requests of syncs; ``allowed`` in 24 hours, ``busiest`` of the hour that had most."""

    requests: int = 0
    throttled: int = 0
    allowed: int = 0
    busiest: int = 0
    allowed_an_hour: int = 0

    @property
    def share(self) -> float | None:
        """The part of what is allowed that was used, 0 to 1."""
        return self.requests / self.allowed if self.allowed else None

    @property
    def busiest_share(self) -> float | None:
        """The same of the busiest hour."""
        return self.busiest / self.allowed_an_hour if self.allowed_an_hour else None


class History(Struct, frozen=True, kw_only=True):
    """``hours`` are the last 24 and the current one, ``days`` the last 30 and today, without gaps, the oldest first.

    The days are those of the project's time zone. ``events`` (by type and outcome), ``rejected`` (by
    reason), ``runs`` (by kind and outcome), ``lag`` and ``api`` are of ``hours``. The outcome of an event is
    its state a minute after it came. ``uncounted``: so many events wait to be counted that some are left out.
    """

    hours: tuple[Slot, ...] = ()
    days: tuple[Slot, ...] = ()
    events: Mapping[tuple[str, str], int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    runs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    lag: Lag = Lag()
    api: ApiUse = ApiUse()
    uncounted: bool = False


def read(now: datetime) -> History:
    """Read it, in six queries.

    Raises:
        django.db.Error: The database cannot be read, or has other tables.
    """
    latest = list(_uncounted())
    by_hour = _by_hour(now, latest)
    hour = counts.hour_of(now)
    begins = [hour - _HOUR * ago for ago in reversed(range(HOURS))]
    hours = tuple(_slot(begin, by_hour.get(begin, {})) for begin in begins)
    recent = _recent(begins[0], latest)
    return History(
        hours=hours,
        days=tuple(_days(now, by_hour)),
        events=recent.get("events", {}),
        rejected={reason: number for (reason, _), number in recent.get("rejected", {}).items()},
        runs=recent.get("runs", {}),
        lag=_lag({kind: number for (kind, _), number in recent.get("lag", {}).items()}),
        api=_api_use(hours),
        uncounted=len(latest) == counts.AT_ONCE,
    )


def read_totals() -> Counted:
    """What was counted since the installation: it never falls.

    Raises:
        django.db.Error: The database cannot be read, or has other tables.
    """
    totals: dict[str, dict[tuple[str, str], int]] = {}
    for name, kind, outcome, value in TotalCount.objects.values_list("name", "kind", "outcome", "value"):
        totals.setdefault(name, {})[kind, outcome] = value
    return totals


def _uncounted() -> Iterable[Event]:
    counted_id = CountedEvents.objects.filter(pk=1).values_list("counted_id", flat=True).first()
    return counts.read_events(after=counted_id or 0)


def _by_hour(now: datetime, latest: Iterable[Event]) -> Mapping[datetime, Counter[tuple[str, str]]]:
    """What the slots tell, by hour, name and outcome."""
    since = counts.hour_of(now) - timedelta(days=DAYS)
    told: dict[datetime, Counter[tuple[str, str]]] = {}
    names = ("events", "requests", "throttled", "changes")
    kept = HourlyCount.objects.filter(hour__gte=since, name__in=names).order_by()
    for hour, name, outcome, value in kept.values_list("hour", "name", "outcome").annotate(Sum("value")):
        told.setdefault(hour, Counter())[name, outcome] += value
    rejected = RejectedDeliveries.objects.filter(hour__gte=since).order_by()
    for hour, value in rejected.values_list("hour").annotate(Sum("count")):
        told.setdefault(hour, Counter())["rejected", ""] += value
    for event in latest:
        told.setdefault(counts.hour_of(event.received_at), Counter())["events", event.state] += 1
    return told


def _slot(begins: datetime, told: Mapping[tuple[str, str], int]) -> Slot:
    return Slot(
        begins=begins,
        events={outcome: number for (name, outcome), number in told.items() if name == "events"},
        rejected=told.get(("rejected", ""), 0),
        requests=told.get(("requests", ""), 0),
        throttled=told.get(("throttled", ""), 0),
        missed=told.get(("changes", "missed"), 0),
        delivered=told.get(("changes", "delivered"), 0),
    )


def _days(now: datetime, by_hour: Mapping[datetime, Counter[tuple[str, str]]]) -> Iterator[Slot]:
    today = _local(now).replace(hour=0, minute=0, second=0, microsecond=0)
    told: dict[Any, Counter[tuple[str, str]]] = {}
    for hour, values in by_hour.items():
        told.setdefault(_local(hour).date(), Counter()).update(values)
    for ago in reversed(range(DAYS)):
        begins = today - timedelta(days=ago)
        yield _slot(begins, told.get(begins.date(), {}))


def _local(moment: datetime) -> datetime:
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def _recent(since: datetime, latest: Iterable[Event]) -> Mapping[str, Counter[tuple[str, str]]]:
    """Everything that was counted from then on."""
    told: dict[str, Counter[tuple[str, str]]] = {}
    kept = HourlyCount.objects.filter(hour__gte=since).order_by()
    for name, kind, outcome, value in kept.values_list("name", "kind", "outcome").annotate(Sum("value")):
        told.setdefault(name, Counter())[kind, outcome] += value
    rejected = RejectedDeliveries.objects.filter(hour__gte=since).order_by()
    for reason, value in rejected.values_list("reason").annotate(Sum("count")):
        told.setdefault("rejected", Counter())[reason, ""] += value
    for event in latest:
        if event.received_at >= since:
            for key, value in counts.keys_of(event):
                told.setdefault(key.name, Counter())[key.kind, key.outcome] += value
    return told


def _lag(buckets: Mapping[str, int]) -> Lag:
    in_order = [buckets.get(name, 0) for name in BUCKET_NAMES]
    count = sum(in_order)
    if not count:
        return Lag()
    return Lag(count, *(_quantile(in_order, part * count) for part in (0.5, 0.9, 0.99)))


def _quantile(buckets: list[int], rank: float) -> float:
    """Where so many are below, if those of a bucket are spread evenly over it; at most the last limit."""
    below, lower = 0, 0.0
    for number, upper in zip(buckets, LAG_BUCKETS, strict=False):
        if number and below + number >= rank:
            return round(lower + (upper - lower) * (rank - below) / number, 3)
        below, lower = below + number, upper
    return LAG_BUCKETS[-1]


def _api_use(hours: tuple[Slot, ...]) -> ApiUse:
    rate = throttle.allowed_rate(secret_key=settings.CLERK_SECRET_KEY, purpose="sync")
    return ApiUse(
        requests=sum(slot.requests for slot in hours),
        throttled=sum(slot.throttled for slot in hours),
        allowed=round(rate * 8640),
        busiest=max(slot.requests for slot in hours),
        allowed_an_hour=round(rate * 360),
    )
