"""The page "Clerk sync" as a person uses it, under the strictest Content-Security-Policy."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from clerksync.events import off, on
from clerksync.models import ClerkUser, WebhookEvent
from clerksync.testing import FakeClerk, every_shape
from project.demo_past import invent_past
from tests.admin.staff import page_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import contrast, log_in, rows
from tests.deliveries import WEBHOOK_SECRET, changed, deliver, now_ms
from tests.syncing import Syncer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

DASHBOARD = "/admin/clerksync/mirrorstate/"


@pytest.fixture(autouse=True)
def _strict(settings: Any) -> None:
    """What the policy forbids is an error on the console, and so a problem of the visit."""
    settings.MIDDLEWARE = ["tests.policies.StrictPolicy", *settings.MIDDLEWARE]
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET


@pytest.fixture
def ids(clerk_server: FakeClerk) -> dict[str, str]:
    """Users of every shape, synced."""
    ids = every_shape(clerk_server)
    Syncer(clerk_server).full()
    return ids


def test_dashboard__month_in_use(visit: Visit, ids: dict[str, str], clerk_server: FakeClerk) -> None:
    """From the index to the page, its charts and their tables; nothing is wider than the window."""
    invent_past(clerk_server)
    log_in(visit)
    visit.go("/admin/")
    visit.page.get_by_role("main").get_by_role("link", name="Clerk sync", exact=True).click()
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Clerk sync")
    expect(visit.page.get_by_role("img", name="Webhook events a day, last 30 days")).to_be_visible()
    visit.look("dashboard", whole=True)
    assert visit.overflow() <= 0
    bar = visit.page.locator("svg.clerksync-chart rect.clerksync-ink.applied").first
    assert bar.evaluate("bar => getComputedStyle(bar).fill").startswith('url("#')
    for text in (
        ".clerksync-numbers small",
        ".clerksync-empty",
        ".clerksync-legend li",
        ".clerksync-buttons small",
    ):
        assert contrast(visit.page, text) >= 4.5
    for summary in visit.page.get_by_text("As a table").all():
        summary.click()
    expect(visit.page.get_by_role("table", name="Webhook events an hour, last 24 hours")).to_be_visible()
    visit.look("dashboard-tables", whole=True)
    assert visit.overflow() <= 0
    visit.page.locator(".clerksync-charts").get_by_role("link", name="handler failed").last.click()
    expect(visit.page).to_have_url(re.compile(r"webhookevent/\?state__exact=failed$"))
    expect(rows(visit.page).first).to_be_visible()


def test_dashboard__theme_of_the_admin(visit: Visit, ids: dict[str, str], clerk_server: FakeClerk) -> None:
    """The charts follow the switch of the admin, too."""
    invent_past(clerk_server, days=1)
    log_in(visit)
    visit.go(DASHBOARD)
    bar = visit.page.locator("svg.clerksync-chart rect.clerksync-ink.applied").first
    colours = set()
    for _ in range(3):  # light, dark, and as the system says
        visit.page.locator("button.theme-toggle").first.click()
        colours.add(bar.evaluate("bar => getComputedStyle(bar).stroke"))
    assert len(colours) == 2


def test_dashboard__nothing_yet(visit: Visit, clerk_server: FakeClerk) -> None:
    """Before the first sync it says what to do; a button does it."""
    clerk_server.create_users(3)
    log_in(visit)
    visit.go(DASHBOARD)
    expect(visit.page.locator(".clerksync-verdict")).to_contain_text("No full sync has been completed yet.")
    visit.look("dashboard-empty", whole=True)
    assert visit.overflow() <= 0
    visit.page.get_by_role("button", name="Sync now", exact=True).click()
    expect(visit.page.locator(".messagelist")).to_contain_text("Sync now: ")
    for _ in range(60):
        if "In step." in visit.page.locator(".clerksync-verdict").inner_text():
            break
        visit.page.wait_for_timeout(500)  # a busy machine may take longer than the page waits
        visit.go(DASHBOARD)
    expect(visit.page.locator(".clerksync-verdict")).to_contain_text("In step.")
    visit.look("dashboard-synced")


def test_journey(visit: Visit, ids: dict[str, str], clerk_server: FakeClerk) -> None:
    """Browse users, filter, open one, read it again; see what failed and replay it; let go of somebody."""
    on("user.updated")(_fail)
    try:
        deliver(changed(now_ms(), clerk_id=ids["google"]), svix_id="msg_failed")
    finally:
        off(_fail)
    clerk_server.update_user(ids["banned"], last_name="Okonkwo")
    log_in(visit)
    visit.go("/admin/")
    visit.page.get_by_role("main").get_by_role("link", name="Clerk users", exact=True).click()
    expect(rows(visit.page)).to_have_count(len(ids))
    visit.page.locator("[data-filter-title=banned]").get_by_role("link", name="Yes").click()
    expect(rows(visit.page)).to_have_count(1)
    rows(visit.page).get_by_role("link").click()
    visit.page.get_by_role("button", name="Read again from Clerk").click()
    expect(visit.page.locator(".field-last_name .readonly")).to_have_text("Okonkwo")
    visit.go(DASHBOARD)
    failed = visit.page.locator(".clerksync-numbers > div", has_text="Failed events")
    expect(failed).to_contain_text("1")
    failed.get_by_role("link").click()
    expect(rows(visit.page)).to_have_count(1)
    visit.go(DASHBOARD)
    visit.page.get_by_role("button", name="Replay failed events").click()
    expect(visit.page.locator(".messagelist")).to_contain_text("Replay failed events: done (1 applied).")
    visit.look("replayed")
    assert WebhookEvent.objects.get().state == "applied"
    clerk_server.delete_user(ids["banned"])
    visit.go(page_of(ids["banned"]))
    visit.page.get_by_role("link", name="Anonymize").click()
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Anonymize for good?")
    visit.look("anonymize")
    assert visit.overflow() <= 0
    visit.page.get_by_role("button", name="Yes, anonymize").click()
    expect(visit.page.locator(".messagelist")).to_contain_text("1 user was anonymized.")
    visit.look("anonymized")
    assert visit.overflow() <= 0
    user = ClerkUser.objects.get(pk=ids["banned"])
    assert (user.email, user.last_name, user.payload_text) == (None, None, None)


def _fail(event: object) -> None:
    raise ValueError("not today")
