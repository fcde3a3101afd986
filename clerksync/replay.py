"""Replays of recorded events, through the path that they came by, in the order they happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Q, QuerySet
from django.utils import timezone
from msgspec import Struct, field

from clerksync import events
from clerksync.conf import settings
from clerksync.envelopes import parse_event
from clerksync.exceptions import PayloadError
from clerksync.models import WebhookEvent
from clerksync.webhooks import Delivery

State = WebhookEvent.State

#: Handlers that have not ended after this time never will: their process has.
HANDLING = timedelta(minutes=5)


class Replayed(Struct):
    """What became of the events of a replay, by state, and which could not be replayed."""

    counts: Counter[str] = field(default_factory=Counter)
    unseen: dict[str, str] = field(default_factory=dict)


def select_events(
    *,
    ids: Sequence[str] = (),
    types: Sequence[str] = (),
    states: Sequence[str] = (State.FAILED, State.PARKED),
    since: datetime | None = None,
) -> QuerySet[WebhookEvent]:
    """The events to replay, in the order they happened; those with ``ids`` whatever their state.

    With the failed ones come those whose process ended before their handlers did.
    """
    chosen = WebhookEvent.objects.order_by("occurred_at", "pk")
    wanted = Q(state__in=states)
    if State.FAILED in states:
        wanted |= Q(handled=False, finished_at__lt=timezone.now() - HANDLING)
    if State.APPLIED not in states:
        # In the words of the index, or SQLite would walk over all events to find the few.
        wanted &= ~Q(state=State.APPLIED) | Q(handled=False)
    chosen = chosen.filter(svix_id__in=ids) if ids else chosen.filter(wanted)
    if types:
        chosen = chosen.filter(type__in=types)
    return chosen.filter(received_at__gte=since) if since else chosen


def select_due(now: datetime) -> QuerySet[WebhookEvent]:
    """The events that are failed, parked or not handled, and whose cause may be over by now.

    Each try comes after at least twice the time of the one before: an event that nothing can help
    costs ten tries in a week, and not a thousand.
    """
    since_last = ExpressionWrapper(F("finished_at") - F("received_at"), output_field=DurationField())
    due = ExpressionWrapper(F("finished_at") + since_last, output_field=DateTimeField())
    return select_events().filter(payload_text__isnull=False).alias(due=due).filter(due__lte=now)


def replay(chosen: QuerySet[WebhookEvent]) -> Iterator[tuple[WebhookEvent, str, str]]:
    """Replay events; twice makes no difference.

    Handlers are called again for an event of which one had failed or been cut short, without touching
    the mirror; the others are applied again, which calls no handler twice.

    Yields:
        The event, the state it has now, and a reason.
    """
    for event in chosen.iterator(chunk_size=200):
        if event.payload_text is None:
            yield event, event.state, "its content was not kept"
            continue
        state, reason = _replay_one(event, event.payload_text)
        yield event, state, _with_blind_spot(reason)


def _replay_one(event: WebhookEvent, payload: str) -> tuple[str, str]:
    delivery = Delivery(event.svix_id, int(event.sent_at.timestamp() * 1000), event.secret)
    try:
        parsed = parse_event(payload.encode())
    except PayloadError as error:
        return event.state, str(error)
    if event.state == State.FAILED or not event.handled:
        failures = events.call_again(parsed, delivery, payload=payload)
        mended = State.APPLIED if event.state == State.FAILED else event.state
        return (State.FAILED if failures else mended), "; ".join(failures)
    receipt = events.process(parsed, delivery, payload=payload, again=True)
    return receipt.status, receipt.reason


def _with_blind_spot(reason: str) -> str:
    if not settings.EXCLUDE_FIELDS:
        return reason
    left_out = ", ".join(settings.EXCLUDE_FIELDS)
    return f"{reason}; without what is never stored ({left_out})".removeprefix("; ")
