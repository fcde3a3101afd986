"""The scheduled parts and the alarms in the admin."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from clerksync import jobs
from clerksync.models import Alarm, ScheduledJob
from tests.admin.staff import field, html, log_in

pytestmark = pytest.mark.django_db

JOBS = "/admin/clerksync/scheduledjob/"
ALARMS = "/admin/clerksync/alarm/"


def add_alarm(code: str = "stale", **values: object) -> Alarm:
    now = timezone.now()
    return Alarm.objects.create(code=code, text="<b>No sync</b>", since=now, last_seen=now, **values)


@pytest.mark.parametrize(("permission", "status"), [("view_scheduledjob", 200), ("view_clerkuser", 403)])
def test_permissions(permission: str, status: int) -> None:
    """Django's permissions decide who sees the parts."""
    jobs.plan()
    client = log_in(permission)
    assert client.get(JOBS).status_code == status
    assert client.get(f"{JOBS}full/change/").status_code == status


@pytest.mark.parametrize("address", [JOBS, ALARMS])
def test_read_only(admin_client: Client, address: str) -> None:
    """Nobody adds, changes or deletes."""
    jobs.plan()
    add_alarm()
    row = f"{address}{'full' if address == JOBS else 'stale'}"
    assert admin_client.get(f"{address}add/").status_code == 403
    assert admin_client.post(f"{row}/change/", {"code": "x"}).status_code == 403
    assert admin_client.post(f"{row}/delete/", {"post": "yes"}).status_code == 403


def test_jobs__columns(admin_client: Client) -> None:
    """The list shows how the last run ended and what it said."""
    jobs.plan()
    ScheduledJob.objects.filter(part="audit").update(outcome="failed", message="<b>no</b>", failures=2)
    page = html(admin_client, JOBS)
    assert field(page, "outcome_mark") == "failed"
    assert field(page, "short_message") == "<b>no</b>"
    assert "<b>no</b>" not in page
    assert "0 0 * * * UTC" in html(admin_client, f"{JOBS}full/change/")


def test_alarms__columns(admin_client: Client) -> None:
    """The list tells alarms that are on from those that are over."""
    add_alarm()
    assert field(html(admin_client, ALARMS), "state_mark") == "on"
    Alarm.objects.update(resolved_at=timezone.now())
    page = html(admin_client, f"{ALARMS}stale/change/")
    assert field(page, "state_mark") == "State: over"
    assert "<b>No sync</b>" not in page
