"""The demo's first page as a person sees it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from clerksync.testing import FakeClerk, every_shape
from tests.browser.conftest import Visit
from tests.syncing import Syncer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]


def test_first_page__table(visit: Visit, clerk_server: FakeClerk, settings: Any) -> None:
    """It shows all users, fits the window, and leads to the admin."""
    settings.ROOT_URLCONF = "project.demo_urls"
    ids = every_shape(clerk_server)
    Syncer(clerk_server).full()
    visit.go("/")
    expect(visit.page.get_by_role("row")).to_have_count(len(ids) + 1)
    expect(visit.page.get_by_role("table", name=f"{len(ids)} users")).to_be_visible()
    visit.look("first")
    assert visit.overflow() <= 0
    visit.page.get_by_role("link", name="The users in the admin").click()
    expect(visit.page.get_by_role("button", name="Log in")).to_be_visible()
