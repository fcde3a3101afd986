"""The pages of the admin for everybody: axe-core finds no serious fault in them."""

from __future__ import annotations

import pytest
from django.utils import timezone

from clerksync import jobs
from clerksync.models import Alarm, ClerkUser, RejectedDeliveries, SyncRun, WebhookEvent
from clerksync.testing import FakeClerk, every_shape
from project.demo_past import invent_past
from tests.admin.staff import LIST, RUNS, page_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import log_in
from tests.syncing import Syncer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

EVENTS = "/admin/clerksync/webhookevent/"


@pytest.fixture
def pages(clerk_server: FakeClerk) -> list[str]:
    """One page of each kind, with something to show."""
    ids = every_shape(clerk_server)
    Syncer(clerk_server).full()
    ClerkUser.objects.filter(pk=ids["google"]).update(email="someone@example.com", first_name="New")
    invent_past(clerk_server)
    jobs.plan()
    now = timezone.now()
    Alarm.objects.create(code="stale", text="No sync has confirmed the users.", since=now, last_seen=now)
    event, run, rejected = (
        model._default_manager.latest("pk") for model in (WebhookEvent, SyncRun, RejectedDeliveries)
    )
    return [
        "/admin/",
        "/admin/clerksync/",
        "/admin/clerksync/mirrorstate/",
        LIST,
        f"{LIST}?placeholder=found&q=someone",
        page_of(ids["metadata"]),
        page_of(ids["metadata"]).replace("/change/", "/anonymize/"),
        RUNS,
        f"{RUNS}{run.pk}/change/",
        EVENTS,
        f"{EVENTS}{event.pk}/change/",
        "/admin/clerksync/rejecteddeliveries/",
        f"/admin/clerksync/rejecteddeliveries/{rejected.pk}/change/",
        "/admin/clerksync/scheduledjob/",
        "/admin/clerksync/scheduledjob/full/change/",
        "/admin/clerksync/alarm/",
        "/admin/clerksync/alarm/stale/change/",
    ]


#: What Django's own templates and styles do, on all of its pages: by rule and place.
OF_DJANGO = (
    ("link-in-text-block", ".breadcrumbs > a"),  # they are told from the text by their colour alone
    ("link-in-text-block", 'href="?"'),  # the same of the link beside the search
    ("label-title-only", "#searchbar"),  # its label is a picture
)


# The colours and the width that differ most; the others take a minute, and find the same.
@pytest.mark.parametrize("visit", [("light", 1280), ("dark", 390)], ids="{0[0]}-{0[1]}".format, indirect=True)
def test_pages__no_serious_fault(visit: Visit, pages: list[str], axe: str) -> None:
    """No page has a serious fault, but for those that every page of Django's admin has."""
    log_in(visit)
    found = {}
    for page in pages:
        visit.go(page)
        faults = visit.faults(axe)
        ours = [
            fault
            for fault in faults
            if not any(rule in fault and place in fault for rule, place in OF_DJANGO)
        ]
        if ours:
            found[page] = ours
    assert found == {}
