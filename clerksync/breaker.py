"""The breaker: how many users may be buried because Clerk no longer shows them.

A wrong key, an empty answer or an ignored filter makes everybody look deleted. Deletes
that Clerk itself reports are not counted.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.utils import timezone

from clerksync.conf import settings
from clerksync.exceptions import DeletesRefused
from clerksync.models import ClerkUser, MirrorState
from clerksync.records import ACTIVE, DELETED

WINDOW = timedelta(hours=24)


def default_limit(active: int) -> int:
    """At most 1 % of the active users, but 50 (a fifth of a small table) at any rate, and always 3."""
    return max(3, min(50, active // 5), active // 100)


def remaining_deletes(*, now_ms: int) -> int:
    """How many users may still be buried in these 24 hours."""
    active = ClerkUser.objects.filter(state=ACTIVE).count()
    since = datetime.fromtimestamp(now_ms / 1000, UTC) - WINDOW
    if not timezone.is_aware(timezone.now()):
        since = timezone.make_naive(since)
    buried = ClerkUser.objects.filter(state=DELETED, deleted_by="absence", deleted_at__gte=since).count()
    limit = settings.MAX_DELETES
    if limit is None:
        # The table as it was before these deletes: the limit must not shrink while they go on.
        limit = default_limit(active + buried)
    elif callable(limit):
        limit = limit(active + buried)
    return max(0, limit - buried)


def check_deletes(count: int, *, now_ms: int, allowed: int | None = None, lock: bool = True) -> None:
    """Refuse more deletes than are allowed.

    Args:
        count: How many users are about to be buried.
        now_ms: The time of the newest read, in Clerk's clock.
        allowed: What an operator allowed; None for the limit of the settings.
        lock: Let nobody else ask until the end of the transaction.

    Raises:
        DeletesRefused: The message says what to pass to go on.
    """
    if count == 0:
        return
    if allowed is None:
        if lock:
            MirrorState.objects.filter(pk=1).update(id=1)
        allowed = remaining_deletes(now_ms=now_ms)
    if count > allowed:
        raise DeletesRefused(
            f"{count} users are in this table but no longer in Clerk, and only {allowed} may be deleted "
            f"within 24 hours. Check that the secret key is of the right instance; if these users are "
            f"really gone, run: manage.py sync_clerk_users --allow-deletes {count}",
            wanted=count,
            allowed=allowed,
        )
