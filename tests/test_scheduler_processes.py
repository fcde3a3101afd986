"""Schedulers that are killed, stopped, woken, doubled, and left without database or Clerk, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import override_settings

from clerksync import jobs
from clerksync.models import ClerkUser, ScheduledJob, SyncRun
from clerksync.schedule import Part
from clerksync.testing import FakeClerk, Request
from tests import databases, processes, proxies
from tests.forked_syncs import Forks, forking
from tests.freezing import freeze
from tests.syncing import LISTS, Syncer, differences, last_run, small_pages

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor these signals"),
    pytest.mark.timeout(90),
]

PAST = datetime(2020, 1, 1, tzinfo=UTC)
YEARLY = "0 0 1 1 *"
#: Seconds for which a claim and a lease hold in these processes.
LEASE = 1.0


@pytest.fixture(scope="module")
def forker(django_db_setup: None) -> Iterator[subprocess.Popen[str]]:
    """A process that forks, on the databases of these tests."""
    with forking(processes.environment()) as process:
        yield process


class Schedulers:
    """Starts schedulers, and ends those that are left."""

    def __init__(self, forks: Forks) -> None:
        self.forks = forks
        self.running: list[int] = []
        self.settings: dict[str, Any] = {}

    def schedule(self, *on: Part) -> None:
        """Turn these parts on, for once and at once."""
        chosen = {part.value: YEARLY if part in on else None for part in Part}
        self.settings = {
            "CLERKSYNC_SCHEDULE": chosen,
            "CLERKSYNC_RATE_LIMIT": 1_000_000,
            **{name: getattr(django_settings, name) for name in ("CLERK_API_URL", "CLERK_SECRET_KEY")},
        }
        with override_settings(CLERKSYNC_SCHEDULE=chosen):
            jobs.plan()
        ScheduledJob.objects.update(next_at=PAST)

    def start(self, *, lease: float = LEASE, database: dict[str, Any] | None = None) -> int:
        """Start one and return its process id."""
        child = self.forks.start(
            settings=self.settings,
            lease=lease,
            command="run_clerk_scheduler",
            deadline=1.0,
            database=database,
        )
        self.running.append(child)
        return child

    def wait(self, child: int) -> int:
        """Wait for its end and return its exit status."""
        self.running.remove(child)
        return self.forks.wait(child)

    def end(self, child: int) -> int:
        """Let one end; returns its exit status."""
        os.kill(child, signal.SIGTERM)
        return self.wait(child)

    def kill(self, child: int) -> None:
        """Kill one."""
        os.kill(child, signal.SIGKILL)
        assert self.wait(child) == -signal.SIGKILL

    def lines(self, *beginnings: str) -> list[str]:
        """The lines that begin like this, of all that were said."""
        return [line for line in self.forks.said().splitlines() if line.startswith(beginnings)]


@pytest.fixture
def schedulers(forker: subprocess.Popen[str], tmp_path: Path) -> Iterator[Schedulers]:
    """Starts schedulers in processes of their own."""
    found = Schedulers(Forks(forker, tmp_path / "output"))
    yield found
    for child in list(found.running):
        found.kill(child)


def until(condition: Callable[[], object], *, said: Callable[[], str] = str) -> None:
    """Wait for something that another process does; it may find a lease held, and come again after 20 s."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, said()
        time.sleep(0.01)


def job(part: Part = Part.FULL) -> ScheduledJob:
    return ScheduledJob.objects.get(part=part)


def prepare(clerk: FakeClerk) -> None:
    """A table that has been synced, and a Clerk with 20 users more, which it gives in small and slow pages."""
    clerk.create_users(10)
    Syncer(clerk).full()
    clerk.advance(seconds=60)
    clerk.create_users(20)
    small_pages(clerk)


def is_writing() -> bool:
    """Whether the second full sync has committed a page."""
    return SyncRun.objects.count() == 2 and last_run().checkpoint.get("seen", 0) > 0


