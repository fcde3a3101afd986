"""The record of webhooks: events under their Svix ids, and counts of what was rejected."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connections, router
from django.db.models import F
from django.utils import timezone
from msgspec import Struct

from clerksync import counts, userlocks
from clerksync.conf import settings
from clerksync.counts import Key
from clerksync.models import RejectedDeliveries, WebhookEvent
from clerksync.times import adapt_ms, adapt_time

State = WebhookEvent.State

#: A redelivery of an event in one of these changes nothing.
DONE = (State.APPLIED, State.SUPERSEDED, State.IGNORED, State.FAILED)
PRUNE_AT_ONCE = 1_000


class Entry(Struct, frozen=True):
    """What is recorded of one delivery; ``handled`` is False while handlers are to be called.

    ``user_id`` is whom an object that is no user belongs to; ``about`` the user whose lock is shared meanwhile.
    """

    svix_id: str
    type: str
    object_id: str
    user_id: str
    instance_id: str
    state: WebhookEvent.State
    reason: str
    handled: bool
    secret: str
    occurred_ms: int | None
    sent_ms: int
    received_at: datetime
    payload: str | None
    about: str = ""


class Recorded(NamedTuple):
    """Whether the event is to be applied now, and whether its handlers have been called."""

    is_new: bool
    handled: bool


_COLUMNS = (
    "svix_id",
    "type",
    "object_id",
    "user_id",
    "instance_id",
    "state",
    "reason",
    "handled",
    "secret",
    "occurred_at",
    "sent_at",
    "received_at",
    "finished_at",
    "payload_text",
    "attempts",
)
#: What another delivery of an event that was parked may change.
_RENEWED = ("state", "reason", "handled", "secret", "sent_at", "finished_at", "payload_text")


def record(entry: Entry, *, again: bool) -> Recorded:
    """Record a delivery, in one statement: insert it, or count another attempt.

    Until the end of the transaction nobody else lets go of the user that it is about.

    Args:
        entry: The delivery.
        again: Apply it even if it was applied before.
    """
    connection = connections[router.db_for_write(WebhookEvent)]
    has_locks = connection.vendor == "postgresql"
    now = _now_for(connection, entry.received_at)
    values = (
        entry.svix_id,
        entry.type,
        entry.object_id,
        entry.user_id,
        entry.instance_id,
        entry.state.value,
        entry.reason,
        entry.handled,
        entry.secret,
        adapt_ms(connection, entry.occurred_ms),
        adapt_ms(connection, entry.sent_ms),
        now,
        now,
        entry.payload,
        userlocks.key(entry.about) if has_locks else 1,
    )
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENTS[again, has_locks], (*values, now))
        is_new, handled = cursor.fetchone()
    return Recorded(bool(is_new), bool(handled))


def correct(svix_id: str, *, state: WebhookEvent.State, reason: str) -> None:
    """Record what really became of an event whose row another process wrote meanwhile."""
    WebhookEvent.objects.filter(svix_id=svix_id).update(state=state, reason=reason)


def drop_content(svix_id: str) -> None:
    """Keep nothing of what an event says, whose user somebody has let go of meanwhile."""
    WebhookEvent.objects.filter(svix_id=svix_id).update(payload_text=None)


def finish(svix_id: str, *, failures: list[str]) -> None:
    """Record that the handlers of an event were called, and which failed."""
    event = WebhookEvent.objects.filter(svix_id=svix_id)
    if failures:
        # The time of the last try, from which that of the next one is told.
        event.update(state=State.FAILED, reason="; ".join(failures), handled=True, finished_at=timezone.now())
        return
    event.update(handled=True, finished_at=timezone.now())
    event.filter(state=State.FAILED).update(state=State.APPLIED, reason="")


def count_rejection(reason: str) -> None:
    """Count a delivery that was not accepted; nothing else is kept of it."""
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    counted = RejectedDeliveries.objects.filter(hour=hour, reason=reason)
    if not counted.update(count=F("count") + 1, last_at=now):
        RejectedDeliveries.objects.bulk_create(
            [RejectedDeliveries(hour=hour, reason=reason, count=0, last_at=now)], ignore_conflicts=True
        )
        counted.update(count=F("count") + 1, last_at=now)
    counts.add_total(Key("rejected", reason))


def prune(*, days: int | None = None) -> int:
    """Delete events and counts that are older than EVENT_RETENTION_DAYS, in batches.

    Returns:
        How many events were deleted.
    """
    while counts.count_events(settle=False):
        pass  # what is gone can no longer be counted
    before = timezone.now() - timedelta(days=settings.EVENT_RETENTION_DAYS if days is None else days)
    old = WebhookEvent.objects.filter(received_at__lt=before).order_by("received_at")
    pruned = 0
    while ids := list(old.values_list("pk", flat=True)[:PRUNE_AT_ONCE]):
        pruned += WebhookEvent.objects.filter(pk__in=ids).delete()[0]
    RejectedDeliveries.objects.filter(hour__lt=before).delete()
    counts.prune()
    return pruned


def _statement(*, again: bool, has_locks: bool) -> str:
    table = f'"{WebhookEvent._meta.db_table}"'
    columns = ", ".join(f'"{name}"' for name in _COLUMNS)
    done = ", ".join(f"'{state.value}'" for state in DONE)
    settled = "1 = 0" if again else f'{table}."state" IN ({done})'
    renewed = ", ".join(
        f'"{name}" = CASE WHEN {settled} THEN {table}."{name}" ELSE excluded."{name}" END'
        for name in _RENEWED
    )
    values = ["%s"] * (len(_COLUMNS) - 1) + [userlocks.ONE_WHEN_SHARED if has_locks else "%s"]
    return (
        f"INSERT INTO {table} ({columns}) VALUES ({', '.join(values)}) "  # noqa: S608
        f'ON CONFLICT ("svix_id") DO UPDATE SET "attempts" = {table}."attempts" + 1, {renewed} '
        f'RETURNING CASE WHEN "finished_at" = %s THEN 1 ELSE 0 END, "handled"'
    )


#: By ``again``, and whether the database has locks.
_STATEMENTS = {
    (again, has_locks): _statement(again=again, has_locks=has_locks)
    for again in (False, True)
    for has_locks in (False, True)
}


def _now_for(connection: Any, moment: datetime) -> str:
    return adapt_time(connection, moment if timezone.is_aware(moment) else timezone.make_aware(moment))
