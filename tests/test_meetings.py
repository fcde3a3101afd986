"""Several that work on the same user at the same time: syncs, reads by id, and events that come late."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connections

from clerksync import watermarks
from clerksync.models import ClerkUser
from clerksync.refresh import sync_pending
from clerksync.tally import Report
from clerksync.testing import FakeClerk, Request
from clerksync.testing.deliveries import Delivery
from tests.deliveries import post
from tests.syncing import COUNT, StopAfter, Syncer, before_list, differences, small_pages, synced

pytestmark = pytest.mark.django_db(transaction=True)


def during(clerk: FakeClerk, route: str, work: Callable[[], object]) -> None:
    """Do it once while Clerk answers such a request."""
    done: list[bool] = []

    def call(request: Request) -> None:
        if not done:
            done.append(True)
            try:
                work()
            finally:
                connections.close_all()  # of the thread that answers

    clerk.fail("callback", call=call, on=route)


def pending(syncer: Syncer) -> Report:
    """Read those in doubt."""
    with syncer.client() as client:
        return sync_pending(client)


def read_of(clerk_id: str) -> str:
    """The route of a read by id."""
    return f"GET /v1/users/{clerk_id}"


def test_pending__twice_at_once(syncer: Syncer) -> None:
    """Two that read a user whom Clerk refuses are one try: the next one is due in a minute."""
    clerk = syncer.clerk
    clerk_id = synced(syncer, 20)[3]
    clerk.delete_user(clerk_id)
    clerk.fail(403, on=read_of(clerk_id), times=None)
    syncer.full()
    clerk.advance(seconds=63)
    during(clerk, read_of(clerk_id), lambda: pending(syncer))
    pending(syncer)
    row = ClerkUser.objects.get(pk=clerk_id)
    assert (row.doubt_tries, row.retry_ms <= clerk.clock.now_ms() + 120_000) == (2, True)
    clerk.clear_faults()
    clerk.advance(seconds=120)
    pending(syncer)
    assert differences(clerk) == {}


def late_event(clerk: FakeClerk) -> Delivery:
    """Of somebody who signed up and has left since; that they left no event tells."""
    user = clerk.create_user()
    event = clerk.sign_webhook("user.created", user)
    clerk.advance(seconds=300)
    clerk.delete_user(user["id"])
    clerk.advance(seconds=3600)
    return event


def test_full__late_event_behind_the_walk(syncer: Syncer) -> None:
    """I12: who came into the table behind the walk is read by id before deletes are known."""
    clerk = syncer.clerk
    synced(syncer, 20)
    event = late_event(clerk)
    during(clerk, COUNT, lambda: post(event))
    assert syncer.full().error is None
    assert differences(clerk) == {}


def test_full__late_event_while_it_was_cut(syncer: Syncer) -> None:
    """The same between a sync that was cut and the one that goes on from there."""
    clerk = syncer.clerk
    synced(syncer, 20)
    event = late_event(clerk)
    clerk.create_users(30)
    small_pages(clerk)
    stop = StopAfter(4)
    syncer.full(on_page=stop, stop=stop.event)
    post(event)
    clerk.advance(seconds=5 * 3600)
    report = syncer.full()
    assert (report.error, report.resumed) == (None, True)
    assert differences(clerk) == {}


def test_full__late_event_during_the_drain(syncer: Syncer) -> None:
    """No more is claimed than is known, and the next read of those in doubt finds out."""
    clerk = syncer.clerk
    missing = synced(syncer, 20)[3]
    came_ms = clerk.clock.now_ms()
    event = late_event(clerk)
    clerk.delete_user(missing)
    during(clerk, read_of(missing), lambda: post(event))
    assert syncer.full().error is None
    deletes_ms = watermarks.known().deletes_ms
    assert deletes_ms is not None
    assert deletes_ms <= came_ms
    clerk.advance(seconds=60)
    pending(syncer)
    assert differences(clerk) == {}


def test_full__somebody_new_leaves_at_once(syncer: Syncer) -> None:
    """A new user of whom a 404 proves nothing yet keeps no older delete from being known."""
    clerk = syncer.clerk
    synced(syncer, 20)
    clerk.advance(seconds=3600)
    began_ms = clerk.clock.now_ms()

    def come_and_go() -> None:
        new = clerk.create_user()
        clerk.send_webhook("user.created", new)
        clerk.delete_user(new["id"])
        connections.close_all()

    before_list(clerk, come_and_go)
    report = syncer.full()
    assert (report.error, report.in_doubt) == (None, 1)
    deletes_ms = watermarks.known().deletes_ms
    assert deletes_ms is not None
    assert deletes_ms >= began_ms - 1000  # Clerk tells its time in seconds
