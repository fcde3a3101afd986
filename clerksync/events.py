"""Events: recorded together with their effect, applied once, replayable.

The first statement of the transaction records the event under its Svix id, so that two
deliveries at the same moment wait for each other; the second one finds a duplicate.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from django.db import transaction
from django.utils import timezone
from msgspec import Struct
from msgspec.structs import replace

from clerksync import journal, mirror, salvage
from clerksync.conf import settings
from clerksync.decisions import fold
from clerksync.envelopes import Event, keep, observe, parse_event
from clerksync.exceptions import PayloadError
from clerksync.handlers import ClerkEvent, call_handlers, has_handlers, off, on
from clerksync.models import WebhookEvent
from clerksync.payloads import Kind, Observation, Parser, unlisted
from clerksync.records import ERASED, Outcome, Row, is_blank
from clerksync.webhooks import Delivery

__all__ = ["ClerkEvent", "Receipt", "off", "on", "process", "receive"]

State = WebhookEvent.State


class Receipt(Struct, frozen=True):
    """What became of a delivery: a state of ``WebhookEvent``, or ``duplicate``."""

    status: str
    reason: str = ""


class _Verdict(Struct, frozen=True):
    """What is to become of an event, and the observations of its user.

    ``was_blank`` is known once the row was written: whether it held nothing of a person.
    """

    state: WebhookEvent.State
    reason: str = ""
    observations: tuple[Observation, ...] = ()
    row: Row | None = None
    clerk_id: str = ""
    was_blank: bool | None = None


def receive(body: bytes, delivery: Delivery) -> Receipt:
    """Record a verified delivery with its effect.

    Costs three statements beside BEGIN and COMMIT (read the row, record the event, write
    the row or read it again) and no network; whatever cannot be applied is parked.

    Raises:
        django.db.Error: Nothing was recorded; another delivery can help.
    """
    try:
        event = parse_event(body)
    except PayloadError as error:
        event = Event(type="unreadable", data=b"{}", timestamp_ms=None, instance_id="", object_id="")
        entry = _entry(event, delivery, _Verdict(State.PARKED, str(error)), payload=None)
        return _write(entry, event, _Verdict(State.PARKED, str(error)), told=None, again=False)
    return process(event, delivery, payload=keep(event, body, exclude=settings.EXCLUDE_FIELDS))


def process(event: Event, delivery: Delivery, *, payload: str | None, again: bool = False) -> Receipt:
    """Record an event with its effect; ``again`` applies one that was applied before.

    Nothing is kept of what it says if its user is gone and nothing of them is to be kept; handlers are told all
    the same, unless the user was erased for good.
    """
    verdict = _judge(event, delivery)
    kept = None if is_blank(verdict.row) else payload
    told = None if verdict.row is not None and verdict.row.digest == ERASED else payload
    return _write(_entry(event, delivery, verdict, payload=kept), event, verdict, told=told, again=again)


def _judge(event: Event, delivery: Delivery) -> _Verdict:
    """Decide from the event and the row, before anything is written."""
    observation, problem = None, ""
    try:
        observation = observe(
            event, Parser.from_settings(), sent_ms=delivery.sent_ms, provenance=delivery.svix_id[:64]
        )
    except PayloadError as error:
        problem = str(error)
    clerk_id = observation.clerk_id if observation else event.user_id
    pinned, deletes_ms, row = mirror.read_known(clerk_id)
    if pinned and event.instance_id != pinned:
        return _Verdict(State.PARKED, f"of another Clerk instance ({event.instance_id or 'none named'})")
    if problem:
        return _Verdict(State.PARKED, problem, row=row, clerk_id=clerk_id)
    if observation is None:
        state = State.APPLIED if has_handlers(event.type) else State.IGNORED
        return _Verdict(state, row=row, clerk_id=clerk_id)
    if row is None and observation.kind is Kind.USER and not observation.full:
        return _Verdict(State.PARKED, f"too little of an unknown user: {clerk_id}", clerk_id=clerk_id)
    observations: tuple[Observation, ...] = (observation,)
    is_new = row is None and observation.kind is Kind.USER
    if is_new and deletes_ms is not None and observation.observed_ms <= deletes_ms:
        # A walk that began after the event has not shown its user, who may be gone: if the event of the delete
        # is lost, nothing but this doubt would tell before the next walk. Judged after the event.
        missed = unlisted(
            clerk_id,
            observed_ms=deletes_ms,
            provenance=observation.provenance,
            updated_ms=observation.updated_ms,
        )
        observations += (missed,)
    state, reason = _state_of(fold(row, observations).outcome)
    return _Verdict(state, reason, observations, row, clerk_id)


def _state_of(outcome: Outcome) -> tuple[WebhookEvent.State, str]:
    match outcome:
        case Outcome.LATE:
            return State.SUPERSEDED, "something newer was known"
        case Outcome.DOUBTED:
            return State.APPLIED, "the user will be read again from Clerk"
        case _:
            return State.APPLIED, ""


def _write(
    entry: journal.Entry, event: Event, verdict: _Verdict, *, told: str | None, again: bool
) -> Receipt:
    with transaction.atomic(using=mirror.database()):
        recorded = journal.record(entry, again=again)
        if recorded.is_new and verdict.observations:
            verdict = _apply(entry, verdict)
        if recorded.is_new and entry.payload is not None and _is_gone(verdict):
            journal.drop_content(entry.svix_id)
            entry = replace(entry, payload=None)
        if not recorded.handled:
            transaction.on_commit(partial(_run_handlers, event, entry, told), using=mirror.database())
    return Receipt(verdict.state.value, verdict.reason) if recorded.is_new else Receipt("duplicate")


def _apply(entry: journal.Entry, verdict: _Verdict) -> _Verdict:
    rows = {} if verdict.row is None else {verdict.clerk_id: verdict.row}
    change = mirror.apply(verdict.observations, rows=rows, savepoint=False)[verdict.clerk_id]
    state, reason = _state_of(change.outcome)
    if state is not verdict.state:  # another process was faster than our decision
        journal.correct(entry.svix_id, state=state, reason=reason)
    return replace(verdict, state=state, reason=reason, was_blank=change.was_blank)


def _is_gone(verdict: _Verdict) -> bool:
    """Whether somebody has let go of the user since the row was read; nobody does from now on to the commit."""
    if verdict.was_blank is not None:
        return verdict.was_blank
    return bool(verdict.clerk_id) and is_blank(mirror.read_known(verdict.clerk_id).row)


def call_again(event: Event, delivery: Delivery, *, payload: str) -> list[str]:
    """Call the handlers of an event again, and leave the mirror alone.

    Returns:
        What failed.
    """
    return _run_handlers(event, _entry(event, delivery, _Verdict(State.APPLIED), payload=payload), payload)


def _run_handlers(event: Event, entry: journal.Entry, told: str | None) -> list[str]:
    """Call the project's handlers of an event with the JSON that they are told, and record how that went."""
    occurred = None if event.timestamp_ms is None else datetime.fromtimestamp(event.timestamp_ms / 1000, UTC)
    data = {} if told is None else salvage.load_object(told.encode()).get("data", {})
    failures = call_handlers(
        ClerkEvent(
            type=event.type,
            svix_id=entry.svix_id,
            object_id=event.object_id,
            instance_id=event.instance_id,
            occurred_at=occurred,
            data=data,
        )
    )
    journal.finish(entry.svix_id, failures=failures, is_kept=entry.payload is not None)
    return failures


def _entry(event: Event, delivery: Delivery, verdict: _Verdict, *, payload: str | None) -> journal.Entry:
    return journal.Entry(
        svix_id=delivery.svix_id,
        type=event.type,
        object_id=event.object_id,
        user_id="" if event.type.startswith("user.") else verdict.clerk_id or event.user_id,
        instance_id=event.instance_id,
        state=verdict.state,
        reason=verdict.reason,
        handled=verdict.state is State.PARKED or not has_handlers(event.type),
        secret=delivery.secret,
        occurred_ms=event.timestamp_ms,
        sent_ms=delivery.sent_ms,
        received_at=timezone.now(),
        payload=payload,
        about=verdict.clerk_id,
    )
