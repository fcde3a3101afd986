"""The action and the button "Anonymize", against the fake Clerk over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from clerksync.admin.anonymizing import MAX_USERS
from clerksync.models import ClerkUser, WebhookEvent
from clerksync.testing import FakeClerk
from tests.admin.staff import LIST, add_user, html, log_in, page_of, told
from tests.deliveries import body_of, deliver
from tests.syncing import Syncer

# The action waits for no transaction of a test's own.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada(clerk_server: FakeClerk) -> str:
    """Somebody who has left Clerk, as it is known here."""
    clerk_server.create_users(5)
    clerk_id: str = clerk_server.create_user(first_name="Ada", email="ada@harbour-works.io")["id"]
    Syncer(clerk_server).full()
    clerk_server.delete_user(clerk_id)
    return clerk_id


def page(clerk_id: str) -> str:
    """The address of the page that asks."""
    return page_of(clerk_id).replace("change/", "anonymize/")


def act(client: Client, *clerk_ids: str, **data: str) -> Any:
    """Run the action on these users."""
    chosen = {"action": "anonymize_users", "_selected_action": clerk_ids, "index": "0", **data}
    return client.post(LIST, chosen)


@pytest.mark.parametrize(
    ("permissions", "may"),
    [(("view_clerkuser", "change_clerkuser"), False), (("view_clerkuser", "anonymize_clerkuser"), True)],
)
def test_permission__its_own(ada: str, permissions: tuple[str, ...], may: bool) -> None:  # noqa: FBT001  # a parameter
    """Others are offered neither the action nor the button, and are refused both."""
    client = log_in(*permissions)
    assert ("anonymize_users" in html(client, LIST)) == may
    assert ("/anonymize/" in html(client, page_of(ada))) == may
    assert client.get(page(ada)).status_code == (200 if may else 403)
    client.post(page(ada))
    assert (ClerkUser.objects.get(pk=ada).email is None) == may


def test_button__asks_first(ada: str, admin_client: Client) -> None:
    """Looking at the page changes nothing; its button does it, and says so."""
    assert ada in html(admin_client, page(ada))
    assert ClerkUser.objects.get(pk=ada).email == "ada@harbour-works.io"
    response = admin_client.post(page(ada))
    assert told(response)[0] == ("success", "1 user was anonymized.")
    user = ClerkUser.objects.get(pk=ada)
    assert (user.is_anonymized, user.first_name) == (True, None)


def test_button__who_did_it(ada: str, admin_client: Client) -> None:
    """The admin's own log has who it was, and of the user no more than the id."""
    admin_client.post(page(ada))
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.object_repr, entry.change_message) == (ada, ada, "Anonymized for good.")


def test_action__asks_first(ada: str, admin_client: Client) -> None:
    """The action shows the same page, with the chosen users in it."""
    response = act(admin_client, ada)
    assert f'name="_selected_action" value="{ada}"' in response.content.decode()
    assert ClerkUser.objects.get(pk=ada).email is not None
    assert told(act(admin_client, ada, confirmed="yes"))[0] == ("success", "1 user was anonymized.")
    assert ClerkUser.objects.get(pk=ada).email is None


def test_action__events_are_read_once(clerk_server: FakeClerk, admin_client: Client) -> None:
    """However many users are chosen; each loses what names them, and what is nobody's stays."""
    ids = [clerk_server.create_user(email=f"quill{number}@harbour-works.io")["id"] for number in range(3)]
    Syncer(clerk_server).full()
    for number, clerk_id in enumerate(ids):
        clerk_server.delete_user(clerk_id)
        invited = {"id": f"orginv_{number}", "email_address": f"quill{number}@harbour-works.io"}
        for data in (invited, {"id": f"orginv_of_{number}", "members": [clerk_id]}):
            deliver(body_of("organizationInvitation.created", data, instance_id=clerk_server.instance_id))
    deliver(
        body_of("organizationInvitation.created", {"id": "orginv_x"}, instance_id=clerk_server.instance_id)
    )
    with CaptureQueriesContext(connection) as queries:
        act(admin_client, *ids, confirmed="yes")
    assert sum(" LIKE " in query["sql"] for query in queries) == 2  # ids, and addresses
    whole = WebhookEvent.objects.filter(payload_text__isnull=False)
    assert [event.object_id for event in whole] == ["orginv_x"]


def test_action__still_in_clerk(ada: str, clerk_server: FakeClerk, admin_client: Client) -> None:
    """Whom Clerk still has is left alone; the others are done."""
    other = clerk_server.users()[0]["id"]
    messages = told(act(admin_client, ada, other, confirmed="yes"))
    assert (
        "error",
        f"{other} was left alone, for Clerk still has the user: delete them there first.",
    ) in messages
    assert ("success", "1 user was anonymized.") in messages
    assert ClerkUser.objects.get(pk=other).state == "active"


def test_action__clerk_unreachable(ada: str, clerk_server: FakeClerk, admin_client: Client) -> None:
    """Nobody is let go of while nobody knows who is gone."""
    clerk_server.fail(403, times=None, on="*")
    (message,) = told(act(admin_client, ada, confirmed="yes"))
    assert message[1].startswith("Nothing was done: ")
    assert ClerkUser.objects.get(pk=ada).email is not None


def test_action__too_many(clerk_server: FakeClerk, admin_client: Client) -> None:
    """More than a few are refused, and Clerk is not asked."""
    ids = [add_user(f"user_{number}").pk for number in range(MAX_USERS + 1)]
    clerk_server.clear_requests()
    assert told(act(admin_client, *ids, confirmed="yes")) == [
        ("error", f"Nothing was done: at most {MAX_USERS} users can be anonymized at once.")
    ]
    assert clerk_server.requests == []


def test_missing(admin_client: Client) -> None:
    """There is no page for nobody."""
    assert admin_client.get(page("user_nobody")).status_code == 404
