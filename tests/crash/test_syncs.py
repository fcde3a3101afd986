"""Syncs that are killed, stopped, woken and run at the same time (I6, I8, I10, I11), in real processes."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys

import pytest
from django.db import connection, connections

from clerksync.models import ClerkUser, MirrorState, SyncRun
from clerksync.testing import FakeClerk, Request
from tests import profiles
from tests.crash.situations import clerk_settings, deadlocks, expire_leases, fall_behind, until
from tests.forked_syncs import Forks
from tests.freezing import freeze
from tests.syncing import COUNT, LISTS, READS, Syncer, differences, everything, execute, last_run, small_pages

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor these signals"),
]


def check_recovery(clerk: FakeClerk, forks: Forks) -> None:
    """Run again after a crash: everything arrives, once, and the books say so."""
    expire_leases()
    status = forks.wait(forks.start(settings=clerk_settings()))
    assert (status, differences(clerk)) == (0, {}), forks.said()
    assert ClerkUser.objects.deleted().count() == 3
    assert ClerkUser.objects.count() == 33
    assert not ClerkUser.objects.exclude(doubt_reason="").exists()
    assert last_run().state == SyncRun.State.COMPLETED
    assert not SyncRun.objects.filter(state=SyncRun.State.RUNNING).exists()


def change_names(clerk: FakeClerk) -> None:
    """Users who are in the table, and have been given another name since."""
    ids = clerk.create_users(25)
    clerk.advance(seconds=600)
    Syncer(clerk).full()
    clerk.advance(seconds=300)
    for clerk_id in ids:
        clerk.update_user(clerk_id, first_name="Jasmin")


@pytest.mark.parametrize("part", [0, 1, 2])
def test_kill__before_any_statement(clerk: FakeClerk, forks: Forks, part: int) -> None:
    """I6: SIGKILL before a statement, then another before some statement of the second run, then a third run."""
    fall_behind(clerk)
    for kill_at in random.Random(part).sample(range(75), k=4):
        killed = forks.wait(forks.start("--no-progress", settings=clerk_settings(), kill_at=kill_at))
        assert killed in {-signal.SIGKILL, 0}
        expire_leases()
    check_recovery(clerk, forks)


@pytest.mark.parametrize(
    ("route", "after"),
    [(LISTS, 0), (LISTS, 1), (LISTS, 3), (LISTS, 5), (COUNT, 1), (LISTS, 7), (READS, 0), (READS, 2)],
)
def test_kill__while_clerk_answers(clerk: FakeClerk, forks: Forks, route: str, after: int) -> None:
    """I6: SIGKILL while a page is under way and the one before is being written, or in the drain."""
    fall_behind(clerk)
    children: list[int] = []

    def kill(request: Request) -> None:
        until(lambda: children)
        os.kill(children[0], signal.SIGKILL)

    clerk.fail("callback", call=kill, on=route, after=after)
    children.append(forks.start(settings=clerk_settings()))
    assert forks.wait(children[0]) == -signal.SIGKILL
    check_recovery(clerk, forks)


@pytest.mark.parametrize("kill_at", [3, 9, 14, 19, 24, 29])
def test_kill__in_a_scan(clerk: FakeClerk, forks: Forks, kill_at: int) -> None:
    """I6, I12: a scan that is killed before any statement knows nothing new; the next one mends what it left."""
    change_names(clerk)
    small_pages(clerk)
    known = MirrorState.objects.get().updates_as_of
    killed = forks.wait(forks.start("--incremental", settings=clerk_settings(), kill_at=kill_at))
    assert killed == -signal.SIGKILL, forks.said()
    is_known = MirrorState.objects.get().updates_as_of != known
    assert is_known <= (differences(clerk) == {})
    expire_leases()
    status = forks.wait(forks.start("--incremental", settings=clerk_settings()))
    assert (status, differences(clerk)) == (0, {}), forks.said()
    assert not SyncRun.objects.filter(state=SyncRun.State.RUNNING).exists()


def test_kill__leaves_the_lease(clerk: FakeClerk, forks: Forks) -> None:
    """Right after a crash the next sync waits for nobody: it ends with 3 and says when to come again."""
    fall_behind(clerk)
    forks.wait(forks.start("--no-progress", settings=clerk_settings(), kill_at=20))
    assert forks.wait(forks.start(settings=clerk_settings())) == 3
    assert "If that process is dead, its lease expires at" in forks.said()


def test_pause__past_the_expiry(clerk: FakeClerk, forks: Forks) -> None:
    """I8: a process that slept while another took over writes nothing more, and ends with 3."""
    fall_behind(clerk)
    before = ClerkUser.objects.count()
    clerk.fail("slow", seconds=0.15, times=None, on=LISTS)
    sleeper = forks.start(settings=clerk_settings(), lease=1)
    until(lambda: ClerkUser.objects.count() > before)
    freeze(sleeper)
    clerk.clear_faults()
    small_pages(clerk)
    until(lambda: forks.wait(forks.start(settings=clerk_settings())) == 0)
    left = everything()
    os.kill(sleeper, signal.SIGCONT)
    assert forks.wait(sleeper) == 3
    assert everything() == left
    assert differences(clerk) == {}
    assert "another full sync has taken over" in forks.said()


def test_pause__of_a_scan(clerk: FakeClerk, forks: Forks) -> None:
    """I8: the same for an incremental sync."""
    change_names(clerk)
    clerk.fail("slow", seconds=0.3, times=None, on=LISTS)
    small_pages(clerk)
    sleeper = forks.start("--incremental", settings=clerk_settings(), lease=1)
    until(lambda: ClerkUser.objects.filter(first_name="Jasmin").exists())
    freeze(sleeper)
    clerk.clear_faults()
    until(lambda: forks.wait(forks.start("--incremental", settings=clerk_settings())) == 0)
    left = everything()
    os.kill(sleeper, signal.SIGCONT)
    assert forks.wait(sleeper) == 3
    assert everything() == left
    assert differences(clerk) == {}
    assert "another incremental sync has taken over" in forks.said()


def test_interrupt__ends_after_the_page(clerk: FakeClerk, forks: Forks) -> None:
    """Ctrl-C: the page is completed, the status is 130, progress was told, and the next run goes on."""
    fall_behind(clerk)
    before = ClerkUser.objects.count()
    clerk.fail("slow", seconds=0.1, times=None, on=LISTS)
    child = forks.start(settings=clerk_settings())
    until(lambda: ClerkUser.objects.count() > before)
    os.kill(child, signal.SIGINT)
    assert forks.wait(child) == 130
    said = forks.said()
    assert "Stopping after this page; press Ctrl-C again to stop at once." in said
    assert "10 of 30 users, " in said
    assert "run the same command again to go on from there" in said
    assert last_run().state == SyncRun.State.INTERRUPTED
    assert forks.wait(forks.start(settings=clerk_settings())) == 0
    assert "Resumed where the last sync had stopped" in forks.said()
    assert differences(clerk) == {}


def test_together__pages_that_overlap(clerk: FakeClerk, forks: Forks) -> None:
    """I10, I11: four processes write the same users in other orders: no deadlock, no lock, no lost update."""
    clerk.create_users(60)
    before, rounds = deadlocks(), profiles.pick(short=25, long=300)
    children = [forks.start(settings=clerk_settings(), apply=(worker, rounds)) for worker in range(4)]
    assert [forks.wait(child) for child in children] == [0] * 4, forks.said()
    assert forks.said() == ""
    assert deadlocks() == before
    newest = {user["id"]: user["updated_at"] + (rounds - 1) * 10 + 3 for user in clerk.users()}
    assert dict(ClerkUser.objects.values_list("clerk_id", "updated_ms")) == newest


def test_together__syncs(clerk: FakeClerk, forks: Forks) -> None:
    """I8, I10, I11: of full syncs one works and the others step back; reads of single users go on beside it."""
    fall_behind(clerk)
    clerk.clear_faults()
    before = deadlocks()
    some = [argument for user in clerk.users()[:20] for argument in ("--user", user["id"])]
    full = [forks.start(settings=clerk_settings()) for _ in range(3)]
    single = [forks.start(*some, settings=clerk_settings()) for _ in range(2)]
    statuses = [forks.wait(child) for child in full]
    assert set(statuses) <= {0, 3}
    assert 0 in statuses
    assert [forks.wait(child) for child in single] == [0, 0], forks.said()
    assert deadlocks() == before
    assert "locked" not in forks.said()
    assert differences(clerk) == {}


@pytest.mark.parametrize(("route", "after"), [(LISTS, 1), (LISTS, 3), (COUNT, 0), (READS, 1)])
def test_database__connection_killed(clerk: FakeClerk, route: str, after: int) -> None:
    """The server ends our connection in the middle: a clear error, complete books, and the next run completes."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no connections to kill")
    fall_behind(clerk)
    [[mine]] = execute("SELECT pg_backend_pid()")
    clerk.fail("callback", call=lambda request: terminate(mine), on=route, after=after)
    report = Syncer(clerk).full()
    assert str(report.error).startswith("the database failed: ")
    assert (report.exit_status, str(report.error).count("\n")) == (1, 0)
    assert last_run().state in {SyncRun.State.INTERRUPTED, SyncRun.State.FAILED}
    assert last_run().error == str(report.error)
    assert Syncer(clerk).full().exit_status == 0
    assert differences(clerk) == {}


