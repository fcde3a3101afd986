"""The page "Clerk sync" as a person uses it, under the strictest Content-Security-Policy."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from clerksync.testing import FakeClerk, every_shape
from tests import lively
from tests.browser.conftest import Visit
from tests.browser.test_admin import log_in
from tests.syncing import Syncer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

DASHBOARD = "/admin/clerksync/mirrorstate/"


@pytest.fixture(autouse=True)
def _strict(settings: Any) -> None:
    settings.MIDDLEWARE = ["tests.policies.StrictPolicy", *settings.MIDDLEWARE]


@pytest.fixture
def ids(clerk_server: FakeClerk) -> dict[str, str]:
    """Users of every shape, synced."""
    ids = every_shape(clerk_server)
    Syncer(clerk_server).full()
    return ids


def test_dashboard__lively(visit: Visit, ids: dict[str, str]) -> None:
    """Charts."""
    lively.fill()
    log_in(visit)
    visit.page.get_by_role("link", name="Clerk sync").first.click()
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Clerk sync")
    visit.look("dashboard", whole=True)
    assert visit.overflow() <= 0
    for summary in visit.page.get_by_text("As a table").all():
        summary.click()
    visit.look("dashboard-tables", whole=True)
    assert visit.overflow() <= 0


def test_dashboard__empty(visit: Visit, clerk_server: FakeClerk) -> None:
    """Nothing yet."""
    log_in(visit)
    visit.go(DASHBOARD)
    visit.look("dashboard-empty", whole=True)
    assert visit.overflow() <= 0
