"""The scheduler's loop, in this process: what it runs, and what becomes of failures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, OperationalError, connections
from django.test import override_settings
from django.utils import timezone

from clerksync import jobs, leases, parts, scheduler, status
from clerksync.jobs import Outcome
from clerksync.models import ClerkUser, ScheduledJob, SyncRun, WebhookEvent
from clerksync.schedule import Part
from clerksync.scheduler import Scheduler
from clerksync.testing import FakeClerk

pytestmark = pytest.mark.django_db(transaction=True)

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def replace(monkeypatch: pytest.MonkeyPatch, part: Part, run: Callable[[Event], dict[str, int]]) -> None:
    """Have a part do something else."""
    monkeypatch.setitem(parts._RUNNERS, part, run)


def only(monkeypatch: pytest.MonkeyPatch, part: Part, run: Callable[[Event], dict[str, int]]) -> None:
    """Have a part do something else, and the others nothing."""
    for other in Part:
        replace(monkeypatch, other, run if other is part else lambda stop: {})


def make_due() -> None:
    ScheduledJob.objects.update(next_at=PAST)


def test_once__first(clerk: FakeClerk, capsys: pytest.CaptureFixture[str]) -> None:
    """The first call brings everybody, since an incremental sync without a full one is full."""
    clerk.create_users(3)
    call_command("run_clerk_scheduler", "--once")
    said = capsys.readouterr().out
    assert "incremental  completed: 3 created, 3 seen, 0 in_doubt" in said
    assert ClerkUser.objects.count() == 3
    assert dict(ScheduledJob.objects.values_list("part", "outcome")) == {
        **dict.fromkeys(("full", "audit"), ""),
        **dict.fromkeys(("incremental", "pending", "events", "prune"), "completed"),
    }
    assert not ScheduledJob.objects.filter(seen_at__isnull=False).exists()


def test_once__nothing_due(clerk: FakeClerk, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not due is not run."""
    call_command("run_clerk_scheduler", "--once")
    clerk.clear_requests()
    ScheduledJob.objects.update(next_at=datetime(2100, 1, 1, tzinfo=UTC))
    call_command("run_clerk_scheduler", "--once")
    assert (capsys.readouterr().out.splitlines()[-1], clerk.requests) == ("Nothing is due.", [])


def test_once__each_part(clerk: FakeClerk) -> None:
    """All parts do their work: old events go, failed ones are tried again, users in doubt are read."""
    clerk.create_users(1)
    call_command("run_clerk_scheduler", "--once")
    ClerkUser.objects.update(doubt_reason="tie", doubt_ms=1, retry_ms=1)
    SyncRun.objects.create(kind="users", started_at=PAST, progressed_at=PAST)
    for number, day in ((1, 1), (2, 28)):
        at = datetime(2020, 2, day, tzinfo=UTC)
        WebhookEvent.objects.create(
            svix_id=f"msg_{number}",
            type="user.updated",
            state="applied",
            sent_at=at,
            received_at=at,
            finished_at=at,
        )
    make_due()
    call_command("run_clerk_scheduler", "--once")
    assert not WebhookEvent.objects.exists()
    assert not SyncRun.objects.filter(kind="users").exists()
    assert ClerkUser.objects.get().doubt_reason == ""
    assert SyncRun.objects.filter(kind="full", state="completed").count() == 2
    assert SyncRun.objects.filter(kind="audit", state="completed").count() == 1
    assert set(ScheduledJob.objects.values_list("outcome", flat=True)) == {"completed"}


def only_audit() -> None:
    """Have the audit due, and nothing else."""
    ScheduledJob.objects.exclude(part="audit").update(next_at=datetime(2100, 1, 1, tzinfo=UTC))
    ScheduledJob.objects.filter(part="audit").update(next_at=PAST)


def test_once__audit(clerk: FakeClerk, capsys: pytest.CaptureFixture[str]) -> None:
    """What an audit finds is kept and told, mended by nobody, and no failure; the next one takes it back."""
    ids = clerk.create_users(3)
    call_command("run_clerk_scheduler", "--once")
    ClerkUser.objects.filter(pk=ids[0]).update(email="placeholder@example.com")
    only_audit()
    call_command("run_clerk_scheduler", "--once")
    job = ScheduledJob.objects.get(part="audit")
    assert (job.outcome, job.message, job.failures) == ("completed", "3 seen, 1 stale", 0)
    assert f"audit        completed: {job.message}" in capsys.readouterr().out
    assert ClerkUser.objects.get(pk=ids[0]).email == "placeholder@example.com"
    assert [reason.code for reason in status.read().reasons] == ["placeholders"]
    call_command("sync_clerk_users")
    only_audit()
    call_command("run_clerk_scheduler", "--once")
    assert status.read().reasons == ()
    kept = SyncRun.objects.filter(kind="audit").order_by("pk")
    assert list(kept.values_list("state", "counts")) == [
        ("completed", {"seen": 3, "stale": 1}),
        ("completed", {"seen": 3}),
    ]


