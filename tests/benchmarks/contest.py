"""The contestants of the sync benchmark; each returns the seconds that it took."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone

from clerksync import sync
from clerksync.client import ClerkClient
from clerksync.models import ClerkUser
from clerksync.tally import Report
from tests.benchmarks import floor as by_hand
from tests.benchmarks.world import World

#: So many requests a second are never reached: the throttle must not set the pace.
_NO_LIMIT = 10_000_000
_OWN = ("first_seen", "last_written", "state", "updated_ms", "created_ms", "email", "username", "first_name")
_PEERS = (*_OWN, "last_name", "image_url", "public_metadata", "payload_text")


def prepare() -> None:
    """Tables, and a PostgreSQL that keeps what it commits."""
    call_command("migrate", verbosity=0)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                cursor.execute(f"ALTER SYSTEM SET {name} = on")
            cursor.execute("SELECT pg_reload_conf()")


def timed(work: Callable[[], object]) -> float:
    """Seconds of wall time."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def floor(world: World) -> Callable[[], float]:
    """The floor, into an empty table."""

    def run() -> float:
        by_hand.create_table()
        return timed(lambda: by_hand.sync(world))

    return run


def floor_again(world: World) -> Callable[[], float]:
    """A scan that finds nothing changed."""
    return lambda: timed(lambda: by_hand.scan(world))


def ours(world: World, *, payload: bool) -> Callable[[], float]:
    """The full sync into an empty table."""

    def run() -> float:
        _empty()
        with override_settings(CLERKSYNC_STORE_PAYLOAD=payload):
            return timed(lambda: _full_sync(world))

    return run


def ours_again(world: World) -> Callable[[], float]:
    """The full sync when nothing has changed; it must write no row."""

    def run() -> float:
        reports: list[Report] = []
        seconds = timed(lambda: reports.append(_full_sync(world)))
        if reports[0].counts.get("unchanged") != reports[0].counts["seen"]:
            raise AssertionError(reports[0].counts)
        return seconds

    return run


def bulk_create(world: World) -> Callable[[], float]:
    """What many write themselves: read, build models, ``bulk_create(update_conflicts=True)``."""

    def run() -> float:
        _empty()
        return timed(lambda: _bulk_create_all(world))

    return run


def update_or_create(world: World) -> Callable[[], float]:
    """What most write themselves."""

    def run() -> float:
        _empty()
        return timed(lambda: _update_or_create_all(world))

    return run


def one_percent(world: World, users: int) -> str:
    """A sync after each hundredth user has changed: rows written and requests."""
    world.change_every(100)
    report = _full_sync(world)
    counts = report.counts
    return (
        f"  1 % changed: {counts.get('updated', 0)} rows written of {users}, {report.requests} requests, "
        f"{report.seconds:.2f} s\n"
    )


def within_budget(world: World) -> str:
    """A sync under a limit of 100 requests in 10 s: the time against what the budget needs."""
    _empty()
    with override_settings(CLERKSYNC_RATE_LIMIT=100), ClerkClient(**_key(world)) as client:
        report = sync.full_sync(client)
    # The first half-share of requests goes at once, the others as their places come back.
    needed = max(0, report.requests - 50) / 50 * 10
    return (
        f"  100 requests in 10 s: {report.requests} requests, {report.throttled} answered with 429, "
        f"{report.seconds:.1f} s where the budget needs {needed:.1f} s\n"
    )


def statements_per_user(world: World) -> float:
    """How many statements a full sync takes for each user."""
    _empty()
    with CaptureQueriesContext(connection) as queries:
        report = _full_sync(world)
    return len(queries) / report.counts["seen"]


def _full_sync(world: World) -> Report:
    with override_settings(CLERKSYNC_RATE_LIMIT=_NO_LIMIT), ClerkClient(**_key(world)) as client:
        report = sync.full_sync(client, sync.Options(restart=True))
    if report.exit_status:
        raise AssertionError(report.as_dict())
    return report


def _key(world: World) -> dict[str, Any]:
    return {"secret_key": world.secret_key, "api_url": world.url}


def _empty() -> None:
    with connection.cursor() as cursor:
        table = ClerkUser._meta.db_table
        cursor.execute(f"TRUNCATE {table}" if connection.vendor == "postgresql" else f"DELETE FROM {table}")  # noqa: S608


def _bulk_create_all(world: World) -> None:
    batch: list[ClerkUser] = []
    for user in _users(world):
        batch.append(_model(user))
        if len(batch) == 1_000:
            _upsert(batch)
            batch = []
    _upsert(batch)


def _upsert(batch: list[ClerkUser]) -> None:
    with transaction.atomic():
        ClerkUser.objects.bulk_create(
            batch, update_conflicts=True, unique_fields=["clerk_id"], update_fields=_PEERS
        )


def _update_or_create_all(world: World) -> None:
    for user in _users(world):
        model = _model(user)
        ClerkUser.objects.update_or_create(
            clerk_id=user["id"], defaults={name: getattr(model, name) for name in _PEERS}
        )


def _users(world: World) -> Iterator[dict[str, Any]]:
    """All users as dicts, read through our own client, which is the fairest to the peers."""
    with override_settings(CLERKSYNC_RATE_LIMIT=_NO_LIMIT), ClerkClient(**_key(world)) as client:
        cursor = None
        while True:
            page = json.loads(
                client.list_users(limit=500, order_by="+created_at", starting_after=cursor).body
            )
            if not page:
                return
            yield from page
            cursor = page[-1]["id"]


def _model(user: dict[str, Any]) -> ClerkUser:
    primary = user["primary_email_address_id"]
    email = next((one["email_address"] for one in user["email_addresses"] if one["id"] == primary), None)
    now = timezone.now()
    return ClerkUser(
        clerk_id=user["id"],
        first_seen=now,
        last_written=now,
        state="active",
        updated_ms=user["updated_at"],
        created_ms=user["created_at"],
        email=email,
        username=user["username"],
        first_name=user["first_name"],
        last_name=user["last_name"],
        image_url=user["image_url"],
        public_metadata=user["public_metadata"],
        payload_text=json.dumps(user),
    )
