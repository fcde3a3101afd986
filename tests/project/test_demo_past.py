"""The invented past of the demo's site."""

from __future__ import annotations

import pytest

from clerksync import parts, status
from clerksync.models import ClerkUser, WebhookEvent
from clerksync.testing import FakeClerk
from project.demo_past import invent_past
from project.demo_table import prepare
from tests.syncing import Syncer, synced

pytestmark = pytest.mark.django_db


def test_past__of_a_month(clerk: FakeClerk) -> None:
    """Each of the last days has its events, and they are counted."""
    invent_past(clerk, events_a_day=5)
    days = status.measure().days
    assert sum(slot.total for slot in days) == WebhookEvent.objects.count() == 150
    assert sum(slot.total > 0 for slot in days) >= 30
    assert sum(slot.rejected for slot in days) == 16


def test_past__replay_settles_it(clerk: FakeClerk) -> None:
    """What waits can be replayed, and changes no user."""
    synced(Syncer(clerk), 3)
    before = list(ClerkUser.objects.values_list("pk", "updated_ms"))
    invent_past(clerk, days=5)
    assert WebhookEvent.objects.filter(state__in=("failed", "parked")).exists()
    assert parts.replay_all().keys() <= {"applied", "superseded"}
    assert not WebhookEvent.objects.filter(state__in=("failed", "parked")).exists()
    assert list(ClerkUser.objects.values_list("pk", "updated_ms")) == before


def test_past__dropped_with_the_table(clerk: FakeClerk) -> None:
    """The next demo begins without it."""
    invent_past(clerk, days=1)
    prepare(clerk)
    assert sum(slot.total for slot in status.measure().days) == 0