def test_once__audit_breaks_off(clerk: FakeClerk) -> None:
    """An audit that could not be done is a part that failed, and is tried again soon."""
    clerk.create_users(2)
    call_command("run_clerk_scheduler", "--once")
    clerk.fail(401, times=None, on="*")
    only_audit()
    with pytest.raises(CommandError) as caught:
        call_command("run_clerk_scheduler", "--once")
    job = ScheduledJob.objects.get(part="audit")
    assert (caught.value.returncode, job.outcome, job.failures) == (1, "failed", 1)
    assert job.next_at - timezone.now() < timedelta(minutes=1)
    assert SyncRun.objects.get(kind="audit").state == "failed"


@pytest.mark.parametrize(
    ("outcome", "status"), [("refused", 1), ("failed", 1), ("mismatch", 1), ("interrupted", 130), ("held", 3)]
)
def test_once__honest(monkeypatch: pytest.MonkeyPatch, outcome: str, status: int) -> None:
    """The exit status says how it ended."""
    only(monkeypatch, Part.EVENTS, lambda stop: {})
    monkeypatch.setattr(
        scheduler, "attempt", lambda part, stop: jobs.Ended(part, Outcome(outcome), "because")
    )
    with pytest.raises(CommandError) as caught:
        call_command("run_clerk_scheduler", "--once")
    assert caught.value.returncode == status


def test_once__another_at_work(clerk: FakeClerk) -> None:
    """A sync that was started by hand is no failure, and is not overlapped."""
    call_command("run_clerk_scheduler", "--once")
    make_due()
    with leases.hold("full"), pytest.raises(CommandError) as caught:
        call_command("run_clerk_scheduler", "--once")
    assert caught.value.returncode == 3
    assert ScheduledJob.objects.get(part="full").failures == 0


def test_once__no_key(clerk: FakeClerk, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key the syncs fail with what to do, and the others work."""
    with override_settings(CLERK_SECRET_KEY=""), pytest.raises(CommandError) as caught:
        call_command("run_clerk_scheduler", "--once")
    assert caught.value.returncode == 1
    assert "incremental  failed: CLERK_SECRET_KEY is empty: set it to" in capsys.readouterr().out
    assert ScheduledJob.objects.get(part="prune").outcome == "completed"


def test_attempt__mistakes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A mistake in a part is a failure with a traceback in the log, never more of a person than a type."""

    def fail(stop: Event) -> dict[str, int]:
        raise KeyError("maren@harbour-works.io")

    def lose(stop: Event) -> dict[str, int]:
        raise DatabaseError("no room\nDETAIL: maren@harbour-works.io")

    replace(monkeypatch, Part.PRUNE, fail)
    assert scheduler.attempt(Part.PRUNE, Event()) == jobs.Ended(
        Part.PRUNE, Outcome.FAILED, "KeyError; the log has more"
    )
    assert [record.exc_info is not None for record in caplog.records] == [True]
    replace(monkeypatch, Part.PRUNE, lose)
    assert scheduler.attempt(Part.PRUNE, Event()).message == "the database failed: DatabaseError: no room"


def running(found: Scheduler) -> threading.Thread:
    """The loop in a thread."""

    def run() -> None:
        try:
            found.run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def ended(found: Scheduler, thread: threading.Thread) -> None:
    found.stop.set()
    found.wake()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "POLL", 0.05)
    monkeypatch.setattr(scheduler, "BEAT", 0.05)


@pytest.mark.usefixtures("_quick")
def test_run__says_when() -> None:
    """At the start it tells the next run of each part in the project's time zone."""
    told: list[str] = []
    with override_settings(
        TIME_ZONE="Europe/Berlin", CLERKSYNC_SCHEDULE={"prune": None, "incremental": "0 4 * * *"}
    ):
        jobs.plan()
        ScheduledJob.objects.update(next_at=datetime(2100, 7, 1, 22, tzinfo=UTC))
        found = Scheduler(tell=told.append)
        thread = running(found)
        until(lambda: len(told) == 6)
        ended(found, thread)
    assert told[0] == "incremental  0 4 * * *      next at 2100-07-02 00:00:00 CEST"
    assert told[-1] == "prune        off"
    assert ScheduledJob.objects.filter(seen_at__isnull=False).count() == 5


def until(condition: Callable[[], Any]) -> None:
    """Wait for what another thread does."""
    waited = Event()
    for _ in range(400):
        if condition():
            return
        waited.wait(0.025)
    raise AssertionError("it did not happen")


