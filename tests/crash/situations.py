"""What tests of crashes begin with, wait for, and find in the books."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.conf import settings as django_settings
from django.db import connection

from clerksync.models import MirrorState, ScheduledJob
from clerksync.testing import FakeClerk
from tests.syncing import Syncer, execute, small_pages

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def clerk_settings() -> dict[str, Any]:
    """Where the children find this test's Clerk."""
    names = ("CLERK_API_URL", "CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY", "CLERK_WEBHOOK_SIGNING_SECRET")
    return {**{name: getattr(django_settings, name) for name in names}, "CLERKSYNC_RATE_LIMIT": 1_000_000}


def expire_leases() -> None:
    """Let the minute pass for which a dead process holds leases and claims."""
    for name in ("full_expires_at", "incremental_expires_at", "audit_expires_at"):
        MirrorState.objects.filter(**{f"{name}__isnull": False}).update(**{name: PAST})
    ScheduledJob.objects.filter(expires_at__isnull=False).update(expires_at=PAST)


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def deadlocks() -> int:
    """How many deadlocks PostgreSQL has counted; SQLite has none."""
    if connection.vendor != "postgresql":
        return 0
    execute("SELECT pg_stat_clear_snapshot()")
    return int(execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0][0])


def fall_behind(clerk: FakeClerk) -> None:
    """A table of 25 that has been synced, and a Clerk that has moved since.

    Four users are changed, three deleted, eight new; it gives them in small pages.
    """
    ids = clerk.create_users(25)
    clerk.advance(seconds=60)
    Syncer(clerk).full()
    clerk.advance(seconds=60)
    for clerk_id in ids[3:24:10]:
        clerk.delete_user(clerk_id)
    for clerk_id in ids[:20:6]:
        clerk.update_user(clerk_id, first_name="Jasmin")
    clerk.create_users(8)
    small_pages(clerk)
