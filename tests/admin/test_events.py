"""The webhook events in the admin: found, shown and replayed, never edited."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.formats import date_format

from clerksync.events import off, on
from clerksync.models import ClerkUser, RejectedDeliveries, WebhookEvent
from tests.deliveries import USER, WEBHOOK_SECRET, body_of, changed, deliver, now_ms, post, signed

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/clerksync/webhookevent/"
REJECTED = "/admin/clerksync/rejecteddeliveries/"


@pytest.fixture(autouse=True)
def _endpoint(settings: Any) -> None:
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET


def viewer(*permissions: str) -> Client:
    """A member of the staff with these permissions."""
    user = User.objects.create_user("rhona", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def park(svix_id: str = "msg_parked") -> WebhookEvent:
    """An event that was parked, for there was no user with a version in it; by now it could be applied."""
    deliver(changed(now_ms()), svix_id=svix_id)
    ClerkUser.objects.all().delete()
    WebhookEvent.objects.filter(svix_id=svix_id).update(state="parked", reason="a test")
    return WebhookEvent.objects.get(svix_id=svix_id)


def page(client: Client, address: str) -> str:
    """A page's text."""
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def replay(client: Client, *events: WebhookEvent) -> list[str]:
    """Run the action on these events and return its messages."""
    chosen = [event.pk for event in events]
    answer = client.post(LIST, {"action": "replay", "_selected_action": chosen})
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_list__what_matters(admin_client: Client) -> None:
    """Type, object, state, lag, deliveries and reason of each event."""
    delivery = signed(changed(now_ms() - 90_000))
    post(delivery)
    post(delivery)
    text = page(admin_client, LIST)
    for shown in ("user.updated", USER, "applied", '<td class="field-attempts">2</td>'):
        assert shown in text
    # The first delivery of a process loads what verifies it, which takes its time.
    assert re.search(r"1 min 3\d s", text)


def test_list__statements_and_payloads(admin_client: Client) -> None:
    """The number of statements does not grow with the events, and none reads their payloads."""
    deliver(changed(now_ms()))
    with CaptureQueriesContext(connection) as few:
        page(admin_client, LIST)
    for number in range(20):
        deliver(changed(now_ms(), clerk_id=f"{USER}{number}"))
    with CaptureQueriesContext(connection) as many:
        page(admin_client, LIST)
    assert len(many) == len(few)
    assert not any("payload_text" in query["sql"] for query in many)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?q=msg_one", ["msg_one"]),
        (f"?q={USER}2", ["msg_two"]),
        ("?q=msg_", []),
        ("?state__exact=ignored", ["msg_ignored"]),
        ("?type=user.updated", ["msg_one", "msg_two"]),
        ("?received=hour", ["msg_ignored", "msg_two"]),
        ("?received=anything", ["msg_ignored", "msg_one", "msg_two"]),
    ],
)
def test_list__search_and_filters(admin_client: Client, query: str, found: list[str]) -> None:
    """Whole ids are searched for; state, type and time are filtered by."""
    deliver(changed(now_ms()), svix_id="msg_one")
    deliver(changed(now_ms(), clerk_id=f"{USER}2"), svix_id="msg_two")
    deliver(body_of("role.created", {"id": "role_1"}), svix_id="msg_ignored")
    WebhookEvent.objects.filter(svix_id="msg_one").update(received_at=timezone.now() - timedelta(hours=2))
    listed = admin_client.get(LIST + query).context["cl"].result_list
    assert sorted(event.svix_id for event in listed) == found


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("state", ["parked", "failed", "ignored", "superseded"])
def test_list__few_found_by_their_index(admin_client: Client, state: str) -> None:
    """Who looks for the few that wait does not walk over the millions that were applied."""
    events = admin_client.get(f"{LIST}?state__exact={state}").context["cl"].queryset
    # SQLite's plan, which is the same for a table of any size.
    assert "clerksync_event_state" in events.using("other").explain()


@pytest.mark.parametrize(
    ("query", "found", "is_cut"),
    [
        ("?type=user.updated", ["msg_2", "msg_3"], True),
        ("?state__exact=applied", ["msg_2", "msg_3"], True),
        ("?state__exact=ignored", ["msg_1"], False),
        (f"?type=user.updated&q={USER}", ["msg_0", "msg_2", "msg_3"], False),
        ("", ["msg_0", "msg_1", "msg_2", "msg_3"], False),
    ],
)
def test_list__looks_through_the_latest(
    admin_client: Client,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    found: list[str],
    is_cut: bool,  # noqa: FBT001  # the parameter
) -> None:
    """What no index has is looked for among the latest events, and the page says so."""
    monkeypatch.setattr("clerksync.admin.events.LOOKED_THROUGH", 2)
    for number in range(4):
        event = changed(now_ms()) if number != 1 else body_of("role.created", {"id": "role_1"})
        deliver(event, svix_id=f"msg_{number}")
    for number, pk in enumerate(WebhookEvent.objects.order_by("svix_id").values_list("pk", flat=True)):
        moment = timezone.now() + timedelta(seconds=number)
        WebhookEvent.objects.filter(pk=pk).update(received_at=moment)
    response = admin_client.get(LIST + query)
    assert sorted(event.svix_id for event in response.context["cl"].result_list) == found
    assert ("The latest 2 events were looked through." in response.content.decode()) == is_cut


