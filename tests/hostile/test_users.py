"""Hostile users, by every way into the table: each costs only itself (I14), and nobody is deleted (I13)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from clerksync.exceptions import ClerkSyncError
from clerksync.models import ClerkUser, WebhookEvent
from clerksync.testing import FakeClerk
from tests.deliveries import WEBHOOK_SECRET, body_of, now_ms, post
from tests.figures import tell
from tests.hostile.forging import is_text, sign
from tests.hostile.people import HOSTILE, ODD_IDS
from tests.syncing import Syncer, small_pages, table

pytestmark = pytest.mark.django_db

NAMES = sorted(HOSTILE)
#: What may be said of a hostile user, wherever it is said.
LONGEST_MESSAGE = 2_000


@pytest.fixture
def syncer(clerk: FakeClerk, settings: Any) -> Syncer:
    """Syncs the fake Clerk."""
    settings.ROOT_URLCONF = "project.urls"
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET
    return Syncer(clerk)


def settled(syncer: Syncer, count: int) -> list[str]:
    """So many good users in Clerk and in the table."""
    ids = syncer.clerk.create_users(count)
    assert syncer.full().exit_status == 0
    syncer.clerk.advance(seconds=600)
    return ids


def spoil(clerk: FakeClerk, clerk_id: str, name: str) -> bytes:
    """Have Clerk change this user, and send them as the name says."""
    clerk.update_user(clerk_id, last_name="Changed")
    raw = HOSTILE[name].spoil(clerk.get(clerk_id))
    clerk.set_raw(clerk_id, raw)
    return raw


def look(user: ClerkUser) -> list[Any]:
    """Everything that a page could show of a row."""
    return [
        str(user), user.payload, user.full_name, user.display_name, user.primary_email, user.primary_phone,
        user.primary_web3_wallet, user.is_active, user.is_shut_out, user.problems,
        json.dumps([user.public_metadata, user.private_metadata, user.unsafe_metadata]),
    ]  # fmt: skip


def check_table(before: dict[str, dict[str, Any]], good: list[str], known: set[str]) -> None:
    """Nobody is deleted or lost, no good user's row is another, and every row can be shown."""
    after = table()
    assert {clerk_id: after[clerk_id] for clerk_id in good} == {
        clerk_id: before[clerk_id] for clerk_id in good
    }
    rows = ClerkUser.objects.in_bulk()
    assert known <= rows.keys()
    assert not [row.pk for row in rows.values() if row.state == "deleted"]
    assert not [pk for pk in known if rows[pk].state != "active"]
    for row in rows.values():
        assert look(row)
        assert len(row.problems) <= LONGEST_MESSAGE


def test_sweep__among_good_users(syncer: Syncer) -> None:
    """I14: all hostile users at once, each between two good ones, cost only themselves."""
    ids = settled(syncer, 2 * len(NAMES) + 1)
    before = table()
    for number, name in enumerate(NAMES):
        spoil(syncer.clerk, ids[2 * number + 1], name)
    report = syncer.full()
    assert report.error is None
    assert (report.exit_status, report.counts["skipped"] > 0) == (1, True)
    check_table(before, ids[::2], set(ids))
    tell("hostile users and answers", len(NAMES))


def test_sweep__of_new_users(syncer: Syncer) -> None:
    """I14: hostile users whom nobody knows yet leave no row that looks like another's."""
    good = settled(syncer, 5)
    before = table()
    bad = syncer.clerk.create_users(len(NAMES))
    for clerk_id, name in zip(bad, NAMES, strict=True):
        spoil(syncer.clerk, clerk_id, name)
    late = syncer.clerk.create_users(5)
    report = syncer.full()
    assert report.error is None
    assert set(late) <= set(ClerkUser.objects.active().values_list("pk", flat=True))
    check_table(before, good, set(good))


def test_ids__of_any_kind(syncer: Syncer) -> None:
    """I14: users with odd ids are rows like others, or doubts; they stop neither the drain nor its controls."""
    good = settled(syncer, 5)
    before = table()
    for clerk_id in ODD_IDS.values():
        syncer.clerk.create_user(clerk_id=clerk_id)
        syncer.clerk.advance(seconds=1)
    for _ in range(2):
        report = syncer.full()
        assert report.error is None
        check_table(before, good, set(good))
        syncer.clerk.advance(seconds=7 * 3600)
    ClerkUser.objects.update(doubt_reason="tie", doubt_ms=1, retry_ms=1)
    assert syncer.full().error is None
    assert not ClerkUser.objects.filter(pk__in=good).exclude(doubt_reason="").exists()
    ClerkUser.objects.filter(pk=good[0]).update(doubt_reason="tie", doubt_ms=1, retry_ms=1)
    assert syncer.users(good[0]).exit_status == 0
    assert not ClerkUser.objects.deleted().exists()
    tell("hostile users and answers", len(ODD_IDS))


