"""Audits in the books of the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, current_thread, main_thread
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from clerksync import audits, leases, runs, signals, status
from clerksync.exceptions import ClerkSyncError, LeaseHeld, LeaseLost, SyncInterrupted
from clerksync.models import ClerkUser, MirrorState, SyncRun
from clerksync.testing import FakeClerk
from tests.admin.staff import log_in
from tests.syncing import Syncer, synced

pytestmark = pytest.mark.django_db


def last() -> SyncRun:
    return SyncRun.objects.filter(kind="audit").latest("pk")


def kill(clerk: FakeClerk) -> None:
    """Leave what an audit leaves that cannot say that it has ended."""
    synced(Syncer(clerk), 3)
    with leases.acquire("audit").writing():
        runs.begin(SyncRun.Kind.AUDIT, instance_id="")


def test_run__clean(clerk: FakeClerk) -> None:
    """A clean audit is completed, without a word; the state knows of it."""
    synced(Syncer(clerk), 3)
    assert audits.run() == {"seen": 3}
    assert (last().state, last().error, last().counts) == ("completed", "", {"seen": 3})
    assert last().api_calls > 0
    assert last().finished_at is not None
    assert status.read().runs["audit"].state == "completed"


def test_run__findings(clerk: FakeClerk) -> None:
    """What was found is counted by kind, and nobody is written."""
    ids = synced(Syncer(clerk), 3)
    ClerkUser.objects.filter(pk=ids[0]).update(
        first_name="New", last_name="User", email=f"{ids[0]}@example.com"
    )
    clerk.create_user()
    assert audits.run() == {"seen": 4, "missing": 1, "stale": 3}
    assert last().error == "4 findings. Run: manage.py audit_clerk_users"
    assert ClerkUser.objects.get(pk=ids[0]).first_name == "New"


def test_run__requests_are_counted(clerk: FakeClerk) -> None:
    """Its requests are part of what is used of Clerk's limit."""
    synced(Syncer(clerk), 3)
    before = status.measure().api.requests
    audits.run()
    assert status.measure().api.requests == before + last().api_calls


def test_run__failed(clerk: FakeClerk) -> None:
    """An audit that could not be done says why."""
    clerk.fail(401, times=None, on="*")
    with pytest.raises(ClerkSyncError):
        audits.run()
    assert last().state == "failed"
    assert last().error != ""


def test_run__stopped(clerk: FakeClerk) -> None:
    """One that is stopped ends after the page, or before the first request."""
    clerk.create_users(2)
    stop = Event()
    stop.set()
    with pytest.raises(SyncInterrupted):
        audits.run(stop=stop)
    assert last().state == "interrupted"


def test_run__died(clerk: FakeClerk) -> None:
    """One whose process died is shown as dead once its lease has expired, and closed by the next one."""
    kill(clerk)
    assert status.read().holders.keys() == {"audit"}
    assert status.read().runs["audit"].state == "running"
    with pytest.raises(LeaseHeld, match=r"an audit is at work: .* its lease expires at"):
        audits.run()
    MirrorState.objects.update(audit_expires_at=timezone.now() - timedelta(seconds=1))
    found = status.read()
    assert (found.runs["audit"].state, found.runs["audit"].error) == (
        "interrupted",
        "it ended without a word",
    )
    assert found.holders == {}
    audits.run()
    states = SyncRun.objects.filter(kind="audit").order_by("pk").values_list("state", "error")
    assert list(states) == [("interrupted", "the process ended"), ("completed", "")]
    assert status.totals()["runs"]["audit", "interrupted"] == 1


def test_run__died_in_the_admin(clerk: FakeClerk) -> None:
    """The lists of the admin tell a dead one from one that is at work."""
    kill(clerk)
    staff, words = log_in(is_superuser=True), "ended without a word"
    pages = [reverse(f"admin:clerksync_{name}_changelist") for name in ("syncrun", "mirrorstate")]
    pages.append(reverse("admin:clerksync_syncrun_change", args=[last().pk]))
    assert [words in staff.get(page).content.decode() for page in pages] == [False] * 3
    MirrorState.objects.update(audit_expires_at=timezone.now() - timedelta(seconds=1))
    assert [words in staff.get(page).content.decode() for page in pages] == [True] * 3


@contextmanager
def before_the_first_request(act: Callable[[], object]) -> Iterator[None]:
    """Do something once an audit has begun, in its thread."""
    due = [act]

    def receive(**kwargs: Any) -> None:
        if due and current_thread() is main_thread():
            due.pop()()

    signals.pre_request.connect(receive)
    try:
        yield
    finally:
        signals.pre_request.disconnect(receive)
    assert not due


def test_run__one_at_a_time(clerk: FakeClerk) -> None:
    """A second audit asks Clerk nothing."""
    synced(Syncer(clerk), 3)

    def another() -> None:
        with pytest.raises(LeaseHeld) as caught:
            audits.run()
        assert caught.value.exit_status == 3

    with before_the_first_request(another):
        audits.run()
    assert last().api_calls == len(clerk.requests)
    assert SyncRun.objects.filter(kind="audit").count() == 1


def test_run__taken_over(clerk: FakeClerk) -> None:
    """One that showed no progress for so long that another began ends, and leaves the books to that one."""
    synced(Syncer(clerk), 3)

    def take_over() -> None:
        MirrorState.objects.update(audit_expires_at=timezone.now() - timedelta(seconds=1))
        audits.run()

    with before_the_first_request(take_over), pytest.raises(LeaseLost, match="another audit has taken over"):
        audits.run()
    states = SyncRun.objects.filter(kind="audit").order_by("pk").values_list("state", flat=True)
    assert list(states) == ["interrupted", "completed"]
    assert status.totals()["runs"]["audit", "interrupted"] == 1
    assert status.totals()["requests"]["audit", ""] == len(clerk.requests)


def test_prune__old(clerk: FakeClerk) -> None:
    """Old ones are forgotten like the runs of some users."""
    audits.run()
    SyncRun.objects.update(started_at=last().started_at - 2 * runs.KEPT)
    assert runs.prune() == 1
