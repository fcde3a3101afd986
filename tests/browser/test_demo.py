"""The demo's pages as a person sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk, every_shape
from project import demo_settings
from project.defaults import HAS_API
from project.demo_clerk import playing
from tests.browser.conftest import Visit
from tests.syncing import Syncer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

needs_api = pytest.mark.skipif(
    not HAS_API, reason="Django REST framework or drf-spectacular is not installed"
)


@pytest.fixture
def ids(clerk_server: FakeClerk, settings: Any) -> Iterator[dict[str, str]]:
    """Users of every shape, in the demo's Clerk and in the table, by what is special about them."""
    for name in dir(demo_settings):
        if name in {"DEMO", "ROOT_URLCONF"} or name.startswith("CLERKSYNC_"):
            setattr(settings, name, getattr(demo_settings, name))
    ids = every_shape(clerk_server)
    clerk_server.create_user(first_name="Isla", last_name="Berg", email="isla@harbour-works.io")
    Syncer(clerk_server).full()
    with playing(clerk_server):
        yield ids


def sign_in(visit: Visit, name: str = "Isla Berg") -> None:
    """Sign in from the first page."""
    visit.go("/")
    visit.page.get_by_role("button", name=f"Sign in as {name}", exact=True).click()
    expect(visit.page.get_by_role("heading", level=1)).to_have_text(f"You are {name}")


def expire(visit: Visit) -> None:
    """Let the session token be gone, as it is after a minute."""
    for cookie in visit.page.context.cookies():
        if cookie["name"].startswith("__session"):
            visit.page.context.clear_cookies(name=cookie["name"])


def test_first_page__table(visit: Visit, ids: dict[str, str]) -> None:
    """It shows all users, fits the window, and leads to the admin."""
    visit.go("/")
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Nobody is signed in")
    expect(visit.page.get_by_role("row")).to_have_count(len(ids) + 2)
    expect(visit.page.get_by_role("table", name=f"{len(ids) + 1} users")).to_be_visible()
    visit.look("first")
    assert visit.overflow() <= 0
    visit.page.get_by_role("link", name="The users in the admin").click()
    expect(visit.page.get_by_role("button", name="Log in")).to_be_visible()


def test_sign_in_and_out(visit: Visit, ids: dict[str, str]) -> None:
    """Signed in, every page knows who that is, also after the token has expired; signed out, none does."""
    sign_in(visit)
    visit.look("signed-in")
    assert visit.overflow() <= 0
    expire(visit)
    visit.go("/")
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("You are Isla Berg")
    visit.page.get_by_role("button", name="Sign out").click()
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Nobody is signed in")
    visit.go("/profile/")
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Nobody is signed in")


def test_sign_up(visit: Visit, ids: dict[str, str]) -> None:
    """Somebody of whom no webhook told is in the table from the first page on."""
    visit.go("/")
    visit.page.get_by_role("button", name="Sign up as somebody new").click()
    expect(visit.page.get_by_role("status")).to_contain_text("was the first that the site heard of it")
    expect(visit.page.get_by_role("table", name=f"{len(ids) + 2} users")).to_be_visible()
    visit.look("signed-up")
    assert ClerkUser.objects.filter(provenance="session").count() == 1


@needs_api
def test_profile(visit: Visit, ids: dict[str, str]) -> None:
    """The profile comes from the API, also after the token has expired."""
    sign_in(visit)
    visit.page.get_by_role("link", name="Your profile").click()
    expect(visit.page.locator("#source")).to_have_text(re.compile(r"^From the API, in \d+ ms, fresh\.$"))
    expect(visit.page.locator("[data-field=first_name]")).to_have_text("Isla")
    visit.look("profile")
    assert visit.overflow() <= 0
    ClerkUser.objects.filter(first_name="Isla").update(first_name="Overwritten", email="x@example.com")
    visit.page.get_by_role("button", name="Ask the API again").click()
    expect(visit.page.locator("[data-field=email]")).to_have_text("isla@harbour-works.io")


@needs_api
def test_profile__token_expired(visit: Visit, ids: dict[str, str]) -> None:
    """A page that stayed open renews the token, as Clerk's script does."""
    sign_in(visit)
    visit.go("/profile/")
    expect(visit.page.locator("#source")).to_contain_text("From the API")
    expire(visit)
    with visit.page.expect_response("**/session/token/"):
        visit.page.get_by_role("button", name="Ask the API again").click()
    expect(visit.page.locator("#source")).to_contain_text("From the API")
    assert [problem for problem in visit.problems if "401" not in problem] == []
    visit.problems.clear()  # the browser tells of the 401 that was expected


@pytest.mark.parametrize("how", ["Clerk sends a webhook", "The webhook is lost"])
def test_name__arrives(visit: Visit, ids: dict[str, str], how: str) -> None:
    """A new name is in the table on the next page, with a webhook and without."""
    sign_in(visit)
    visit.page.get_by_role("link", name="Change your name").click()
    visit.page.get_by_label("First name").fill("Marin")
    visit.page.get_by_label(how).check()
    visit.page.get_by_role("button", name="Change it").click()
    expect(visit.page.locator("#there")).to_have_text("Marin Berg")
    expect(visit.page.locator("#here")).to_have_text("Marin Berg")
    by = "by a webhook" if "sends" in how else "by a read from Clerk, when you opened a page"
    expect(visit.page.locator("#how")).to_contain_text(by)
    visit.look(f"name-{how.split()[-1]}")
    assert visit.overflow() <= 0
    assert ClerkUser.objects.get(first_name="Marin").source == ("webhook" if "sends" in how else "get")


@needs_api
def test_api__browsable(visit: Visit, ids: dict[str, str]) -> None:
    """The API shows itself to browsers."""
    sign_in(visit)
    visit.page.get_by_role("link", name="API", exact=True).click()
    expect(visit.page.get_by_role("heading", name="Me")).to_be_visible()
    expect(visit.page.get_by_label("response info")).to_contain_text('"first_name": "Isla"')
    visit.look("api")


def test_without_script(browser: Browser, live_server: LiveServer, ids: dict[str, str]) -> None:
    """Without JavaScript everything but the call of the API works."""
    context = browser.new_context(java_script_enabled=False)
    visit = Visit(context.new_page(), base=live_server.url, pictures=None)
    try:
        sign_in(visit)
        expire(visit)
        visit.go("/profile/")
        expect(visit.page.locator("#source")).to_contain_text("Rendered by Django")
        expect(visit.page.locator("[data-field=first_name]")).to_have_text("Isla")
        visit.go("/name/")
        visit.page.get_by_label("Last name").fill("Dahl")
        visit.page.get_by_role("button", name="Change it").click()
        expect(visit.page.locator("#here")).to_have_text("Isla Dahl")
        assert visit.problems == []
    finally:
        context.close()
