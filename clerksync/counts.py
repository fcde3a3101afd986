"""Counts that are kept: of each hour, and since the installation. They grow, and never fall.

What there is, by name, with kind and outcome:

==============  ==============  ===============  ==========================================================
``events``      type            state            events, as they stood about a minute after they came
``lag``         bucket          -                the same by how late they came; ``LAG_BUCKETS``
``lag_ms``      -               -                the sum of that, in ms
``runs``        kind            state            syncs that ended
``run_ms``      kind            -                how long they took, in ms
``requests``    kind            -                requests that they sent
``throttled``   kind            -                of these, those answered with 429
``changes``     -               missed, ...      changes that webhooks should have told, as syncs judged them
``users``       kind            outcome          users, by what a sync did to them
``rejected``    reason          -                deliveries that were rejected; by the hour in a table of their own
==============  ==============  ===============  ==========================================================

Syncs are counted as they end, in their own transaction. A webhook has no statement to spare, so events are
counted afterwards, by their numbers, by whoever asks: each once, whatever else happens to it later.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connections, router, transaction
from django.db.models import Max
from django.utils import timezone

from clerksync import webhooks
from clerksync.models import CountedEvents, HourlyCount, TotalCount, WebhookEvent
from clerksync.times import adapt_time

#: Upper limits in seconds; what came later still is in a bucket named "+Inf".
LAG_BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
BUCKET_NAMES = (*map(str, LAG_BUCKETS), "+Inf")
#: By then every transaction has ended that was under way when an event's number was first seen.
SETTLED = timedelta(seconds=60)
#: So many events are counted at once: 0.1 s.
AT_ONCE = 20_000
#: Hourly counts are kept so long.
KEPT = timedelta(days=93)
#: What no event of Clerk's is called is counted as "other": a label of a metric is for ever.
_TYPE = re.compile(r"[a-zA-Z_]+(\.[a-zA-Z_]+){0,3}")
_MAX_TYPE = 60


class Key(NamedTuple):
    """What is counted."""

    name: str
    kind: str = ""
    outcome: str = ""


class Event(NamedTuple):
    """What is counted of an event."""

    id: int
    type: str
    state: str
    received_at: datetime
    occurred_at: datetime | None


def add(values: Mapping[Key, int], *, at: datetime) -> None:
    """Add to the counts; belongs into the transaction of what is counted."""
    hour = hour_of(at)
    _add({(hour, key): value for key, value in values.items()})


def add_total(key: Key, value: int = 1) -> None:
    """Add to what is counted since the installation only."""
    _execute(_TOTAL, [(*key, value)])


def hour_of(moment: datetime) -> datetime:
    """The beginning of the hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def count_events(*, settle: bool = True, limit: int = AT_ONCE) -> bool:
    """Count events that have not been counted yet; any number of processes may do so at once.

    Args:
        settle: Leave those of the last minute, whose transactions may be under way, to the next time.
        limit: Count no more than so many.

    Returns:
        Whether there are more of those that could be counted.

    Raises:
        django.db.Error: The database failed; the next call counts them.
    """
    now = timezone.now()
    place = CountedEvents.objects.filter(pk=1).first()
    if place is None:
        CountedEvents.objects.bulk_create([CountedEvents(pk=1)], ignore_conflicts=True)
        place = CountedEvents(pk=1)
    is_settled = place.seen_at is None or not now - SETTLED < place.seen_at <= now
    if settle and not is_settled:
        return False
    up_to = place.seen_id if settle else _newest_id()
    found = list(read_events(after=place.counted_id, up_to=up_to, limit=limit))
    is_partial = len(found) == limit
    values: dict[str, Any] = {"counted_id": found[-1].id if is_partial else up_to}
    if not is_partial:
        values |= {"seen_id": max(_newest_id(), up_to), "seen_at": now}
    _move(place, values, found)
    return is_partial


def read_events(*, after: int, up_to: int | None = None, limit: int = AT_ONCE) -> Iterator[Event]:
    """The events with the next numbers, as far as counts need them."""
    chosen = WebhookEvent.objects.filter(id__gt=after).order_by("id")
    chosen = chosen if up_to is None else chosen.filter(id__lte=up_to)
    columns = chosen.values_list("id", "type", "state", "received_at", "occurred_at")
    return (Event(*row) for row in columns[:limit])


def keys_of(event: Event) -> Iterator[tuple[Key, int]]:
    """What an event adds."""
    yield Key("events", _type(event.type), event.state), 1
    # One that we sent ourselves says nothing about Clerk.
    if event.occurred_at is not None and event.type != webhooks.PROBE:
        lag = max(timedelta(0), event.received_at - event.occurred_at)
        yield Key("lag", BUCKET_NAMES[bisect_left(LAG_BUCKETS, lag.total_seconds())]), 1
        yield Key("lag_ms"), lag // timedelta(milliseconds=1)


def prune() -> int:
    """Forget the hours that are too old; returns how many counts."""
    return HourlyCount.objects.filter(hour__lt=timezone.now() - KEPT).delete()[0]


def _move(place: CountedEvents, values: Mapping[str, Any], found: list[Event]) -> None:
    """Count these events, unless somebody else has done it."""
    counted: Counter[tuple[datetime, Key]] = Counter()
    for event in found:
        hour = hour_of(event.received_at)
        for key, value in keys_of(event):
            counted[hour, key] += value
    with transaction.atomic(using=router.db_for_write(HourlyCount)):
        unchanged = CountedEvents.objects.filter(pk=1, counted_id=place.counted_id, seen_id=place.seen_id)
        if unchanged.update(**values):
            _add(counted)


def _newest_id() -> int:
    return WebhookEvent.objects.aggregate(newest=Max("id"))["newest"] or 0


def _type(name: str) -> str:
    return name if len(name) <= _MAX_TYPE and _TYPE.fullmatch(name) else "other"


def _add(values: Mapping[tuple[datetime, Key], int]) -> None:
    """In one order for everybody, so that nobody waits for each other."""
    connection = connections[router.db_for_write(HourlyCount)]
    kept = sorted((key, value) for key, value in values.items() if value)
    totals: Counter[Key] = Counter()
    for (_, key), value in kept:
        totals[key] += value
    hours = ((_stored(connection, hour), *key, value) for (hour, key), value in kept)
    with transaction.atomic(using=connection.alias):
        _execute(_HOURLY, list(hours))
        _execute(_TOTAL, [(*key, value) for key, value in sorted(totals.items())])


def _execute(statement: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        with connections[router.db_for_write(HourlyCount)].cursor() as cursor:
            cursor.executemany(statement, rows)


def _stored(connection: Any, moment: datetime) -> str:
    return adapt_time(connection, moment if timezone.is_aware(moment) else timezone.make_aware(moment))


def _upsert(model: type[HourlyCount | TotalCount], *key: str) -> str:
    table, columns = f'"{model._meta.db_table}"', ", ".join(f'"{name}"' for name in key)
    places = ", ".join(["%s"] * (len(key) + 1))
    return (
        f'INSERT INTO {table} ({columns}, "value") VALUES ({places}) '  # noqa: S608  # our own names
        f'ON CONFLICT ({columns}) DO UPDATE SET "value" = {table}."value" + excluded."value"'
    )


_HOURLY = _upsert(HourlyCount, "hour", *Key._fields)
_TOTAL = _upsert(TotalCount, *Key._fields)
