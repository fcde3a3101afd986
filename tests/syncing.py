"""Full syncs in tests: a client whose waits pass at once, and what the tables must hold afterwards."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection, connections
from django.test import override_settings

from clerksync.client import ClerkClient
from clerksync.differences import compare_fields
from clerksync.incremental import incremental_sync
from clerksync.models import ClerkUser, MirrorState, SyncRun
from clerksync.pages import SweptPage
from clerksync.payloads import Parser, Source
from clerksync.refresh import sync_users
from clerksync.runner import OnPage
from clerksync.sync import Options, full_sync
from clerksync.tally import Report
from clerksync.testing import FakeClerk, Request, serve
from clerksync.throttle import Throttle
from tests.clocks import VirtualTime
from tests.routers import use_database

LISTS = "GET /v1/users"
READS = "GET /v1/users/{id}"
COUNT = "GET /v1/users/count"

#: What is another for each run, whatever Clerk holds.
LOCAL = {"first_seen", "last_written", "provenance", "checked_at", "user"}
CONTENT = tuple(field.name for field in ClerkUser._meta.concrete_fields if field.name not in LOCAL)


class Syncer:
    """Syncs a fake Clerk; every wait moves the fake's clock and takes no time."""

    def __init__(self, clerk: FakeClerk) -> None:
        self.clerk = clerk
        self.time = VirtualTime(on_sleep=lambda seconds: clerk.advance(seconds=seconds))

    def client(self) -> ClerkClient:
        """A client with a throttle of its own."""
        return ClerkClient(throttle=Throttle(rate=1_000_000, scope="tests", clock=self.time.clock))

    def full(
        self, *, on_page: OnPage | None = None, stop: threading.Event | None = None, **options: Any
    ) -> Report:
        """Sync everybody."""
        with self.client() as client:
            return full_sync(client, Options(**options), on_page=on_page, stop=stop, sleep=self.time.sleep)

    def incremental(self, **options: Any) -> Report:
        """Sync those who were changed."""
        with self.client() as client:
            return incremental_sync(client, sleep=self.time.sleep, **options)

    def users(self, *ids: str, **options: Any) -> Report:
        """Sync these users."""
        with self.client() as client:
            return sync_users(client, ids, **options)


def on_each_database() -> Iterator[Syncer]:
    """Twins of a fake Clerk, one after the other for each database."""
    for alias in ("default", "other"):
        twin = FakeClerk(seed=5, secret_key=settings.CLERK_SECRET_KEY)
        with serve(twin) as served, override_settings(CLERK_API_URL=served.url), use_database(alias):
            yield Syncer(twin)


def synced(syncer: Syncer, count: int) -> list[str]:
    """So many users in Clerk and in the table, all changed longer ago than the overlap."""
    ids = syncer.clerk.create_users(count)
    syncer.clerk.advance(seconds=600)
    assert syncer.full().error is None
    syncer.clerk.advance(seconds=300)
    syncer.clerk.clear_requests()
    return ids


def change(clerk: FakeClerk, ids: Iterable[str]) -> None:
    """Change these users, a second apart."""
    for clerk_id in ids:
        clerk.advance(seconds=1)
        clerk.update_user(clerk_id, last_name="Changed")


class StopAfter:
    """Sets an event after so many pages."""

    def __init__(self, pages: int) -> None:
        self.left = pages
        self.event = threading.Event()

    def __call__(self, page: SweptPage, seen: int) -> None:
        """Count a page."""
        self.left -= 1
        if self.left == 0:
            self.event.set()


def small_pages(clerk: FakeClerk) -> None:
    """Ten users a page (nine, for one is the border's), so that few users make many pages."""
    clerk.fail("limit_ignored", times=None)


def before_list(clerk: FakeClerk, change: Callable[[], object], *, after: int = 1) -> None:
    """Call ``change`` right before the list request that comes after so many."""

    def call(request: Request) -> None:
        change()

    clerk.fail("callback", call=call, on=LISTS, after=after)


@contextmanager
def trap(seen: int) -> Iterator[None]:
    """Let the database fail at the last statement of the page after which ``seen`` users have been seen."""
    is_postgresql = connection.vendor == "postgresql"
    counted = (
        "(NEW.checkpoint ->> 'seen')::int" if is_postgresql else "json_extract(NEW.checkpoint, '$.seen')"
    )
    when = f"NEW.state = 'running' AND {counted} = {seen}"
    if is_postgresql:
        execute(
            "CREATE FUNCTION spring() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'a full disk' USING DETAIL = 'maren@harbour-works.io'; END $$"
        )
        execute(
            "CREATE TRIGGER trap BEFORE UPDATE ON clerksync_syncrun FOR EACH ROW "
            f"WHEN ({when}) EXECUTE FUNCTION spring()",
        )
    else:
        execute(
            f"CREATE TRIGGER trap BEFORE UPDATE ON clerksync_syncrun WHEN {when} "
            "BEGIN SELECT RAISE(ABORT, 'a full disk'); END"
        )
    try:
        yield
    finally:
        execute("DROP TRIGGER trap ON clerksync_syncrun" if is_postgresql else "DROP TRIGGER trap")
        if is_postgresql:
            execute("DROP FUNCTION spring()")


def execute(statement: str) -> list[tuple[Any, ...]]:
    """The rows that a statement gives, if any."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def told(report: Report) -> dict[str, int]:
    """What was counted, without what is 0, and without what webhooks should have done."""
    others = ("missed", "delivered")
    return {name: count for name, count in report.counts.items() if count and name not in others}


def last_run(kind: SyncRun.Kind = SyncRun.Kind.FULL) -> SyncRun:
    """The books of the newest sync of a kind."""
    return SyncRun.objects.filter(kind=kind).latest("pk")


def everything() -> list[Any]:
    """All rows of all tables."""
    return [
        list(model._default_manager.order_by("pk").values()) for model in (ClerkUser, MirrorState, SyncRun)
    ]


def table(using: str = "default") -> dict[str, dict[str, Any]]:
    """All users by id, but for local times and the number of the run."""
    return {row["clerk_id"]: row for row in ClerkUser.objects.using(using).values(*CONTENT)}


def written(using: str = "default") -> list[tuple[Any, ...]]:
    """Something that is another after any write to the table of users."""
    chosen = connections[using]
    version = "xmin::text, ctid::text" if chosen.vendor == "postgresql" else "revision, last_written"
    with chosen.cursor() as cursor:
        cursor.execute(f"SELECT clerk_id, {version} FROM clerksync_clerkuser ORDER BY clerk_id")  # noqa: S608  # ours
        return list(cursor.fetchall())


def differences(clerk: FakeClerk, using: str = "default") -> dict[str, Any]:
    """What the table does not hold as Clerk does, by id; tombstones are none of Clerk's users."""
    active = ClerkUser.objects.using(using).active().in_bulk()
    held = {user["id"]: user for user in clerk.users()}
    found: dict[str, Any] = dict.fromkeys(active.keys() - held.keys(), "too many")
    for clerk_id, user in held.items():
        body = json.dumps(user).encode()
        fields = Parser().parse_user(body, source=Source.GET, observed_ms=clerk.clock.now_ms()).fields
        assert fields is not None
        if clerk_id not in active:
            found[clerk_id] = "missing"
        elif differing := compare_fields(active[clerk_id], fields):
            found[clerk_id] = differing
    return found
