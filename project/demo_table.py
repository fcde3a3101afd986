"""The table of the demo: users right, missing, made up, overwritten and gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from clerksync import refresh
from clerksync.client import ClerkClient
from clerksync.models import (
    ClerkUser,
    CountedEvents,
    HourlyCount,
    MirrorState,
    RejectedDeliveries,
    SyncRun,
    TotalCount,
    WebhookEvent,
)
from clerksync.testing import FakeClerk, every_shape

DAY_MS = 86_400_000

#: Of the 54 users of every shape; the others are right.
MISSING, INVENTED, OVERWRITTEN = 12, 10, 10


@dataclass(frozen=True, slots=True)
class Prepared:
    """How many users the table has in which condition."""

    missing: int
    invented: int
    overwritten: int
    right: int
    gone: int = 1

    @property
    def wrong(self) -> int:
        """Those that a sync has to create or update."""
        return self.missing + self.invented + self.overwritten

    @property
    def in_clerk(self) -> int:
        """All whom Clerk knows."""
        return self.wrong + self.right


def prepare(clerk: FakeClerk) -> Prepared:
    """Fill Clerk with users of every shape, and the table as integrations without a sync leave it.

    Clerk must be empty and served at ``CLERK_API_URL``; whatever the table held is dropped.
    """
    _empty()
    ids = sorted(every_shape(clerk).values())  # drawn at random, so this mixes the shapes
    unwritten, known = ids[: MISSING + INVENTED], ids[MISSING + INVENTED :]
    invented, overwritten = unwritten[MISSING:], known[:OVERWRITTEN]
    leaver: str = clerk.create_user(created_at=clerk.clock.now_ms() - DAY_MS)["id"]
    with ClerkClient() as client:
        refresh.sync_users(client, [*known, leaver])
    clerk.delete_user(leaver)
    _invent(invented)
    _overwrite(overwritten)
    return Prepared(
        missing=MISSING,
        invented=len(invented),
        overwritten=len(overwritten),
        right=len(known) - len(overwritten),
    )


def _empty() -> None:
    counted = (CountedEvents, HourlyCount, TotalCount, RejectedDeliveries)
    for model in (ClerkUser, SyncRun, MirrorState, WebhookEvent, *counted):
        model._default_manager.all().delete()


def _invent(ids: Sequence[str]) -> None:
    """Add rows as a login handler does that knows an id and nothing else."""
    now = timezone.now()
    ClerkUser.objects.bulk_create(
        ClerkUser(clerk_id=clerk_id, **_made_up(clerk_id), first_seen=now, last_written=now)
        for clerk_id in ids
    )


def _overwrite(ids: Sequence[str]) -> None:
    """Replace what was synced, as a handler of incomplete events does."""
    for clerk_id in ids:
        ClerkUser.objects.filter(pk=clerk_id).update(**_made_up(clerk_id))


def _made_up(clerk_id: str) -> dict[str, str]:
    return {"email": f"{clerk_id}@example.com", "first_name": "New", "last_name": "User"}
