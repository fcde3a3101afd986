"""The admin as a person uses it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page, expect

from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk, every_shape
from tests.admin.staff import LIST, RUNS, page_of
from tests.browser.conftest import Visit
from tests.syncing import Syncer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]


@pytest.fixture
def ids(clerk_server: FakeClerk) -> dict[str, str]:
    """Users of every shape, synced, one of them with placeholder data, by shape."""
    ids = every_shape(clerk_server)
    Syncer(clerk_server).full()
    ClerkUser.objects.filter(pk=ids["google"]).update(
        email="someone@example.com", first_name="New", last_name="User"
    )
    return ids


def log_in(visit: Visit) -> None:
    """Have a session of a superuser, and save the way through Django's own form."""
    client = Client()
    client.force_login(User.objects.create_superuser("demo", password="harbour"))
    session = client.cookies[settings.SESSION_COOKIE_NAME]
    visit.page.context.add_cookies([{"name": session.key, "value": session.value, "url": visit.base}])


def rows(page: Page) -> Any:
    """The rows of a list."""
    return page.locator("#result_list tbody tr")


def contrast(page: Page, selector: str) -> float:
    """By how much the text of an element differs from what is behind it, as WCAG counts."""
    ratio: float = page.locator(selector).first.evaluate(
        """element => {
          const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
          const rgba = colour => {
            canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
            return canvas.getImageData(0, 0, 1, 1).data;
          };
          const light = ([r, g, b]) => [r, g, b].map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
            .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
          let behind = element;
          while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
          const [a, b] = [light(rgba(getComputedStyle(element).color)),
                          light(rgba(behind ? getComputedStyle(behind).backgroundColor : "white"))];
          return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        }"""
    )
    return ratio


def test_users__list_and_filters(visit: Visit, ids: dict[str, str]) -> None:
    """The list shows everybody, and filters and the search find the few."""
    log_in(visit)
    visit.go(LIST)
    expect(rows(visit.page)).to_have_count(len(ids))
    visit.look("users")
    assert visit.overflow() <= 0  # the table scrolls, not the page
    for mark in (".clerksync-mark.good", ".clerksync-photo"):
        assert contrast(visit.page, mark) >= 4.5
    visit.page.get_by_role("link", name="Found in e-mail addresses and names").click()
    expect(rows(visit.page)).to_have_count(1)
    expect(rows(visit.page)).to_contain_text("⚠ e-mail address")
    assert contrast(visit.page, ".clerksync-mark.bad") >= 4.5
    visit.look("placeholders")
    visit.page.get_by_role("link", name="Clear all filters").click()
    visit.page.get_by_role("textbox").and_(visit.page.locator("#searchbar")).fill("zoë")
    visit.page.get_by_role("button", name="Search").click()
    expect(rows(visit.page)).to_have_count(1)
    expect(rows(visit.page)).to_contain_text("Zoë-Aurélie Žižková")


def test_user__page(visit: Visit, ids: dict[str, str]) -> None:
    """A name leads to the user's page, on which what is long is collapsed until it is asked for."""
    log_in(visit)
    visit.go(f"{LIST}?q={ids['metadata']}")
    rows(visit.page).get_by_role("link").click()
    expect(visit.page).to_have_url(re.compile(f"{re.escape(page_of(ids['metadata']))}.*"))
    payload = visit.page.get_by_role("region", name="payload")
    expect(payload).not_to_be_visible()
    visit.look("user")
    visit.page.get_by_role("heading", name="Payload").click()
    expect(payload).to_be_visible()
    expect(payload).to_contain_text(f'"id": "{ids["metadata"]}",\n  "object": "user"')
    payload.focus()
    visit.look("payload")
    assert visit.overflow() <= 0
    assert contrast(visit.page, ".clerksync-json") >= 4.5


def test_user__markup_in_name(visit: Visit, ids: dict[str, str]) -> None:
    """A name that looks like markup is read as it was written."""
    log_in(visit)
    visit.go(page_of(ids["markup_in_name"]))
    expect(visit.page.locator(".field-first_name .readonly")).to_have_text("<b>Fergus</b>")


