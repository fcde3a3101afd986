"""Pages, webhooks, syncs, scans, linking and audits at the same time, and Clerk's side of it."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any, Literal

from django.contrib.auth.models import User

from clerksync.models import ClerkUser, WebhookEvent
from clerksync.testing import FakeClerk
from tests import profiles
from tests.crash import crowds
from tests.crash.scene import LINKED
from tests.crash.situations import clerk_settings, deadlocks
from tests.figures import tell
from tests.forked_syncs import Forks
from tests.syncing import Syncer, differences

SECONDS = profiles.pick(short=10.0, long=300.0)
SETTINGS = {
    **LINKED,
    "CLERKSYNC_USER_FIELDS": {"first_name": "first_name", "email": "email"},
    "CLERKSYNC_LINK_BY": ["verified_email"],
    "CLERKSYNC_REFRESH_AFTER": 1,
    "ROOT_URLCONF": "tests.pages",
}
#: Fewer than the breaker lets go, since some deletes are told by nobody.
DELETES = 6


class Crowd:
    """The processes, and Clerk's side of it.

    Args:
        clerk: This test's Clerk.
        forks: Starts the processes.
        directory: For what they share.
        processes: How many.
        database: Changes of the default database's settings.
    """

    def __init__(
        self,
        clerk: FakeClerk,
        forks: Forks,
        directory: Path,
        *,
        processes: Literal[4, 8],
        database: dict[str, Any] | None = None,
    ) -> None:
        self.clerk = clerk
        self.processes = processes
        self.database = database
        self.forks = forks
        self.deliveries = directory / "deliveries"
        self.deliveries.touch()
        self.book = directory / "book"
        self.children: list[int] = []
        self._left = DELETES

    def start(self, function: str, **arguments: Any) -> None:
        """Start a process."""
        work = (f"tests.crash.crowds:{function}", arguments)
        settings = {**clerk_settings(), **SETTINGS}
        self.children.append(self.forks.start(work=work, settings=settings, database=self.database))

    def run(self) -> None:
        """Let them all work for a while; nobody gets an error."""
        ids = self.clerk.create_users(80)
        self.clerk.advance(seconds=600)
        assert Syncer(self.clerk).full().error is None
        self.clerk.advance(seconds=600)
        before = deadlocks()
        self._start_all(
            [
                (path, self.clerk.bearer(clerk_id, expires_in=3600))
                for clerk_id in ids[:40]
                for path in ("/user/", "/django-user/")
            ]
        )
        self._live(SECONDS)
        statuses = [self.forks.wait(child) for child in self.children]
        said = self.forks.said()
        assert statuses == [0] * self.processes, said
        assert deadlocks() == before
        assert "deadlock" not in said
        assert "locked" not in said
        tell("processes at once", self.processes)

    def check(self) -> None:
        """Nothing is lost, and in the end everything is as in Clerk."""
        _check_deliveries(self.deliveries, copies=self.processes // 4)
        self.clerk.advance(seconds=300)
        report = Syncer(self.clerk).full()
        assert report.exit_status == 0, (report, list(ClerkUser.objects.needs_refresh().values()))
        assert differences(self.clerk) == {}
        linked = ClerkUser.objects.filter(user__isnull=False)
        assert User.objects.count() == linked.count() > 40
        assert not linked.deleted().filter(user__is_active=True).exists()

    def _start_all(self, visits: list[Any]) -> None:
        is_small = self.processes == 4
        commands = [
            [["sync_clerk_users", "--no-progress"], ["audit_clerk_users", "--fix"]],
            [["sync_clerk_users", "--incremental"], ["link_clerk_users", "--create"]],
        ]
        self.start("browse", visits=visits, seconds=SECONDS, seed=1)
        self.start("deliver", deliveries=str(self.deliveries), book=str(self.book))
        for chosen in commands if is_small else [[command] for both in commands for command in both]:
            self.start("manage", commands=chosen, seconds=SECONDS)
        if not is_small:
            self.start("browse", visits=visits, seconds=SECONDS, seed=2)
            self.start("deliver", deliveries=str(self.deliveries), book=str(self.book))

    def _live(self, seconds: float) -> None:
        """Let users come, change and go; most of it is told by webhooks."""
        chance, begin = random.Random(7), time.monotonic()
        last = begin
        with self.deliveries.open("a", encoding="utf-8", buffering=1) as file:
            while last < begin + seconds:
                time.sleep(0.02)
                now = time.monotonic()
                self.clerk.advance(ms=round((now - last) * 1000) + 1)
                last = now
                delivery = self._happen(chance)
                if chance.random() < 0.9:
                    file.write(json.dumps([delivery.body.decode(), delivery.headers]) + "\n")
            file.write(f"{crowds.END}\n")

    def _happen(self, chance: random.Random) -> Any:
        ids = [user["id"] for user in self.clerk.users()]
        kind = chance.choices(["created", "updated", "moved", "deleted"], [2, 20, 4, 1])[0]
        if kind == "deleted" and self._left:
            self._left -= 1
            gone = self.clerk.get(chance.choice(ids))
            self.clerk.delete_user(gone["id"])
            return self.clerk.sign_webhook("user.deleted", gone)
        if kind == "created":
            return self.clerk.sign_webhook("user.created", self.clerk.create_user(first_name="Isla"))
        name = chance.choice(["Jasmin", "Bo", "Marin", "Ada"])
        changes: dict[str, Any] = {"first_name": name}
        if kind == "moved":  # an address that others may have had
            changes["email"] = f"{name.lower()}{chance.randrange(5)}@harbour-works.io"
        return self.clerk.sign_webhook("user.updated", self.clerk.update_user(chance.choice(ids), **changes))


def _check_deliveries(deliveries: Path, *, copies: int) -> None:
    """Each message has arrived, was applied once, and no row is older than what was told of it.

    But for tombstones: what is told of a user after the delete, though it happened before, is ignored.
    """
    told: dict[str, int] = {}
    names = []
    for line in deliveries.read_text().splitlines()[:-1]:
        body, headers = json.loads(line)
        event = json.loads(body)
        names.append(headers["svix-id"])
        if event["type"] != "user.deleted":
            told[event["data"]["id"]] = event["data"]["updated_at"]
    events = WebhookEvent.objects.in_bulk(names, field_name="svix_id")
    assert len(events) == len(names) == WebhookEvent.objects.count()
    assert {event.attempts for event in events.values()} == {copies}
    assert {event.state for event in events.values()} <= {"applied", "superseded"}
    assert all(event.handled for event in events.values())
    rows = ClerkUser.objects.in_bulk(told)
    late = [
        (clerk_id, rows[clerk_id].state, rows[clerk_id].updated_ms, version)
        for clerk_id, version in told.items()
        if rows[clerk_id].updated_ms < version and rows[clerk_id].state != ClerkUser.State.DELETED
    ]
    assert late == []
    tell("messages delivered at once with other work", len(names))
