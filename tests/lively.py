"""Tables as they are after a month in use: runs, webhook events, rejected deliveries."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils import timezone

from clerksync import counts
from clerksync.counts import Key
from clerksync.models import RejectedDeliveries, SyncRun, WebhookEvent

State = WebhookEvent.State
_OUTCOMES = (
    *[State.APPLIED] * 20,
    State.SUPERSEDED,
    State.SUPERSEDED,
    State.IGNORED,
    State.PARKED,
    State.FAILED,
)


def fill(*, days: int = 30, events_a_day: int = 40) -> None:
    """Add so many days up to now; the same for the same time."""
    draw = random.Random(8)
    now = timezone.now()
    WebhookEvent.objects.bulk_create(
        _event(draw, now - timedelta(seconds=draw.uniform(120, 86_400)) - timedelta(days=day), number)
        for day in range(days)
        for number in range(events_a_day)
    )
    hour = now.replace(minute=0, second=0, microsecond=0)
    RejectedDeliveries.objects.bulk_create(
        (
            RejectedDeliveries(hour=hour - timedelta(hours=ago), reason=reason, count=count, last_at=now)
            for ago, reason, count in ((1, "signature", 12), (2, "signature", 3), (2, "timestamp", 1))
        ),
        ignore_conflicts=True,
    )
    for run in SyncRun.objects.bulk_create(_runs(now)):
        counts.add(_counts(run), at=run.started_at)
    while counts.count_events(settle=False):
        pass


def _counts(run: SyncRun) -> dict[Key, int]:
    """What is kept of a run, as a sync keeps it."""
    return {
        Key("runs", run.kind, run.state): 1,
        Key("requests", run.kind): run.api_calls,
        Key("throttled", run.kind): run.throttled,
        **{Key("changes", "", name): run.counts[name] for name in ("missed", "delivered")},
    }


def _event(draw: random.Random, received: datetime, number: int) -> WebhookEvent:
    state = draw.choice(_OUTCOMES)
    return WebhookEvent(
        svix_id=f"msg_{received.timestamp():.0f}_{number}",
        type=draw.choice(["user.created", "user.updated", "user.updated", "session.created"]),
        object_id=f"user_{number}",
        state=state,
        reason="" if state == State.APPLIED else "a test",
        occurred_at=received - timedelta(seconds=draw.expovariate(0.7)),
        sent_at=received,
        received_at=received,
        finished_at=received,
        payload_text="{}",
    )


def _runs(now: datetime) -> Iterator[SyncRun]:
    for ago in range(29, -1, -1):
        started = now - timedelta(days=ago, minutes=17)
        failed = ago == 4
        yield SyncRun(
            kind=SyncRun.Kind.FULL if ago % 3 else SyncRun.Kind.INCREMENTAL,
            state=SyncRun.State.FAILED if failed else SyncRun.State.COMPLETED,
            counts={"seen": 1200 + ago, "updated": ago % 7, "missed": ago % 3, "delivered": 4 + ago % 5},
            api_calls=12 + ago,
            throttled=ago % 2,
            started_at=started,
            progressed_at=started + timedelta(seconds=75 + ago),
            finished_at=started + timedelta(seconds=75 + ago),
            error="Clerk is down" if failed else "",
        )