def test_kill__in_a_sync(clerk: FakeClerk, schedulers: Schedulers) -> None:
    """A scheduler that is killed in a sync: whoever is alive goes on from there, soon, and once."""
    prepare(clerk)
    schedulers.schedule(Part.FULL)
    clerk.fail("slow", seconds=0.3, times=None, on=LISTS)
    killed = schedulers.start()
    until(is_writing)
    other = schedulers.start()
    schedulers.kill(killed)
    clerk.clear_faults()
    until(lambda: last_run().state == "completed", said=schedulers.forks.said)
    until(lambda: job().outcome == "completed")
    assert differences(clerk) == {}
    assert SyncRun.objects.count() == 2
    assert job().fence == 3  # taken, freed, taken
    assert len(schedulers.lines("full: ")) == 1
    assert schedulers.end(other) == 0


def test_kill__restarted(clerk: FakeClerk, schedulers: Schedulers) -> None:
    """The same with a restart: what was due when nobody ran comes once."""
    prepare(clerk)
    schedulers.schedule(Part.FULL)
    clerk.fail("slow", seconds=0.3, times=None, on=LISTS)
    killed = schedulers.start()
    until(is_writing)
    schedulers.kill(killed)
    clerk.clear_faults()
    second = schedulers.start()
    until(lambda: job().outcome == "completed", said=schedulers.forks.said)
    assert (differences(clerk), SyncRun.objects.count(), job().failures) == ({}, 2, 0)
    assert job().next_at > datetime.now(UTC)
    assert schedulers.end(second) == 0


def test_pause__past_the_claim(clerk: FakeClerk, schedulers: Schedulers) -> None:
    """A scheduler that slept while another took over writes nothing more, and goes on with its loop."""
    prepare(clerk)
    schedulers.schedule(Part.FULL)
    clerk.fail("slow", seconds=0.3, times=None, on=LISTS)
    sleeper = schedulers.start()
    until(is_writing)
    freeze(sleeper)
    clerk.clear_faults()
    other = schedulers.start()
    until(lambda: job().outcome == "completed", said=schedulers.forks.said)
    left = list(ClerkUser.objects.order_by("pk").values())
    next_at = job().next_at
    os.kill(sleeper, signal.SIGCONT)
    until(lambda: schedulers.lines("full was taken over by another scheduler"), said=schedulers.forks.said)
    assert schedulers.end(other) == 0
    ScheduledJob.objects.update(next_at=PAST)
    until(lambda: job().next_at > datetime.now(UTC) and not job().expires_at, said=schedulers.forks.said)
    assert schedulers.end(sleeper) == 0
    assert list(ClerkUser.objects.order_by("pk").values()) == left
    assert (differences(clerk), job().next_at.date()) == ({}, next_at.date())
    assert SyncRun.objects.filter(state="completed").count() == 3


def test_double__each_part_once(clerk: FakeClerk, schedulers: Schedulers) -> None:
    """Three copies run each part once."""
    prepare(clerk)
    clerk.clear_faults()
    schedulers.schedule(*Part)
    copies = [schedulers.start(lease=60) for _ in range(3)]
    until(lambda: not ScheduledJob.objects.exclude(outcome="completed").exists(), said=schedulers.forks.said)
    time.sleep(0.5)
    assert [schedulers.end(child) for child in copies] == [0, 0, 0]
    assert set(ScheduledJob.objects.values_list("fence", "failures")) == {(1, 0)}
    assert sorted(SyncRun.objects.values_list("kind", flat=True)) == [
        "audit",
        "full",
        "full",
        "incremental",
    ]
    assert differences(clerk) == {}
    assert "locked" not in schedulers.forks.said()


def test_stop__after_the_page(clerk: FakeClerk, schedulers: Schedulers) -> None:
    """SIGTERM ends it after the current page, with status 0; the next one goes on from there at once."""
    prepare(clerk)
    schedulers.schedule(Part.FULL)
    clerk.fail("slow", seconds=0.3, times=None, on=LISTS)
    child = schedulers.start()
    until(is_writing)
    started = time.monotonic()
    assert schedulers.end(child) == 0
    assert time.monotonic() - started < 5
    assert schedulers.lines("Stopped.") == ["Stopped."]
    assert (last_run().state, job().outcome, job().failures) == ("interrupted", "interrupted", 0)
    seen = last_run().checkpoint["seen"]
    assert 0 < seen < 30
    clerk.clear_faults()
    clerk.clear_requests()
    second = schedulers.start()
    until(lambda: job().outcome == "completed", said=schedulers.forks.said)
    assert schedulers.end(second) == 0
    assert (SyncRun.objects.count(), differences(clerk)) == (2, {})


