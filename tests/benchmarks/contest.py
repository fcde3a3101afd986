"""The contestants of the sync benchmark; each returns the seconds that it took."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone

from clerksync import sync
from clerksync.client import ClerkClient
from clerksync.models import ClerkUser
from clerksync.tally import Report
from tests.benchmarks import floor as by_hand
from tests.benchmarks.turns import timed
from tests.benchmarks.world import NO_LIMIT, World

#: By name; each returns its seconds.
Contestants = dict[str, Callable[[], float]]

_OWN = ("first_seen", "last_written", "state", "updated_ms", "created_ms", "email", "username", "first_name")
_PEERS = (*_OWN, "last_name", "image_url", "public_metadata", "payload_text")


def floor(world: World, *, indexed: bool = False) -> Callable[[], float]:
    """The floor, into an empty table; see there for the indexes."""

    def run() -> float:
        by_hand.create_table(indexed=indexed)
        return timed(lambda: by_hand.sync(world))

    return run


def floor_again(world: World) -> Callable[[], float]:
    """A scan that finds nothing changed."""
    return lambda: timed(lambda: by_hand.scan(world))


def ours(world: World, *, payload: bool) -> Callable[[], float]:
    """The full sync into an empty table."""

    def run() -> float:
        empty()
        with override_settings(CLERKSYNC_STORE_PAYLOAD=payload):
            return timed(lambda: full_sync(world))

    return run


def ours_again(world: World) -> Callable[[], float]:
    """The full sync when nothing has changed; it must write no row."""

    def run() -> float:
        reports: list[Report] = []
        seconds = timed(lambda: reports.append(full_sync(world)))
        if reports[0].counts.get("unchanged") != reports[0].counts["seen"]:
            raise AssertionError(reports[0].counts)
        return seconds

    return run


def bulk_create(world: World) -> Callable[[], float]:
    """What many write themselves: read, build models, ``bulk_create(update_conflicts=True)``."""

    def run() -> float:
        empty()
        return timed(lambda: _bulk_create_all(world))

    return run


def update_or_create(world: World) -> Callable[[], float]:
    """What most write themselves."""

    def run() -> float:
        empty()
        return timed(lambda: _update_or_create_all(world))

    return run


def statements_per_user(world: World) -> float:
    """How many statements a full sync takes for each user."""
    empty()
    with CaptureQueriesContext(connection) as queries:
        report = full_sync(world)
    return len(queries) / report.counts["seen"]


def full_sync(world: World) -> Report:
    """A full sync that nothing holds back, from the beginning; it must be complete."""
    with override_settings(CLERKSYNC_RATE_LIMIT=NO_LIMIT), ClerkClient(**world.access) as client:
        return checked(sync.full_sync(client, sync.Options(restart=True)))


def checked(report: Report) -> Report:
    """The report of a sync that did all that it should."""
    if report.exit_status:
        raise AssertionError(report.as_dict())
    return report


def written() -> set[tuple[Any, ...]]:
    """Something that is another after any write to the table of users."""
    version = "xmin::text, ctid::text" if connection.vendor == "postgresql" else "revision, last_written"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT clerk_id, {version} FROM {ClerkUser._meta.db_table}")  # noqa: S608
        return set(cursor.fetchall())


def wal_bytes() -> int | None:
    """How much PostgreSQL has written ahead so far; SQLite does not tell."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
        return int(cursor.fetchone()[0])


def empty() -> None:
    """Forget all users."""
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
    with override_settings(CLERKSYNC_RATE_LIMIT=NO_LIMIT), ClerkClient(**world.access) as client:
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
