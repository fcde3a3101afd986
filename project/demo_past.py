"""A past for the demo's site: a month of webhook events and syncs that never were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils import timezone

from clerksync import counts
from clerksync.counts import Key
from clerksync.models import RejectedDeliveries, SyncRun, WebhookEvent
from clerksync.testing import FakeClerk
from clerksync.testing.deliveries import event_body

State = WebhookEvent.State

#: In this proportion.
_STATES = (
    *[State.APPLIED] * 40, *[State.SUPERSEDED] * 4, *[State.IGNORED] * 3, State.PARKED, State.FAILED,
)  # fmt: skip
_TYPES = ("user.created", "user.updated", "user.updated", "session.created")
_REASONS = {State.FAILED: "a handler raised an exception", State.PARKED: "the user was not known"}
#: Hours ago, why, how many.
_REJECTED = ((1, "signature", 12), (2, "signature", 3), (2, "timestamp", 1))


def invent_past(clerk: FakeClerk, *, days: int = 30, events_a_day: int = 40) -> None:
    """Add so many days up to now, of events about the users of this Clerk; a replay settles those that wait."""
    now = timezone.now()
    teller = _Teller(clerk)
    WebhookEvent.objects.bulk_create(
        teller.event(now - timedelta(days=day), number)
        for day in range(days)
        for number in range(events_a_day)
    )
    hour = counts.hour_of(now)
    rejected = (
        RejectedDeliveries(hour=hour - timedelta(hours=ago), reason=reason, count=number, last_at=now)
        for ago, reason, number in _REJECTED
    )
    RejectedDeliveries.objects.bulk_create(rejected, ignore_conflicts=True)
    for run in SyncRun.objects.bulk_create(_runs(now)):
        counts.add(_kept(run), at=run.started_at)
    while counts.count_events(settle=False):
        pass


class _Teller:
    """Makes up events; always the same ones."""

    def __init__(self, clerk: FakeClerk) -> None:
        self._clerk = clerk
        self._users = clerk.users()
        self._draw = random.Random(8)  # noqa: S311  # chooses what is shown, guards nothing

    def event(self, day: datetime, number: int) -> WebhookEvent:
        """One within the 24 hours before a moment, but for the last minutes."""
        received = day - timedelta(seconds=self._draw.uniform(120, 86_400))
        occurred = received - timedelta(seconds=self._draw.expovariate(0.7))
        state = self._draw.choice(_STATES)
        user = self._draw.choice(self._users) if self._users else {"id": f"user_{number}"}
        body = event_body(
            "user.updated",
            user,
            timestamp_ms=int(occurred.timestamp() * 1000),
            instance_id=self._clerk.instance_id,
        )
        return WebhookEvent(
            svix_id=f"msg_{received.timestamp() * 1000:.0f}_{number}",
            type=self._draw.choice(_TYPES) if state not in _REASONS else "user.updated",
            object_id=user["id"],
            instance_id=self._clerk.instance_id,
            state=state,
            reason=_REASONS.get(state, ""),
            occurred_at=occurred,
            sent_at=received,
            received_at=received,
            finished_at=received,
            payload_text=body.decode() if state in _REASONS else None,
        )


def _runs(now: datetime) -> Iterator[SyncRun]:
    for ago in range(29, -1, -1):
        started, seconds = now - timedelta(days=ago, minutes=17), 75 + ago
        failed = ago == 4
        yield SyncRun(
            kind=SyncRun.Kind.FULL if ago % 3 else SyncRun.Kind.INCREMENTAL,
            state=SyncRun.State.FAILED if failed else SyncRun.State.COMPLETED,
            counts={"seen": 54, "updated": ago % 7, "missed": ago % 3, "delivered": 4 + ago % 5},
            api_calls=12 + ago,
            throttled=ago % 2,
            started_at=started,
            progressed_at=started + timedelta(seconds=seconds),
            finished_at=started + timedelta(seconds=seconds),
            error="Clerk did not answer." if failed else "",
        )


def _kept(run: SyncRun) -> dict[Key, int]:
    """What is counted of a run, as a sync counts it."""
    return {
        Key("runs", run.kind, run.state): 1,
        Key("requests", run.kind): run.api_calls,
        Key("throttled", run.kind): run.throttled,
        **{Key("changes", "", name): run.counts[name] for name in ("missed", "delivered")},
    }
