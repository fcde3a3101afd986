"""Audits in the books of the runs."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

import pytest
from django.utils import timezone

from clerksync import audits, runs, status
from clerksync.exceptions import ClerkSyncError, SyncInterrupted
from clerksync.models import ClerkUser, SyncRun
from clerksync.testing import FakeClerk
from tests.syncing import Syncer, synced

pytestmark = pytest.mark.django_db


def last() -> SyncRun:
    return SyncRun.objects.filter(kind="audit").latest("pk")


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
    """One whose process died is not shown as running for ever; one that is at work is left alone."""
    now = timezone.now()
    for minutes in (11, 1):
        at = now - timedelta(minutes=minutes)
        SyncRun.objects.create(kind="audit", started_at=now - timedelta(hours=1), progressed_at=at)
    audits.run()
    states = SyncRun.objects.filter(kind="audit").order_by("pk").values_list("state", flat=True)
    assert list(states) == ["interrupted", "running", "completed"]


def test_prune__old(clerk: FakeClerk) -> None:
    """Old ones are forgotten like the runs of some users."""
    audits.run()
    SyncRun.objects.update(started_at=last().started_at - 2 * runs.KEPT)
    assert runs.prune() == 1