def terminate(backend: int) -> None:
    """End a connection of PostgreSQL, from this thread's own."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [backend])
    connections["default"].close()


def test_database__locked(clerk: FakeClerk, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite stays locked longer than we wait: a clear error, nothing lost, and the next run completes."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL does not lock the whole database")
    fall_behind(clerk)
    connection.close()
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.05)
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False)

    def lock(request: Request) -> None:
        other.execute("BEGIN IMMEDIATE")

    clerk.fail("callback", call=lock, on=LISTS, after=3)
    report = Syncer(clerk).full()
    other.close()
    assert str(report.error).startswith("the database failed: database is locked")
    expire_leases()
    report = Syncer(clerk).full()
    assert (report.exit_status, report.resumed, differences(clerk)) == (0, True, {})


def test_output__is_json_after_all(clerk: FakeClerk, forks: Forks) -> None:
    """In a process of its own, too, standard output is JSON and nothing else."""
    clerk.create_users(3)
    assert forks.wait(forks.start("--format", "json", "--no-progress", settings=clerk_settings())) == 0
    assert json.loads(forks.said())["created"] == 3


def test_interrupt__in_the_drain(clerk: FakeClerk, forks: Forks) -> None:
    """Ctrl-C while users are read by id: it ends after one of them, and the next run reads the others."""
    fall_behind(clerk)
    children: list[int] = []

    def interrupt(request: Request) -> None:
        until(lambda: children)
        os.kill(children[0], signal.SIGINT)

    clerk.fail("callback", call=interrupt, on=READS)
    children.append(forks.start("--no-progress", settings=clerk_settings()))
    assert forks.wait(children[0]) == 130
    assert "stopped while users in doubt were read by id" in forks.said()
    assert ClerkUser.objects.deleted().count() < 3
    assert last_run().state == SyncRun.State.INTERRUPTED
    check_recovery(clerk, forks)
