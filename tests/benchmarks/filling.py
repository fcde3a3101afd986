"""Fills tables with a million rows by statements alone: through the sync that would take minutes.

A first row is made by Django, so that every column has a value that fits; the others are copies of it with
columns of their own, computed from the row's number ``n`` by SQL that both databases understand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection, models
from django.utils import timezone

from clerksync import census, counts
from clerksync.counts import Key
from clerksync.models import ClerkUser, MirrorState, RejectedDeliveries, SyncRun, WebhookEvent
from clerksync.testing import FakeClerk

#: Users are created so long apart, and events come so.
_USER_MS, _EVENT_MS = 30_000, 500
_ZEROS = "0" * 27
#: Rows of one statement; SQLite keeps what it has not yet committed in a second file.
_AT_ONCE = 50_000
#: Runs of a month, one every 5 minutes; each 288th is full.
_RUNS, _FULL_RUNS = 8_640, 288
_SERIES = {
    "postgresql": "WITH series(n) AS (SELECT generate_series(%s, %s))",
    "sqlite": "WITH RECURSIVE series(n) AS (VALUES (%s) UNION ALL SELECT n + 1 FROM series WHERE n < %s)",
}


def clerk_id(number: int) -> str:
    """The id of the user of that number; like Clerk's they ascend with the time of creation."""
    return f"user_{number:0{len(_ZEROS)}}"


def email(number: int) -> str:
    """The e-mail address of the user of that number, who has one unless it is a multiple of 50."""
    return f"first{number % 50}.{number}@harbour-works.io"


