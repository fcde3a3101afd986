"""Missed deliveries: changes that no webhook told, counted right for any share of loss."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.test import override_settings

from clerksync import misses, status
from clerksync.misses import GRACE_MS
from clerksync.models import ClerkUser, WebhookEvent
from clerksync.payloads import Parser, Source
from clerksync.testing import FakeClerk
from clerksync.watermarks import Watermarks
from tests.syncing import Syncer, change, differences, small_pages, synced

pytestmark = pytest.mark.django_db


def counted(report: Any) -> tuple[int, int]:
    return report.counts.get("missed", 0), report.counts.get("delivered", 0)


def change_with_webhooks(clerk: FakeClerk, ids: list[str], *, lost: int) -> set[str]:
    """Change users, some of whose webhooks are lost; return whose."""
    unlucky = set(random.Random(lost).sample(ids, k=lost))
    for clerk_id in ids:
        change(clerk, [clerk_id])
        if clerk_id not in unlucky:
            assert clerk.send_webhook("user.updated", clerk.get(clerk_id)).status_code == 200
    return unlucky


@pytest.mark.parametrize("percent", [0, 1, 10, 100])
def test_share__of_lost_webhooks(syncer: Syncer, percent: int) -> None:
    """Of 100 changes some percent were told by no webhook: the next scan mends exactly those, and counts them."""
    ids = synced(syncer, 120)
    lost = change_with_webhooks(syncer.clerk, ids[:100], lost=percent)
    assert set(differences(syncer.clerk)) == lost
    syncer.clerk.advance(ms=GRACE_MS + 1_000)
    report = syncer.incremental()
    assert (report.counts.get("updated", 0), counted(report)) == (len(lost), (len(lost), 100 - len(lost)))
    assert differences(syncer.clerk) == {}
    share = status.read().missed_share
    assert share == pytest.approx(percent / 100)


@pytest.mark.parametrize("percent", [10, 100])
def test_share__of_a_stream(syncer: Syncer, percent: int) -> None:
    """Over many scans, with webhooks that come late and changes right before a scan, each change counts once."""
    ids, chance, lost, pending = synced(syncer, 150), random.Random(percent), 0, list[str]()
    for clerk_id in ids:
        syncer.clerk.advance(seconds=12)
        for late in pending:
            syncer.clerk.send_webhook("user.updated", syncer.clerk.get(late))
        pending.clear()
        syncer.clerk.update_user(clerk_id, last_name="Changed")
        if chance.random() * 100 < percent:
            lost += 1
        else:
            pending.append(clerk_id)
        if chance.random() < 0.1:
            syncer.incremental()
    syncer.clerk.advance(ms=GRACE_MS + 1_000)
    syncer.incremental()
    found = status.read()
    assert found.missed + found.delivered == 150
    assert lost <= found.missed <= lost + 1  # the last one's webhook never came
    assert differences(syncer.clerk) == {}


def test_window__under_way(syncer: Syncer) -> None:
    """A change of a minute ago is mended and not yet judged: its webhook may be under way."""
    ids = synced(syncer, 5)
    change(syncer.clerk, ids[:2])
    syncer.clerk.advance(seconds=60)
    assert counted(syncer.incremental()) == (0, 0)
    syncer.clerk.send_webhook("user.updated", syncer.clerk.get(ids[0]))
    syncer.clerk.advance(seconds=240)
    assert counted(syncer.incremental()) == (1, 1)
    syncer.clerk.advance(seconds=240)
    assert counted(syncer.incremental()) == (0, 0)


def test_window__no_secret(syncer: Syncer) -> None:
    """Where no webhooks are set up none is missed."""
    ids = synced(syncer, 5)
    change(syncer.clerk, ids)
    syncer.clerk.advance(seconds=300)
    with override_settings(CLERK_WEBHOOK_SIGNING_SECRET=""):
        assert counted(syncer.incremental()) == (0, 0)
    assert misses.window(Watermarks(), started_ms=5) is None
    assert misses.window(Watermarks(5), started_ms=None) is None


def test_window__first_sync(clerk: FakeClerk) -> None:
    """Users from before the first sync were told by nobody, and nobody should have."""
    clerk.create_users(5)
    assert counted(Syncer(clerk).full()) == (0, 0)


def test_event__parked_brought_nothing(syncer: Syncer) -> None:
    """An event that could not be applied is as good as none."""
    ids = synced(syncer, 3)
    change(syncer.clerk, ids[:2])
    for clerk_id in ids[:2]:
        syncer.clerk.send_webhook("user.updated", syncer.clerk.get(clerk_id))
    WebhookEvent.objects.filter(object_id=ids[0]).update(state="parked")
    syncer.clerk.advance(seconds=300)
    assert counted(syncer.incremental()) == (1, 1)


def test_event__of_an_earlier_change(syncer: Syncer) -> None:
    """A user whose first change was told and whose second was not is one missed change."""
    ids = synced(syncer, 3)
    change(syncer.clerk, ids[:1])
    syncer.clerk.send_webhook("user.updated", syncer.clerk.get(ids[0]))
    syncer.clerk.advance(seconds=30)
    change(syncer.clerk, ids[:1])
    syncer.clerk.advance(seconds=300)
    assert counted(syncer.incremental()) == (1, 0)


def test_full__judges_as_well(syncer: Syncer) -> None:
    """A site that runs full syncs only learns the same; changes and deletes are judged."""
    ids = synced(syncer, 30)
    change_with_webhooks(syncer.clerk, ids[:10], lost=4)
    for number, clerk_id in enumerate(ids[20:23]):
        user = syncer.clerk.get(clerk_id)
        syncer.clerk.delete_user(clerk_id)
        if number:
            syncer.clerk.send_webhook("user.deleted", user)
    syncer.clerk.advance(seconds=300)
    report = syncer.full()
    assert (report.counts["deleted"], counted(report)) == (1, (5, 8))
    assert ClerkUser.objects.deleted().count() == 3
    assert counted(syncer.full()) == (0, 0)


def test_full__and_a_scan_meanwhile(syncer: Syncer) -> None:
    """What a scan has judged while a full sync was at work is not counted twice."""
    ids = synced(syncer, 25)
    change(syncer.clerk, ids[:5])
    syncer.clerk.advance(seconds=300)
    small_pages(syncer.clerk)
    scans: list[tuple[int, int]] = []

    def scan(page: Any, seen: int) -> None:
        if not scans:
            scans.append(counted(syncer.incremental()))

    assert counted(syncer.full(on_page=scan)) == (0, 0)
    assert scans == [(5, 0)]
    found = status.read()
    assert (found.missed, found.delivered) == (5, 0)


def test_statements__none_without_changes(syncer: Syncer, django_assert_num_queries: Any) -> None:
    """Nothing is asked of the events while nothing has changed, and once for a page otherwise."""
    window = misses.Window(0, 10)
    with django_assert_num_queries(0):
        assert misses.judge([], window) == {}
    ids = synced(syncer, 3)
    with syncer.client() as client:
        page = client.list_users(limit=3)
    shown = Parser().parse_page(page.body, source=Source.LIST, observed_ms=page.observed_ms)
    with django_assert_num_queries(1):
        assert misses.judge(shown, misses.Window(0, 2**60)) == {"missed": len(ids), "delivered": 0}
