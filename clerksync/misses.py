"""Missed deliveries: changes that no webhook told, although one should have.

Judged are the users that a sync has seen, by the time of their last change: whether an event about them was
recorded since. Each sync judges the time from the last one's on, so no change is judged twice. A user who
was changed twice, and whose second event came, misses nothing that matters.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Max
from django.db.models.functions import Coalesce
from django.utils import timezone

from clerksync import webhooks
from clerksync.models import WebhookEvent
from clerksync.payloads import Observation
from clerksync.seals import Head
from clerksync.watermarks import Watermarks

#: Svix tries at once, after 5 s, and then after 5 minutes: what has not come by now was late at least twice,
#: and a scan has been faster. As long as the overlap of the scans, which thus see each change once more.
GRACE_MS = 120_000
#: The event of a change may be stamped in whole seconds, and by another of Clerk's machines.
SLACK_MS = 2_000

_ARRIVED = (WebhookEvent.State.APPLIED, WebhookEvent.State.SUPERSEDED, WebhookEvent.State.FAILED)


class Window(NamedTuple):
    """Changes after ``since_ms`` and up to ``until_ms`` are judged."""

    since_ms: int
    until_ms: int


def window(known: Watermarks, *, started_ms: int | None) -> Window | None:
    """What a sync that started then is to judge; nothing without a signing secret or an earlier sync."""
    if known.updates_ms is None or started_ms is None or not webhooks.configured_secrets():
        return None
    return Window(known.updates_ms - GRACE_MS, started_ms - GRACE_MS)


def judge(shown: Iterable[Observation | Head], judged: Window) -> dict[str, int]:
    """How many of these users' last changes were ``delivered`` by a webhook, and how many were ``missed``.

    One query, and none if nobody was changed.
    """
    changed = {
        seen.clerk_id: seen.updated_ms
        for seen in shown
        if seen.clerk_id and judged.since_ms < seen.updated_ms <= judged.until_ms
    }
    if not changed:
        return {}
    told = (
        WebhookEvent.objects.filter(object_id__in=changed, state__in=_ARRIVED)
        .values_list("object_id")
        .annotate(last=Max(Coalesce("occurred_at", "sent_at")))
    )
    told_ms = {clerk_id: last.timestamp() * 1000 for clerk_id, last in told}
    missed = sum(told_ms.get(clerk_id, 0) + SLACK_MS < updated_ms for clerk_id, updated_ms in changed.items())
    return {"missed": missed, "delivered": len(changed) - missed}


def judge_deletes(found: int, known: Watermarks, *, now_ms: int) -> dict[str, int]:
    """The same for deletes: those that a walk found, and those that were told since the walk before.

    A delete that is seconds old counts as missed although its event may be under way: nobody knows when a
    user was deleted. A walk is done once a day, so there are few of them.
    """
    if known.deletes_ms is None or not webhooks.configured_secrets():
        return {}
    since = timezone.now() - timedelta(milliseconds=max(0, now_ms - known.deletes_ms))
    return {"missed": found, "delivered": _deletes_told(since)}


def _deletes_told(since: datetime) -> int:
    return WebhookEvent.objects.filter(
        received_at__gte=since, type="user.deleted", state__in=_ARRIVED
    ).count()