def test_stop__while_clerk_is_away(clerk: FakeClerk, schedulers: Schedulers) -> None:
    """SIGTERM ends the wait for a Clerk that does not answer."""
    schedulers.schedule(Part.FULL)
    clerk.fail(429, retry_after=0.9, times=None, on="*")
    child = schedulers.start()
    until(lambda: clerk.requests)
    assert schedulers.end(child) == 0


def test_stop__twice(clerk: FakeClerk, schedulers: Schedulers) -> None:
    """A second signal ends it at once."""
    prepare(clerk)
    schedulers.schedule(Part.FULL)
    waiting: list[Request] = []

    def hang(request: Request) -> None:
        waiting.append(request)
        time.sleep(3)

    clerk.fail("callback", call=hang, on=LISTS, after=1)
    child = schedulers.start()
    until(lambda: waiting)
    os.kill(child, signal.SIGTERM)
    time.sleep(0.2)
    started = time.monotonic()
    os.kill(child, signal.SIGTERM)
    assert schedulers.wait(child) == -signal.SIGTERM
    assert time.monotonic() - started < 1


def test_clerk__away_and_back(clerk: FakeClerk, schedulers: Schedulers) -> None:
    """While Clerk is away there are some tries and one line; once it is back everything is brought, and one line."""
    clerk.create_users(5)
    schedulers.schedule(Part.FULL)
    clerk.fail(503, times=None, on="*")
    child = schedulers.start()
    until(lambda: job().failures >= 2, said=schedulers.forks.said)
    assert job().failing_since is not None
    clerk.clear_faults()
    until(lambda: job().outcome == "completed", said=schedulers.forks.said)
    assert (differences(clerk), job().failures) == ({}, 0)
    until(lambda: schedulers.lines("full works again after "))
    assert schedulers.end(child) == 0
    assert len(schedulers.lines("full failed: GET /v1/instance: ")) == 1


def test_database__away_and_back(clerk: FakeClerk, schedulers: Schedulers) -> None:
    """A database that goes away in a sync and comes back: the loop waits, nothing is lost, two lines say so."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite is a file: it cannot go away")
    prepare(clerk)
    schedulers.schedule(Part.FULL)
    clerk.fail("slow", seconds=0.3, times=None, on=LISTS)
    proxy = proxies.Proxy(databases.directory() / "pg" / ".s.PGSQL.5432")
    proxy.up()
    child = schedulers.start(database={"HOST": proxies.HOST, "PORT": str(proxy.port)})
    until(is_writing)
    proxy.down()
    until(lambda: schedulers.lines("the database does not answer"), said=schedulers.forks.said)
    time.sleep(1.5)
    clerk.clear_faults()
    proxy.up()
    until(lambda: job().outcome == "completed", said=schedulers.forks.said)
    until(lambda: schedulers.lines("the database answers again, after "))
    assert (differences(clerk), SyncRun.objects.count(), last_run().state) == ({}, 2, "completed")
    assert schedulers.end(child) == 0
    assert len(schedulers.lines("the database does not answer")) == 1
    proxy.down()


def test_database__away_at_the_start(clerk: FakeClerk, schedulers: Schedulers) -> None:
    """A scheduler that finds no database waits for it, and then says when each part will run."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite is a file: it cannot go away")
    schedulers.schedule(Part.PRUNE)
    proxy = proxies.Proxy(databases.directory() / "pg" / ".s.PGSQL.5432")
    child = schedulers.start(database={"HOST": proxies.HOST, "PORT": str(proxy.port)})
    until(lambda: schedulers.lines("the database does not answer"), said=schedulers.forks.said)
    assert schedulers.lines("prune ") == []
    proxy.up()
    until(lambda: job(Part.PRUNE).outcome == "completed", said=schedulers.forks.said)
    assert len(schedulers.lines("prune        0 0 1 1 *      next at 2020-01-01 00:00:00 UTC")) == 1
    assert schedulers.end(child) == 0
    proxy.down()
