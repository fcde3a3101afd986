"""The page "Clerk sync": what it tells, to whom, and in how many statements."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path

from clerksync import jobs, status
from clerksync.admin import DashboardAdmin, launching
from clerksync.models import MirrorState, ScheduledJob, WebhookEvent
from clerksync.schedule import Part
from clerksync.testing import FakeClerk
from project.demo_past import invent_past
from tests.admin.staff import html, log_in, told
from tests.syncing import Syncer, synced

pytestmark = pytest.mark.django_db(transaction=True)

DASHBOARD = "/admin/clerksync/mirrorstate/"
LISTS = "/admin/clerksync"

second_site = admin.AdminSite(name="second")
second_site.register(MirrorState, DashboardAdmin)
urlpatterns = [path("admin/", admin.site.urls), path("second/", second_site.urls)]


def text(page: str) -> str:
    """What is read in a page."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def numbers(page: str) -> dict[str, str]:
    """The numbers with their names and notes."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page, re.DOTALL)
    return {text(name): text(shown) for name, shown in found}


@pytest.mark.parametrize(("permission", "answer"), [("view_mirrorstate", 200), ("view_syncrun", 403)])
def test_permissions__to_look(permission: str, answer: int) -> None:
    """A permission of its own decides who sees the page, and who finds it in the index."""
    client = log_in(permission)
    assert client.get(DASHBOARD).status_code == answer
    assert (DASHBOARD in html(client, "/admin/")) == (answer == 200)


def test_permissions__visitor() -> None:
    """Who is not logged in is asked to."""
    assert Client().get(DASHBOARD).status_code == 302


@pytest.mark.urls(__name__)
def test_site__any(admin_client: Client) -> None:
    """Any site that registers it has it in its index, and its links stay in that site."""
    assert "/second/clerksync/mirrorstate/" in html(admin_client, "/second/")
    page = html(admin_client, "/second/clerksync/mirrorstate/")
    assert 'action="/second/clerksync/mirrorstate/sync/"' in page
    assert '"/admin/' not in page


def test_state__same_as_status(admin_client: Client, clerk: FakeClerk) -> None:
    """The state and its reasons are those of the command, and as of when it is right."""
    assert status.read().sentence in text(html(admin_client, DASHBOARD))
    synced(Syncer(clerk), 3)
    page = text(html(admin_client, DASHBOARD))
    assert f"in step {status.read().sentence}" in page
    assert f"of the Clerk instance {clerk.instance_id} (" in page
    assert "lists a change within 120 s (CLERKSYNC_OVERLAP)" in page
    assert "active 3 active 100 %" in page


def test_empty__says_what_to_do(admin_client: Client, settings: Any) -> None:
    """Where there is nothing yet, the page says how there will be something."""
    page = text(html(admin_client, DASHBOARD))
    assert "No sync has run yet. Run: manage.py sync_clerk_users" in page
    assert "start one: manage.py run_clerk_scheduler" in page
    assert "check_clerk --probe http://testserver/clerk/webhook/" in page
    assert "<svg" not in page
    settings.CLERK_WEBHOOK_SIGNING_SECRET = ""
    assert "CLERK_WEBHOOK_SIGNING_SECRET is not set" in text(html(admin_client, DASHBOARD))


@pytest.mark.urls("tests.no_urls")
def test_empty__no_address_for_webhooks(rf: Any, admin_user: Any) -> None:
    """A project that has not included the URLs is told to."""
    request = rf.get("/")
    request.user = admin_user
    page = DashboardAdmin(MirrorState, second_site)
    context: Any = page._told(status.measure(), request)
    assert context["endpoint"] == ""


def test_numbers__linked(admin_client: Client, clerk: FakeClerk) -> None:
    """Each number leads to the list of what it counts."""
    synced(Syncer(clerk), 1)
    invent_past(clerk, days=10)
    page = html(admin_client, DASHBOARD)
    failed = WebhookEvent.objects.filter(state="failed").count()
    assert numbers(page)["Failed events"].startswith(f"{failed} ")
    for link in (
        "/webhookevent/?state__exact=failed",
        "/webhookevent/?state__exact=applied&amp;received=day",
        "/rejecteddeliveries/?reason=signature",
        "/clerkuser/?state__exact=active",
    ):
        assert f'href="{LISTS}{link}"' in page
        assert admin_client.get(unescape(LISTS + link)).status_code == 200
    assert numbers(page)["Rejected deliveries"] == "16 Rejected deliveries not signed as they must be"
    assert "15 signature" in text(page)


def test_numbers__no_links_to_what_is_hidden(clerk: FakeClerk) -> None:
    """Who may not see a list gets its numbers without links."""
    invent_past(clerk, days=1)
    page = html(log_in("view_mirrorstate"), DASHBOARD)
    assert "webhookevent" not in page
    assert "/syncrun/" not in page
    assert "<form" not in page.partition('id="content"')[2]


def test_charts__tables_hold_the_same(admin_client: Client, clerk: FakeClerk) -> None:
    """Behind each chart is a table with its numbers, headed and with a caption."""
    invent_past(clerk, days=3)
    page = html(admin_client, DASHBOARD)
    days = status.measure().days
    table = re.search(r"<table>\s*<caption[^>]*>Webhook events a day.*?</table>", page, re.DOTALL)
    assert table is not None
    assert re.findall(r'<th scope="col"[^>]*>(.*?)</th>', table[0])[:2] == ["Received", "applied"]
    shown = [int(cell) for cell in re.findall(r'<th scope="row">[^<]*</th><td[^>]*>(\d+)</td>', table[0])]
    assert shown == [slot.events.get("applied", 0) for slot in reversed(days)]
    assert page.count('role="img"') == page.count("<summary>") == 4


def test_charts__no_style_and_no_script(admin_client: Client, clerk: FakeClerk) -> None:
    """Nothing in the page needs more than a policy of 'self'."""
    invent_past(clerk, days=3)
    page = html(admin_client, DASHBOARD)
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\bsrc=)|\son\w+=|javascript:", page)


def test_jobs__shown(admin_client: Client) -> None:
    """The scheduled parts are listed with how they ended."""
    jobs.plan()
    ScheduledJob.objects.filter(part="events").update(outcome="failed", failures=2)
    page = text(html(admin_client, DASHBOARD))
    assert re.search(r"events Nov.* failed 2", page)


def test_statements__constant(admin_client: Client, clerk: FakeClerk) -> None:
    """However much there is, the page takes the same number of statements, and reads no payload."""
    invent_past(clerk, days=1, events_a_day=2)
    html(admin_client, DASHBOARD)
    with CaptureQueriesContext(connection) as few:
        html(admin_client, DASHBOARD)
    invent_past(clerk, days=20)
    with CaptureQueriesContext(connection) as many:
        html(admin_client, DASHBOARD)
    assert len(many) == len(few) < 30
    assert not any("payload_text" in query["sql"] for query in many.captured_queries)


def test_unreadable__told(admin_client: Client) -> None:
    """Tables that cannot be read are the answer, not an error."""
    with connection.schema_editor() as editor:
        editor.alter_db_table(ScheduledJob, "clerksync_scheduledjob", "clerksync_away")
    try:
        page = text(html(admin_client, DASHBOARD))
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(ScheduledJob, "clerksync_away", "clerksync_scheduledjob")
    assert "broken The tables of clerksync cannot be read" in page
    assert "How current it is" not in page


def press(client: Client, work: str) -> tuple[str, str]:
    """Press a button, and read what is said."""
    answer = client.post(f"{DASHBOARD}{work}/")
    assert (answer.status_code, answer.headers["Location"]) == (302, DASHBOARD)
    return told(answer)[-1]


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that test are busy."""
    monkeypatch.setattr(launching, "PATIENCE", 60.0)


