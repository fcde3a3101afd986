"""The runs in the admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from clerksync.models import SyncRun
from clerksync.testing import FakeClerk
from tests.admin.staff import RUNS, field, html, log_in
from tests.syncing import Syncer

pytestmark = pytest.mark.django_db


def add_run(**values: Any) -> SyncRun:
    """A run that took 75 seconds."""
    start = timezone.now() - timedelta(seconds=75)
    times = {
        "started_at": start,
        "progressed_at": timezone.now(),
        "finished_at": start + timedelta(seconds=75),
    }
    return SyncRun.objects.create(**{"kind": "full", "state": "completed", **times, **values})


def page_of(run: SyncRun) -> str:
    """The address of a run's page."""
    return f"{RUNS}{run.pk}/change/"


@pytest.mark.parametrize(("permission", "status"), [("view_syncrun", 200), ("view_clerkuser", 403)])
def test_permissions__to_look(permission: str, status: int) -> None:
    """Django's permissions decide who sees runs."""
    run = add_run()
    client = log_in(permission)
    assert client.get(RUNS).status_code == status
    assert client.get(page_of(run)).status_code == status


def test_permissions__nobody_changes(admin_client: Client) -> None:
    """The books of a sync are its own."""
    run = add_run()
    assert admin_client.get(f"{RUNS}add/").status_code == 403
    assert admin_client.post(page_of(run), {"state": "failed"}).status_code == 403
    assert admin_client.post(page_of(run).replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in html(admin_client, RUNS)


def test_list__columns(admin_client: Client) -> None:
    """The list shows how a run ended, what it did, how long it took, and its error."""
    counts = {"created": 3, "seen": 1000, "deleted": 0, "late": 2, "placeholders_replaced": 1}
    add_run(state="failed", counts=counts, error="<b>Clerk</b> is down")
    page = html(admin_client, RUNS)
    assert field(page, "kind") == "full"
    assert field(page, "state_mark") == "failed"
    assert field(page, "short_counts") == "seen 1000 created 3 late 2 placeholders replaced 1"
    assert field(page, "duration") == "1 min 15 s"
    assert field(page, "short_error") == "<b>Clerk</b> is down"
    assert "<b>Clerk" not in page


def test_list__how_the_mirror_stands(admin_client: Client, clerk: FakeClerk) -> None:
    """Above the list stands the same sentence that the command prints."""
    page = html(admin_client, RUNS)
    assert "No full sync has been completed yet. Run: manage.py sync_clerk_users." in page
    assert "broken" in page
    clerk.create_users(2)
    Syncer(clerk).full()
    page = html(admin_client, RUNS)
    assert "In step. Users are right up to " in page
    assert "in step" in page


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7384, "2 h 3 min"),
        (-5, "0.0 s"),
    ],
)
def test_duration__units(admin_client: Client, seconds: float, told: str) -> None:
    """Two units are enough; a clock that was put back makes no negative length."""
    start = timezone.now()
    add_run(started_at=start, finished_at=start + timedelta(seconds=seconds))
    assert field(html(admin_client, RUNS), "duration") == told


def test_duration__not_finished(admin_client: Client) -> None:
    """A run at work has taken the time until now, one that was cut until its last page."""
    start = timezone.now() - timedelta(hours=2)
    add_run(state="running", started_at=start, finished_at=None)
    assert field(html(admin_client, RUNS), "duration") == "2 h 0 min"
    add_run(
        state="interrupted", started_at=start, progressed_at=start + timedelta(minutes=3), finished_at=None
    )
    assert field(html(admin_client, RUNS), "duration") == "3 min 0 s"


def test_list__long_error(admin_client: Client) -> None:
    """The list shows the beginning of an error, the page all of it."""
    run = add_run(error="word " * 100)
    assert len(field(html(admin_client, RUNS), "short_error")) <= 120
    assert field(html(admin_client, page_of(run)), "error").count("word") == 100


def test_list__newest_first(admin_client: Client) -> None:
    """The last run is on top, and runs are filtered by state and kind."""
    runs = [add_run(), add_run(state="failed"), add_run(kind="users")]
    for query, found in {"": [2, 1, 0], "?state__exact=failed": [1], "?kind__exact=full": [1, 0]}.items():
        listed = admin_client.get(RUNS + query).context["cl"].result_list
        assert list(listed) == [runs[number] for number in found]


def test_page__everything(admin_client: Client) -> None:
    """The page names the users that could not be read, and all counts, those that are 0 too."""
    run = add_run(counts={"seen": 7}, skipped={"user_<a>": "no <i>e-mail</i>"}, options={"deletes": True})
    page = html(admin_client, page_of(run))
    assert field(page, "skipped_users") == "Skipped users: user_<a> no <i>e-mail</i>"
    assert field(page, "all_counts") == "Counts: seen 7 created 0 deleted 0 unchanged 0 updated 0"
    assert '{ "deletes": true }' in field(page, "shown_options")
    assert "<i>" not in page


def test_page__nobody_skipped(admin_client: Client) -> None:
    """Most runs skip nobody."""
    assert field(html(admin_client, page_of(add_run())), "skipped_users") == "Skipped users: -"