@pytest.mark.django_db(databases=["default", "other"])
def test_list__by_the_index_of_time(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look through the latest ends where the latest end."""
    monkeypatch.setattr("clerksync.admin.events.LOOKED_THROUGH", 1)
    for number in range(2):
        deliver(changed(now_ms()), svix_id=f"msg_{number}")
    with CaptureQueriesContext(connection) as queries:
        listed = admin_client.get(f"{LIST}?type=user.updated").context["cl"].queryset
    assert "clerksync_event_received (received_at>?)" in listed.using("other").explain()
    assert any("OFFSET 1" in query["sql"] for query in queries)


def test_list__other_lookups(admin_client: Client) -> None:
    """The address holds the filters and nothing else, for instance no guess at the payload."""
    deliver(changed(now_ms()))
    assert admin_client.get(f"{LIST}?payload_text__contains=a").status_code == 400


def test_event__payload_and_nothing_to_edit(admin_client: Client) -> None:
    """The payload is pretty and escaped; the page has no field and no button to save or delete."""
    deliver(changed(now_ms(), first_name="<b>Isla</b>"), svix_id="msg_one")
    text = page(admin_client, f"{LIST}{WebhookEvent.objects.get().pk}/change/")
    assert "&quot;first_name&quot;: &quot;&lt;b&gt;Isla&lt;/b&gt;&quot;" in text
    assert "collapse" in text
    assert 'name="_save"' not in text
    assert "deletelink" not in text
    assert admin_client.get(f"{LIST}add/").status_code == 403


def test_event__content_not_kept(admin_client: Client) -> None:
    """Of an event with a one-time code there is nothing to show, and the page says so."""
    deliver(body_of("sms.created", {"id": "sms_1", "message": "Your code is 424242"}))
    text = page(admin_client, f"{LIST}{WebhookEvent.objects.get().pk}/change/")
    assert "not kept" in text
    assert "424242" not in text


def test_event__masked(settings: Any) -> None:
    """Where personal data is masked, the payload is hidden from those who may look only."""
    settings.CLERKSYNC_ADMIN_MASK = True
    deliver(changed(now_ms(), first_name="Isla"))
    text = page(viewer("view_webhookevent"), f"{LIST}{WebhookEvent.objects.get().pk}/change/")
    assert "hidden" in text
    assert "Isla" not in text


def test_replay__applies_and_tells(admin_client: Client) -> None:
    """A parked event that can be applied is; the message says what became of it."""
    assert replay(admin_client, park()) == ["1 event was replayed: 1 applied."]
    assert ClerkUser.objects.get().pk == USER


def test_replay__what_fails_is_named(admin_client: Client) -> None:
    """A handler that fails again and an event without content are named with the reason."""

    @on("user.updated")
    def fail(event: Any) -> None:
        raise ValueError

    try:
        deliver(changed(now_ms()), svix_id="msg_failed")
        deliver(body_of("sms.created", {"id": "sms_1"}), svix_id="msg_sms")
        told = replay(admin_client, *WebhookEvent.objects.all())
    finally:
        off(fail)
    assert told[0] == "2 events were replayed: 1 handler failed, 1 ignored."
    assert sorted(told[1:])[0] == "sms.created msg_sms: ignored, its content was not kept"
    assert "msg_failed: handler failed, tests.admin.test_events" in sorted(told[1:])[1]


def test_replay__not_for_viewers() -> None:
    """Who may only look is not offered the action, and cannot run it."""
    event = park()
    client = viewer("view_webhookevent")
    assert 'value="replay"' not in page(client, LIST)
    assert replay(client, event) in ([], ["No action selected."])
    assert not ClerkUser.objects.exists()


def test_replay__by_those_who_may() -> None:
    """The permission to change events is the permission to replay them."""
    event = park()
    client = viewer("view_webhookevent", "change_webhookevent")
    assert replay(client, event) == ["1 event was replayed: 1 applied."]


def test_replay__bounded(admin_client: Client) -> None:
    """More than a page of events is for the command, and nothing is replayed."""
    event = park()
    fields = {
        name: getattr(event, name) for name in ("type", "state", "sent_at", "received_at", "finished_at")
    }
    WebhookEvent.objects.bulk_create(WebhookEvent(svix_id=f"msg_{n}", **fields) for n in range(100))
    answer = admin_client.post(
        LIST, {"action": "replay", "_selected_action": [event.pk], "select_across": "1"}
    )
    (told,) = get_messages(answer.wsgi_request)
    assert "at most 100 events at once" in str(told)
    assert WebhookEvent.objects.filter(state="parked").count() == 101


def test_rejected__counted(admin_client: Client) -> None:
    """The list says how many were rejected, since when, why, and what it usually means."""
    for _ in range(3):
        post(signed(changed(now_ms()), secret="whsec_MTIz"))
    hour = RejectedDeliveries.objects.get().hour.replace(hour=2)
    RejectedDeliveries.objects.update(hour=hour)
    text = page(admin_client, REJECTED)
    assert re.search(r"3 rejected since \w+\.? \d+, \d+, 2 a\.m\.: signature", text)
    assert "The secret is not that of the endpoint" in text
    assert admin_client.get(f"{REJECTED}add/").status_code == 403


@override_settings(USE_TZ=False, TIME_ZONE="Pacific/Auckland")
def test_rejected__without_time_zones(admin_client: Client) -> None:
    """A project with ``USE_TZ = False`` reads the hours that it has."""
    post(signed(changed(now_ms()), secret="whsec_MTIz"))
    hour = RejectedDeliveries.objects.get().hour
    assert timezone.now() - hour < timedelta(hours=1)
    assert f"1 rejected since {date_format(hour, 'DATETIME_FORMAT')}: signature" in page(
        admin_client, REJECTED
    )
