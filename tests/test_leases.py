"""One sync at a time (I8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings

from clerksync import leases
from clerksync.exceptions import LeaseHeld, LeaseLost
from clerksync.models import MirrorState, SyncRun
from clerksync.pages import SweptPage
from tests.syncing import StopAfter, Syncer, differences, everything, last_run, small_pages, told

pytestmark = pytest.mark.django_db


def test_lease__held(syncer: Syncer) -> None:
    """A second full sync ends with 3 and writes nothing; reading single users needs no lease."""
    ids = syncer.clerk.create_users(12)
    found: list[Any] = []

    def on_page(page: SweptPage, seen: int) -> None:
        with pytest.raises(LeaseHeld, match="a full sync is at work") as caught:
            syncer.full()
        found.append((caught.value.exit_status, told(syncer.users(ids[0]))))

    assert syncer.full(on_page=on_page).error is None
    assert found[0] == (3, {"seen": 1, "unchanged": 1})
    assert SyncRun.objects.filter(kind=SyncRun.Kind.FULL).count() == 1


@pytest.mark.parametrize("completes", [True, False])
def test_lease__lost(syncer: Syncer, completes: bool) -> None:  # noqa: FBT001  # pytest's
    """I8: a sync that was away past its expiry writes nothing more, neither users nor books."""
    syncer.clerk.create_users(45)
    small_pages(syncer.clerk)
    states: list[Any] = []

    def take_over(page: SweptPage, seen: int) -> None:
        if states or seen < 15:
            return
        states.append(None)
        MirrorState.objects.update(full_expires_at=datetime(2020, 1, 1, tzinfo=UTC))
        stop = StopAfter(1)
        syncer.full(on_page=stop, stop=None if completes else stop.event)
        states.append(everything())

    report = syncer.full(on_page=take_over)
    assert report.exit_status == 3
    assert everything() == states[1]
    assert last_run().state == (SyncRun.State.COMPLETED if completes else SyncRun.State.INTERRUPTED)
    assert syncer.full().exit_status == 0
    assert differences(syncer.clerk) == {}


def test_lease__expired_but_nobody_took_it(syncer: Syncer) -> None:
    """A slow sync goes on if it was not in anybody's way."""
    syncer.clerk.create_users(25)
    small_pages(syncer.clerk)

    def expire(page: SweptPage, seen: int) -> None:
        MirrorState.objects.update(full_expires_at=datetime(2020, 1, 1, tzinfo=UTC))

    assert syncer.full(on_page=expire).error is None
    assert differences(syncer.clerk) == {}


def shift(**time: float) -> None:
    """Let the lease expire so much later (or, below nought, earlier) than it does."""
    state = MirrorState.objects.get()
    assert state.full_expires_at is not None
    MirrorState.objects.update(full_expires_at=state.full_expires_at + timedelta(**time))


def test_acquire__names_the_holder() -> None:
    """Who finds the lease taken learns by whom, and until when."""
    with leases.hold("full") as lease, pytest.raises(LeaseHeld, match="expires at") as caught:
        leases.acquire("full")
    assert lease.holder in str(caught.value)
    assert caught.value.exit_status == 3


def test_acquire__kinds_are_apart() -> None:
    """A long full sync does not starve an incremental one."""
    with leases.hold("full"), leases.hold("incremental"):
        assert MirrorState.objects.exclude(full_holder="").exclude(incremental_holder="").exists()


@pytest.mark.parametrize(("seconds", "is_free"), [(-59, False), (-61, True)])
def test_acquire__an_expired_lease(seconds: int, is_free: bool) -> None:  # noqa: FBT001  # a parameter of pytest
    """A dead holder is in the way for a minute by the database's clock, no less and no more."""
    dead = leases.acquire("full")
    shift(seconds=seconds)
    if not is_free:
        with pytest.raises(LeaseHeld):
            leases.acquire("full")
        return
    assert leases.acquire("full").fence == dead.fence + 1


def test_renew__prolongs() -> None:
    """Each page gives another minute."""
    lease = leases.acquire("full")
    shift(seconds=-50)
    lease.renew()
    shift(seconds=-50)
    with pytest.raises(LeaseHeld):
        leases.acquire("full")


def test_renew__lost() -> None:
    """Who comes back after another has taken over, or after that one has ended, may not go on."""
    old = leases.acquire("full")
    shift(minutes=-2)
    with leases.hold("full") as new:
        with pytest.raises(LeaseLost) as caught:
            old.renew()
        new.renew()
    assert caught.value.exit_status == 3
    with pytest.raises(LeaseLost):
        old.renew()


def test_release__not_of_another() -> None:
    """A holder that lost the lease does not give away its successor's."""
    old = leases.acquire("full")
    shift(minutes=-2)
    with leases.hold("full"):
        old.release()
        with pytest.raises(LeaseHeld):
            leases.acquire("full")


def test_hold__released_after_an_error() -> None:
    """Whatever happens in the block, the next one need not wait."""
    with pytest.raises(KeyError), leases.hold("full"):
        raise KeyError
    assert leases.acquire("full").fence == 2


@override_settings(USE_TZ=False)
@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_lease__without_time_zones(zone: str) -> None:
    """A lease of a project with ``USE_TZ = False`` lasts a minute as well: it is written and read by one clock."""
    with override_settings(TIME_ZONE=zone), leases.hold("full"):
        shift(seconds=-50)
        with pytest.raises(LeaseHeld):
            leases.acquire("full")
        shift(seconds=-15)
        assert leases.acquire("full").fence == 2
