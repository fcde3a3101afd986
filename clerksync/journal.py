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
_TABLE = f'"{WebhookEvent._meta.db_table}"'


def _insert(attempts: str) -> str:
    columns = ", ".join(f'"{name}"' for name in _COLUMNS)
    values = ", ".join([*["%s"] * (len(_COLUMNS) - 1), attempts])
    return f'INSERT INTO {_TABLE} ({columns}) VALUES ({values}) ON CONFLICT ("svix_id") DO NOTHING'  # noqa: S608


_INSERT = _insert("%s")
#: Where the database has locks that end with the transaction.
_INSERT_LOCKED = _insert(userlocks.ONE_WHEN_SHARED)
_RENEW = f'UPDATE {_TABLE} SET {", ".join(f"{name} = %s" for name in _RENEWED)} WHERE "svix_id" = %s'  # noqa: S608


def record(entry: Entry, *, again: bool) -> Recorded:
    """Record a delivery: insert it, which is one statement, or count another attempt.

    Until the end of the transaction nobody else lets go of the user that it is about.

    Args:
        entry: The delivery.
        again: Apply it even if it was applied before.
    """
    connection = connections[router.db_for_write(WebhookEvent)]
    values = _values(connection, entry)
    statement = _INSERT_LOCKED if connection.vendor == "postgresql" else _INSERT
    with connection.cursor() as cursor:
        # An event that others are recording just now is waited for; one that is there is left alone.
        cursor.execute(statement, [values[name] for name in _COLUMNS])
        if cursor.rowcount:
            return Recorded(is_new=True, handled=entry.handled)
        events = WebhookEvent.objects.using(connection.alias).filter(svix_id=entry.svix_id)
        if not events.update(attempts=F("attempts") + 1):
            return record(entry, again=again)  # pruned meanwhile
        state, handled = events.values_list("state", "handled").get()
        if state in DONE and not again:
            return Recorded(is_new=False, handled=handled)
        cursor.execute(_RENEW, [*(values[name] for name in _RENEWED), entry.svix_id])
    return Recorded(is_new=True, handled=entry.handled)


def _values(connection: Any, entry: Entry) -> dict[str, Any]:
    """The columns of a new event, as the database takes them."""
    now = _now_for(connection, entry.received_at)
    has_locks = connection.vendor == "postgresql"
    return {
        "svix_id": entry.svix_id,
        "type": entry.type,
        "object_id": entry.object_id,
        "user_id": entry.user_id,
        "instance_id": entry.instance_id,
        "state": entry.state.value,
        "reason": entry.reason,
        "handled": entry.handled,
        "secret": entry.secret,
        "occurred_at": adapt_ms(connection, entry.occurred_ms),
        "sent_at": adapt_ms(connection, entry.sent_ms),
        "received_at": now,
        "finished_at": now,
        "payload_text": entry.payload,
        "attempts": userlocks.key(entry.about) if has_locks else 1,
    }


def correct(svix_id: str, *, state: WebhookEvent.State, reason: str) -> None:
    """Record what really became of an event whose row another process wrote meanwhile."""
    WebhookEvent.objects.filter(svix_id=svix_id).update(state=state, reason=reason)


def drop_content(svix_id: str) -> None:
    """Keep nothing of what an event says, whose user somebody has let go of meanwhile."""
    WebhookEvent.objects.filter(svix_id=svix_id).update(payload_text=None)


def finish(svix_id: str, *, failures: list[str], is_kept: bool) -> None:
    """Record that the handlers of an event were called, and which failed.

    An event whose content is not kept is not tried again, so that nobody need wait for that.
    """
    event = WebhookEvent.objects.filter(svix_id=svix_id)
    if failures:
        state, reason = (State.FAILED if is_kept else State.IGNORED), "; ".join(failures)
        # The time of the last try, from which that of the next one is told.
        event.update(state=state, reason=reason, handled=True, finished_at=timezone.now())
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


def _now_for(connection: Any, moment: datetime) -> str:
    return adapt_time(connection, moment if timezone.is_aware(moment) else timezone.make_aware(moment))