@pytest.mark.usefixtures("_quick")
def test_run__failures(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A part that fails is logged when that begins and when it is over, and tried at growing distances."""
    monkeypatch.setattr("clerksync.schedule.FIRST_RETRY", timedelta(seconds=0.1))
    calls: list[None] = []

    def fail(stop: Event) -> dict[str, int]:
        calls.append(None)
        if len(calls) < 4:
            raise RuntimeError
        return {"seen": 1}

    only(monkeypatch, Part.INCREMENTAL, fail)
    found = Scheduler()
    thread = running(found)
    until(lambda: len(calls) == 4)
    until(lambda: ScheduledJob.objects.get(part="incremental").failures == 0)
    ended(found, thread)
    lines = [record.getMessage() for record in caplog.records if record.name == "clerksync.scheduler"]
    assert len(lines) == 2
    assert lines[0].startswith("incremental failed: RuntimeError; the log has more; next try at ")
    assert lines[1] == "incremental works again after 3 failures"


@pytest.mark.usefixtures("_quick")
def test_run__database_away(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A database that does not answer is told of twice, and waited for; an end that could not be recorded is kept."""
    monkeypatch.setattr(scheduler, "MAX_WAIT", 0.05)
    failing = Event()
    released = Event()
    only(monkeypatch, Part.EVENTS, lambda stop: {"applied": int(released.wait(10))})
    look = jobs.renew

    def renew(claim: jobs.Claim) -> bool:
        if failing.is_set():
            raise OperationalError("gone")
        return look(claim)

    finish = jobs.finish

    def finish_later(claim: jobs.Claim, run: jobs.Ended) -> Any:
        if failing.is_set():
            raise OperationalError("gone")
        return finish(claim, run)

    monkeypatch.setattr(jobs, "renew", renew)
    monkeypatch.setattr(jobs, "finish", finish_later)
    found = Scheduler()
    thread = running(found)
    until(lambda: ScheduledJob.objects.filter(part="events", expires_at__isnull=False))
    until(lambda: ScheduledJob.objects.filter(part="prune", outcome="completed"))
    failing.set()
    until(lambda: caplog.records)
    released.set()
    Event().wait(0.3)
    failing.clear()
    until(lambda: ScheduledJob.objects.get(part="events").message == "1 applied")
    ended(found, thread)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "the database does not answer (OperationalError: gone); trying again until it does"
    assert (len(lines), lines[1].startswith("the database answers again, after ")) == (2, True)


@pytest.mark.usefixtures("_quick")
def test_run__parts_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long full sync does not keep the others waiting, and its claim is kept."""
    monkeypatch.setattr(jobs, "LEASE", timedelta(seconds=0.5))
    over = Event()
    calls: list[None] = []

    def long(stop: Event) -> dict[str, int]:
        over.wait(10)
        return {}

    def short(stop: Event) -> dict[str, int]:
        calls.append(None)
        return {}

    for part in Part:
        replace(monkeypatch, part, long if part is Part.FULL else short)
    jobs.plan()
    make_due()
    found, other = Scheduler(), Scheduler()
    threads = [running(found), running(other)]
    until(lambda: len(calls) == len(Part) - 1)
    Event().wait(1.2)
    assert ScheduledJob.objects.get(part="full").fence == 1
    over.set()
    until(lambda: ScheduledJob.objects.get(part="full").outcome == "completed")
    for one, thread in zip((found, other), threads, strict=True):
        ended(one, thread)
    assert set(ScheduledJob.objects.values_list("fence", "failures")) == {(1, 0)}


@pytest.mark.usefixtures("_quick")
def test_run__emptied_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that somebody deletes come back."""
    only(monkeypatch, Part.FULL, lambda stop: {})
    found = Scheduler()
    thread = running(found)
    until(lambda: ScheduledJob.objects.count() == len(Part))
    jobs.forget()
    until(lambda: ScheduledJob.objects.count() == len(Part))
    ended(found, thread)


def test_forget(capsys: pytest.CaptureFixture[str]) -> None:
    """The command forgets the schedule."""
    jobs.plan()
    call_command("run_clerk_scheduler", "--forget")
    assert (capsys.readouterr().out, ScheduledJob.objects.count()) == (f"{len(Part)} parts forgotten\n", 0)


def test_levels(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What goes as it should is told of where it reads everybody, once a day or less often."""
    only(monkeypatch, Part.FULL, lambda stop: {"seen": 3})
    jobs.plan()
    make_due()
    with caplog.at_level(logging.INFO, "clerksync"):
        call_command("run_clerk_scheduler", "--once")
    messages = sorted(record.getMessage() for record in caplog.records)  # they end in any order
    assert messages == ["audit completed: ", "full completed: 3 seen"]
