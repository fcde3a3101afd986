"""What our tables tell: whose users they hold, what was delivered and rejected, how the syncs went."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db.models import Max, Sum
from django.utils import timezone
from msgspec import Struct

from clerksync import jobs, status, webhooks
from clerksync.models import MirrorState, RejectedDeliveries, ScheduledJob, SyncRun, WebhookEvent
from clerksync.status import Status

#: So many of the latest events tell of which instance they are.
LATEST = 20
#: Rejected deliveries count for so long.
PERIOD = timedelta(hours=24)


class Books(Struct, frozen=True):
    """What was read.

    ``instances`` are those of the latest events, ``rejected`` counts by reason of the last 24 hours,
    ``completed`` when the last completed run of a kind began, ``jobs`` the scheduler's rows.
    """

    instance_id: str
    status: Status
    instances: frozenset[str]
    rejected: Mapping[str, int]
    completed: Mapping[str, datetime]
    jobs: tuple[ScheduledJob, ...]
    read_at: datetime


def read() -> Books:
    """Read them, in few queries.

    Raises:
        django.db.Error: The tables cannot be read.
    """
    now = timezone.now()
    events = WebhookEvent.objects.exclude(type=webhooks.PROBE).order_by("-received_at")
    rejections = RejectedDeliveries.objects.filter(last_at__gt=now - PERIOD).values_list("reason")
    completed = SyncRun.objects.filter(state=SyncRun.State.COMPLETED).values_list("kind")
    return Books(
        instance_id=MirrorState.objects.filter(pk=1).values_list("instance_id", flat=True).first() or "",
        status=status.read(now=now),
        instances=frozenset(events.values_list("instance_id", flat=True)[:LATEST]) - {""},
        rejected=dict(rejections.annotate(Sum("count")).order_by("reason")),
        completed=dict(completed.annotate(Max("started_at")).order_by()),
        jobs=tuple(jobs.read()),
        read_at=now,
    )
