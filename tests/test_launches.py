"""Work that a page asks for: by the scheduler, by a queue, or by a thread that the page need not wait for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.test import override_settings

from clerksync import jobs, launches
from clerksync.attempts import Told
from clerksync.events import off, on
from clerksync.launches import Launch, Where, Work, launch
from clerksync.models import ClerkUser, ScheduledJob, SyncRun, WebhookEvent
from clerksync.schedule import Part
from clerksync.testing import FakeClerk, Request
from tests.deliveries import changed, deliver, now_ms

pytestmark = pytest.mark.django_db(transaction=True)

LONG = 60.0


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    """No thread outlives its test."""
    yield
    for thread in launches._at_work.values():
        thread.join(LONG)


def here(work: Work) -> Told:
    """Have it done by this process; how it ended."""
    launched = launch(work, patience=LONG)
    assert launched.where is Where.HERE
    assert launched.told is not None
    return launched.told


def test_here__sync(clerk: FakeClerk) -> None:
    """Without a scheduler and a queue a thread does it; the first sync is full."""
    clerk.create_users(3)
    assert here(Work.SYNC).message.startswith("3 created, 3 seen, 0 in_doubt, ")
    assert ClerkUser.objects.active().count() == 3
    assert here(Work.FULL).message.startswith("3 unchanged, 3 seen, ")


def test_here__audit(clerk: FakeClerk) -> None:
    """An audit tells how much it found, and keeps that in the books."""
    clerk.create_users(2)
    assert here(Work.AUDIT) == ("completed", "2 seen, 2 missing")
    assert SyncRun.objects.get().kind == "audit"


def test_here__replay(clerk: FakeClerk) -> None:
    """All failed and parked events are replayed, whether their time has come or not."""
    on("user.updated")(_fail)
    try:
        deliver(changed(now_ms()))
        assert here(Work.REPLAY) == ("completed", "1 failed")
    finally:
        off(_fail)
    assert here(Work.REPLAY) == ("completed", "1 applied")
    assert WebhookEvent.objects.get().state == "applied"


def _fail(event: object) -> None:
    raise ValueError("not today")


def test_here__failure_is_told(clerk: FakeClerk) -> None:
    """What goes wrong is told, and not raised."""
    clerk.fail(401, times=None, on="*")
    assert here(Work.SYNC).outcome == "failed"
    with override_settings(CLERK_SECRET_KEY=""):
        assert "CLERK_SECRET_KEY" in here(Work.AUDIT).message


def test_here__page_does_not_wait(clerk: FakeClerk) -> None:
    """What takes long goes on in the background, once at a time."""
    clerk.create_users(1)
    asked, go_on = threading.Event(), threading.Event()

    def hold(request: Request) -> None:
        asked.set()
        assert go_on.wait(LONG)

    clerk.fail("callback", call=hold, on="*")
    assert launch(Work.SYNC, patience=0) == Launch(Where.HERE)
    assert asked.wait(LONG)
    assert launch(Work.SYNC, patience=0) == Launch(Where.HERE, is_new=False)
    go_on.set()
    launches._at_work[Work.SYNC].join(LONG)
    assert ClerkUser.objects.count() == 1


def test_scheduler__takes_parts(clerk: FakeClerk) -> None:
    """Where a scheduler is alive it is told to begin at once, an audit too; what it has no part for is done here."""
    jobs.plan()
    jobs.beat(stays=True)
    assert launch(Work.FULL) == Launch(Where.SCHEDULER)
    assert jobs.claim(Part.FULL) is not None
    assert launch(Work.AUDIT) == Launch(Where.SCHEDULER)
    assert jobs.claim(Part.AUDIT) is not None
    assert here(Work.REPLAY) == ("completed", "")
    assert clerk.requests == []


@pytest.mark.parametrize("seen", ["never", "long ago"])
def test_scheduler__dead(clerk: FakeClerk, seen: str) -> None:
    """A scheduler that is not heard of is not relied on."""
    jobs.plan()
    if seen == "long ago":
        jobs.beat(stays=True)
        for job in ScheduledJob.objects.all():
            assert job.seen_at is not None
            ScheduledJob.objects.filter(pk=job.pk).update(seen_at=job.seen_at - 2 * jobs.LEASE)
    here(Work.SYNC)


def test_scheduler__part_is_off(clerk: FakeClerk) -> None:
    """A part that is switched off is done here."""
    with override_settings(CLERKSYNC_SCHEDULE={"full": None}):
        jobs.plan()
        jobs.beat(stays=True)
        here(Work.FULL)


@pytest.mark.parametrize("work", Work)
def test_queue__takes_all(clerk: FakeClerk, work: Work) -> None:
    """Where tasks are queued a worker does it."""
    queues = pytest.importorskip("tests.queues", reason="neither Django 6.0 nor django-tasks is installed")
    queues.Queue.names.clear()
    with override_settings(TASKS={"default": {"BACKEND": "tests.queues.Queue"}}):
        assert launch(work) == Launch(Where.QUEUE)
    names = {
        "sync": "sync_incremental",
        "full": "sync_full",
        "audit": "audit_users",
        "replay": "replay_events",
    }
    assert queues.Queue.names == [names[work]]
    assert clerk.requests == []


def test_queue__down(clerk: FakeClerk, caplog: pytest.LogCaptureFixture) -> None:
    """Where the queue does not answer this process does it."""
    pytest.importorskip("tests.queues", reason="neither Django 6.0 nor django-tasks is installed")
    with override_settings(TASKS={"default": {"BACKEND": "tests.queues.BrokenQueue"}}):
        here(Work.SYNC)
    assert "sync was not put into the queue of tasks (ConnectionError)" in caplog.text