@pytest.mark.parametrize("seed", range(4))
def test_sweep__at_the_borders_of_pages(syncer: Syncer, seed: int) -> None:
    """I14: whoever stands at the end of a page, the next one is found, and the next sync finds the same."""
    names = random.Random(seed).sample(NAMES, 40)
    ids = settled(syncer, 60)
    before = table()
    for number, name in enumerate(names):
        spoil(syncer.clerk, ids[number + number // 2], name)
    good = [ids[number] for number in range(60) if number % 3 == 2]
    small_pages(syncer.clerk)
    for report in (syncer.full(), syncer.full()):
        assert report.error is None, report.error
        assert report.counts["seen"] >= len(good)
        check_table(before, good, set(ids))


def test_scan__among_good_users(syncer: Syncer) -> None:
    """I14: the incremental scan takes what it can, stops for nobody, and says how many it skipped."""
    ids = settled(syncer, len(NAMES) + 3)
    before = table()
    for clerk_id, name in zip(ids, NAMES, strict=False):
        syncer.clerk.advance(seconds=1)
        spoil(syncer.clerk, clerk_id, name)
    report = syncer.incremental()
    assert report.error is None
    check_table(before, ids[-3:], set(ids))


def faults_of(names: list[str], attempt: Any) -> Iterator[str]:
    """What went otherwise than documented, name by name."""
    for number, name in enumerate(names):
        try:
            attempt(number, name)
        except (ClerkSyncError, ImproperlyConfigured) as error:
            yield f"{name}: {error!r}"


def test_read__one_by_one(syncer: Syncer) -> None:
    """A read by id of each: it ends as documented, and touches nobody else."""
    ids = settled(syncer, len(NAMES) + 3)
    before = table()

    def read(number: int, name: str) -> None:
        spoil(syncer.clerk, ids[number], name)
        report = syncer.users(ids[number])
        assert report.exit_status in {0, 1}, (name, report.error)
        assert len(str(report.error or "")) <= LONGEST_MESSAGE

    assert list(faults_of(NAMES, read)) == []
    check_table(before, ids[-3:], set(ids))


def test_read__all_together(syncer: Syncer) -> None:
    """I14: reads by id of many at once do not fail for the sake of one."""
    ids = settled(syncer, len(NAMES) + 6)
    before = table()
    for clerk_id, name in zip(ids, NAMES, strict=False):
        spoil(syncer.clerk, clerk_id, name)
    syncer.clerk.update_user(ids[-1], first_name="Well")
    report = syncer.users(*ids[: len(NAMES)], ids[-1])
    assert report.exit_status == 1, report.error
    assert ClerkUser.objects.get(pk=ids[-1]).first_name == "Well"
    check_table(before, ids[-3:-1], set(ids))


@pytest.mark.parametrize("event_type", ["user.created", "user.updated", "session.created"])
def test_webhook__one_by_one(syncer: Syncer, event_type: str) -> None:
    """A signed event of each is recorded and answered 200: applied, or parked with a reason."""
    ids = settled(syncer, len(NAMES) + 3)
    before = table()
    for clerk_id, name in zip(ids, NAMES, strict=False):
        raw = HOSTILE[name].spoil({**syncer.clerk.get(clerk_id), "updated_at": now_ms()})
        data = b'{"object":"session","id":"sess_1","user":%s}' % raw if "session" in event_type else raw
        body = body_of(event_type, {}, instance_id=syncer.clerk.instance_id).replace(
            b'"data":{}', b'"data":' + data
        )
        response = post(sign(body))
        expected = 200 if is_text(body) and len(body) <= 1024 * 1024 else 413 if is_text(body) else 400
        assert response.status_code == expected, (name, response.content)
        if expected == 200:
            event = WebhookEvent.objects.latest("pk")
            assert event.state in {"applied", "superseded", "parked", "ignored"}, name
            assert (event.state == "parked") <= bool(event.reason), name
            assert len(event.reason) <= LONGEST_MESSAGE, name
    check_table(before, ids[-3:], set(ids))
    tell("hostile webhook requests", len(NAMES))


def test_drain__after_everything(syncer: Syncer) -> None:
    """Doubts of hostile users are looked at again and again, and keep nobody else's from being settled."""
    ids = settled(syncer, 2 * len(NAMES))
    for number, name in enumerate(NAMES):
        spoil(syncer.clerk, ids[2 * number], name)
    syncer.full()
    ClerkUser.objects.filter(pk=ids[1]).update(doubt_reason="tie", doubt_ms=1, retry_ms=1)
    syncer.clerk.advance(seconds=7 * 3600)
    report = syncer.full()
    assert report.error is None
    assert ClerkUser.objects.get(pk=ids[1]).doubt_reason == ""
    assert not ClerkUser.objects.deleted().exists()