@pytest.mark.usefixtures("_patient")
def test_buttons__done(admin_client: Client, clerk: FakeClerk) -> None:
    """What is done within the page's time is told at once."""
    clerk.create_users(2)
    level, message = press(admin_client, "sync")
    assert level == "success"
    assert message.startswith("Sync now: done (2 created, 2 seen, 0 in_doubt, ")
    clerk.create_user()
    assert press(admin_client, "audit") == ("success", "Audit now: done (3 seen, 1 missing).")
    assert press(admin_client, "replay") == (
        "success",
        "Replay failed events: done (there was nothing to do).",
    )
    assert "audit completed" in text(html(admin_client, DASHBOARD))


@pytest.mark.usefixtures("_patient")
def test_buttons__failed(admin_client: Client, clerk: FakeClerk) -> None:
    """What went wrong is told."""
    clerk.fail(401, times=None, on="*")
    level, message = press(admin_client, "full")
    assert level == "error"
    assert message.startswith("Full sync now: failed: ")


def test_buttons__scheduler(admin_client: Client) -> None:
    """A scheduler that is alive is left to do it."""
    jobs.plan()
    jobs.beat(stays=True)
    level, message = press(admin_client, "sync")
    assert (level, message) == ("info", "Sync now: the scheduler begins within a few seconds.")


def test_buttons__scheduler_at_work(admin_client: Client) -> None:
    """Nobody is told that it begins at once while it is being done."""
    jobs.plan()
    jobs.beat(stays=True)
    assert jobs.claim(Part.INCREMENTAL) is not None
    _, message = press(admin_client, "sync")
    assert message == "Sync now: the scheduler is at it already, and does it once more right after that."


@pytest.mark.parametrize(
    ("permissions", "works"),
    [
        ((), set()),
        (("change_clerkuser",), {"sync", "full", "audit"}),
        (("change_webhookevent",), {"replay"}),
    ],
)
def test_buttons__permissions(permissions: tuple[str, ...], works: set[str]) -> None:
    """Who may not press a button neither sees it nor gets it done."""
    client = log_in("view_mirrorstate", *permissions)
    page = html(client, DASHBOARD)
    assert set(re.findall(rf'action="{DASHBOARD}(\w+)/"', page)) == works
    for work in {"sync", "full", "audit", "replay", "other"} - works:
        assert client.post(f"{DASHBOARD}{work}/").status_code == 403


def test_buttons__page_is_needed_too() -> None:
    """The permission to look is needed as well."""
    assert log_in("change_clerkuser").post(f"{DASHBOARD}sync/").status_code == 403


def test_buttons__by_post_with_token(admin_client: Client, admin_user: User) -> None:
    """Nothing is done by a GET, or by a form of another site."""
    assert admin_client.get(f"{DASHBOARD}sync/").status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert strict.post(f"{DASHBOARD}sync/").status_code == 403