@dataclass(frozen=True, slots=True)
class Filling:
    """How many users and events there will be, the last of them now; they may be filled in bit by bit."""

    users: int
    events: int
    now: datetime = field(default_factory=timezone.now)

    def fill(self) -> None:
        """Add everything to empty tables."""
        self.add_users(1, self.users)
        self.add_events(1, self.events)
        self.add_runs()
        count()

    def add_users(self, first: int, last: int) -> None:
        """Add these users; each 20th is deleted, each 50th has no e-mail, each 200th is banned."""
        created_ms = _before(self.now, f"{_USER_MS} * CAST({self.users} - n AS bigint)")
        payload = FakeClerk().create_user(clerk_id="user_template")
        row = ClerkUser(
            clerk_id="user_template",
            first_seen=self.now,
            last_written=self.now,
            state=ClerkUser.State.ACTIVE,
            digest=f"1:{'0' * 16}:{'0' * 32}",
            source="list",
            payload_text=json.dumps(payload),
        )
        own = {
            "clerk_id": _id("n"),
            "email": "CASE WHEN n % 50 <> 0 THEN 'first' || CAST(n % 50 AS text) || '.' "
            "|| CAST(n AS text) || '@harbour-works.io' END",
            "email_verified": "n % 10 <> 0",
            "username": "CASE WHEN n % 2 = 0 THEN 'name' || CAST(n AS text) END",
            "external_id": "CASE WHEN n % 2 = 1 THEN 'customer-' || CAST(n AS text) END",
            # Many have names of their own, so that an index of names is as large as a real one.
            "first_name": "CASE WHEN n % 30 <> 11 THEN 'First' || CAST(n % 50 AS text) "
            "|| CASE WHEN n % 10 = 3 THEN ' ' || CAST(n AS text) ELSE '' END END",
            "last_name": "'Last' || CAST(n % 1000 AS text) "
            "|| CASE WHEN n % 4 = 1 THEN '-' || CAST(n AS text) ELSE '' END",
            "banned": "n % 200 = 1",
            "state": "CASE WHEN n % 20 = 0 THEN 'deleted' ELSE 'active' END",
            "doubt_reason": "CASE WHEN n % 10000 = 7 THEN 'tie' ELSE '' END",
            **dict.fromkeys(("created_ms", "updated_ms", "observed_ms"), created_ms),
            **dict.fromkeys(("created_at", "updated_at"), _moment(created_ms)),
            "payload_text": f"replace(template.payload_text, 'user_template', {_id('n')})",
        }
        _copy(row, own, first, last)

    def add_events(self, first: int, last: int) -> None:
        """Add these events; each fifth is ignored, few are waiting.

        Their payloads are short: no list reads them, and five million of 3 KB would fill the disk.
        """
        received = _moment(_before(self.now, f"{_EVENT_MS} * CAST({self.events} - n AS bigint)"))
        row = WebhookEvent(
            svix_id="msg_template",
            type="user.updated",
            state=WebhookEvent.State.APPLIED,
            payload_text="{}",
            **dict.fromkeys(("sent_at", "received_at", "finished_at"), self.now),
        )
        own = {
            "svix_id": _id("n", prefix="msg_"),
            "type": "CASE n % 5 WHEN 0 THEN 'session.created' WHEN 1 THEN 'user.created' "
            "ELSE 'user.updated' END",
            "state": "CASE WHEN n % 100000 = 3 THEN 'failed' WHEN n % 100000 = 4 THEN 'parked' "
            "WHEN n % 5 = 0 THEN 'ignored' ELSE 'applied' END",
            "object_id": _id(f"(1 + n % {self.users})"),
            **dict.fromkeys(("occurred_at", "sent_at", "received_at", "finished_at"), received),
        }
        _copy(row, own, first, last)

    def add_runs(self) -> None:
        """A mirror that was synced every 5 minutes for a month, and is in step."""
        SyncRun.objects.bulk_create(map(self._run, range(_RUNS)), batch_size=500)
        for ago in range(_RUNS // 12):
            hour = counts.hour_of(self.now) - timedelta(hours=ago)
            told = {Key("requests", "incremental"): 36, Key("changes", "", "delivered"): 36}
            counts.add(told, at=hour)
            RejectedDeliveries.objects.create(hour=hour, reason="signature", count=2, last_at=hour)
        MirrorState.objects.update_or_create(
            pk=1,
            defaults={
                "instance_id": "ins_of_the_benchmarks",
                "updates_as_of": self.now,
                "deletes_as_of": self.now,
            },
        )

    def _run(self, number: int) -> SyncRun:
        started = self.now - timedelta(minutes=5 * number, seconds=30)
        return SyncRun(
            kind=SyncRun.Kind.INCREMENTAL if number % _FULL_RUNS else SyncRun.Kind.FULL,
            state=SyncRun.State.COMPLETED,
            started_at=started,
            progressed_at=started,
            finished_at=started + timedelta(seconds=2),
            counts={"seen": 120, "updated": 3, "missed": 0, "delivered": 3},
        )


def count() -> None:
    """Count rows by state, and events by the hour, as syncs, the scheduler and whoever asks do bit by bit."""
    census.take()
    while counts.count_events(settle=False):
        pass


def settle() -> None:
    """Do what PostgreSQL does by itself sooner or later; SQLite does nothing of the kind."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


def _copy(row: models.Model, own: Mapping[str, str], first: int, last: int) -> None:
    """Add copies of a row, each with columns of its own."""
    meta = row._meta
    named = {
        one.name: str(one.column) for one in meta.concrete_fields if not isinstance(one, models.AutoField)
    }
    if unknown := own.keys() - named.keys():
        raise ValueError(f"{meta.label} has no {', '.join(sorted(unknown))}")
    values = ", ".join(own.get(name, f"template.{column}") for name, column in named.items())
    values = values.replace("%", "%%")  # beside parameters
    row.save(force_insert=True)
    statement = (
        f"INSERT INTO {meta.db_table} ({', '.join(named.values())}) {_SERIES[connection.vendor]} "  # noqa: S608
        f"SELECT {values} FROM series, {meta.db_table} template WHERE template.{meta.pk.column} = %s"
    )
    with connection.cursor() as cursor:
        for start in range(first, last + 1, _AT_ONCE):
            cursor.execute(statement, [start, min(last, start + _AT_ONCE - 1), row.pk])
    row.delete()


def _id(number: str, *, prefix: str = "user_") -> str:
    """``clerk_id`` as SQL."""
    digits = f"CAST({number} AS text)"
    return f"'{prefix}' || substr('{_ZEROS}', length({digits}) + 1) || {digits}"


def _before(now: datetime, ms: str) -> str:
    """So many milliseconds before now, in milliseconds, as SQL."""
    return f"(CAST({int(now.timestamp() * 1000)} AS bigint) - {ms})"


def _moment(ms: str) -> str:
    """A value for a DateTimeField, as SQL."""
    if connection.vendor == "postgresql":
        return f"to_timestamp({ms} / 1000.0)"
    return f"strftime('%Y-%m-%d %H:%M:%f', {ms} / 1000.0, 'unixepoch')"