def test_user__button(visit: Visit, ids: dict[str, str], clerk_server: FakeClerk) -> None:
    """The button reads the user again and stays on the page."""
    clerk_server.update_user(ids["banned"], last_name="Okonkwo")
    log_in(visit)
    visit.go(page_of(ids["banned"]))
    visit.page.get_by_role("button", name="Read again from Clerk").click()
    expect(visit.page.locator(".messagelist")).to_contain_text("1 user was read again: 1 updated.")
    expect(visit.page.locator(".field-last_name .readonly")).to_have_text("Okonkwo")
    visit.look("read-again")
    assert visit.overflow() <= 0


def test_users__action(visit: Visit, ids: dict[str, str], clerk_server: FakeClerk) -> None:
    """The action reads the chosen users again and says what changed."""
    log_in(visit)
    visit.go(f"{LIST}?placeholder=found")
    visit.page.get_by_role("checkbox").nth(1).check()
    visit.page.get_by_label("Action:").select_option(label="Read again from Clerk")
    visit.page.locator(".actions button[type=submit]").click()  # "Go", or "Run" since Django 6.1
    expect(visit.page.locator(".messagelist")).to_contain_text(f"Changed in {ids['google']}: e-mail address")
    expect(rows(visit.page)).to_have_count(0)
    visit.look("action")


def test_user__anonymize(visit: Visit, ids: dict[str, str], clerk_server: FakeClerk) -> None:
    """A page asks first, for one user and for some; then the row is blank."""
    for shape in ("banned", "google"):
        clerk_server.delete_user(ids[shape])
    log_in(visit)
    visit.go(page_of(ids["banned"]))
    visit.page.get_by_role("link", name="Anonymize").click()
    expect(visit.page.get_by_role("heading", name="Anonymize for good?")).to_be_visible()
    visit.look("anonymize")
    assert visit.overflow() <= 0
    assert contrast(visit.page, ".clerksync-danger") >= 4.5
    assert contrast(visit.page, ".clerksync-confirm .cancel-link") >= 4.5
    visit.page.get_by_role("link", name="No, take me back").click()
    visit.page.locator("#searchbar").fill(ids["google"])
    visit.page.get_by_role("button", name="Search").click()
    visit.page.get_by_role("checkbox").nth(1).check()
    visit.page.get_by_label("Action:").select_option(label="Anonymize for good")
    visit.page.locator(".actions button[type=submit]").click()
    visit.page.get_by_role("button", name="Yes, anonymize").click()
    expect(visit.page.locator(".messagelist")).to_contain_text("1 user was anonymized.")
    visit.go(page_of(ids["google"]))
    expect(visit.page.locator(".field-email .readonly")).to_have_text("-")
    visit.look("anonymized")
    assert visit.overflow() <= 0


def test_user__timeline(visit: Visit, ids: dict[str, str], clerk_server: FakeClerk, settings: Any) -> None:
    """The change history is readable in every width."""
    settings.CLERKSYNC_HISTORY = True
    clerk_server.update_user(ids["banned"], last_name="Okonkwo", public_metadata={"plan": "pro", "seats": 12})
    clerk_server.advance(seconds=60)
    Syncer(clerk_server).full()
    log_in(visit)
    visit.go(page_of(ids["banned"]))
    timeline = visit.page.get_by_role("region", name="Change history")
    timeline.scroll_into_view_if_needed()
    expect(timeline).to_contain_text("Okonkwo")
    visit.look("timeline")
    assert visit.overflow() <= 0
    assert contrast(visit.page, ".clerksync-timeline del") >= 4.5


def test_users__export(visit: Visit, ids: dict[str, str]) -> None:
    """A link downloads those whom the list shows."""
    log_in(visit)
    visit.go(f"{LIST}?placeholder=found")
    visit.look("export")
    with visit.page.expect_download() as download:
        visit.page.get_by_role("link", name="Export as CSV").click()
    text = download.value.path().read_text(encoding="utf-8")
    assert text.count("\nuser_") == 1
    assert "someone@example.com" in text


def test_runs__list_and_page(visit: Visit, ids: dict[str, str]) -> None:
    """The runs show what they did."""
    log_in(visit)
    visit.go(RUNS)
    expect(rows(visit.page)).to_have_count(1)
    expect(rows(visit.page)).to_contain_text(f"seen {len(ids)}")
    visit.look("runs")
    rows(visit.page).get_by_role("link").click()
    expect(visit.page.locator(".field-state_mark .readonly")).to_have_text("completed")
    visit.look("run")
    assert visit.overflow() <= 0
