"""The action "Read again from Clerk", against the fake Clerk over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client, override_settings

from clerksync.admin.reading import MAX_NAMED, MAX_USERS
from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk, Request
from tests.admin.staff import LIST, add_user, html, listed, log_in, page_of, read_again, told
from tests.syncing import Syncer

# The action waits for no transaction of a test's own.
pytestmark = pytest.mark.django_db(transaction=True)

BUTTON = "read-again/"


def press(client: Client, clerk_id: str) -> Any:
    """Press the button on a user's page."""
    return client.post(page_of(clerk_id).replace("change/", BUTTON))


@pytest.fixture
def ada(clerk_server: FakeClerk) -> str:
    """A user who was synced, among others."""
    clerk_server.create_users(5)
    clerk_id: str = clerk_server.create_user(first_name="Ada", email="ada@harbour-works.io")["id"]
    Syncer(clerk_server).full()
    clerk_server.clear_requests()
    return clerk_id


@pytest.mark.parametrize(("permission", "status"), [("view_clerkuser", 403), ("change_clerkuser", 302)])
def test_permission__to_change(ada: str, clerk_server: FakeClerk, permission: str, status: int) -> None:
    """Who may only look is offered neither the action nor the button, and is refused both."""
    client, may = log_in(permission), status == 302
    assert ("read_users_again" in html(client, LIST)) == may
    assert (BUTTON in html(client, page_of(ada))) == may
    read_again(client, ada)
    assert bool(clerk_server.requests) == may
    assert press(client, ada).status_code == status


def test_action__updated(ada: str, clerk_server: FakeClerk, admin_client: Client) -> None:
    """What is new is written by the writer, and the messages name the columns and no value."""
    clerk_server.update_user(ada, first_name="Adele", email="adele@harbour-works.io")
    assert read_again(admin_client, ada) == [
        ("success", "1 user was read again: 1 updated."),
        ("info", f"Changed in {ada}: e-mail address, first name and updated."),
    ]
    user = ClerkUser.objects.get(pk=ada)
    assert (user.first_name, user.revision) == ("Adele", 2)


def test_action__unchanged(ada: str, admin_client: Client) -> None:
    """If nothing is new, the message says so."""
    assert read_again(admin_client, ada) == [("success", "1 user was read again: 1 unchanged.")]


def test_action__deleted(ada: str, clerk_server: FakeClerk, admin_client: Client) -> None:
    """A user who has left Clerk becomes a tombstone."""
    clerk_server.delete_user(ada)
    clerk_server.advance(seconds=3600)
    assert read_again(admin_client, ada) == [
        ("success", "1 user was read again: 1 deleted."),
        ("info", f"Changed in {ada}: state."),
    ]


def test_action__created(clerk_server: FakeClerk, admin_client: Client) -> None:
    """A row that has an id and nothing else is filled."""
    clerk_id = clerk_server.create_user()["id"]
    add_user(clerk_id, state="incomplete", created_ms=None, created_at=None)
    assert read_again(admin_client, clerk_id)[0] == ("success", "1 user was read again: 1 created.")


def test_action__many(clerk_server: FakeClerk, admin_client: Client) -> None:
    """A few are named, the others are counted."""
    ids = clerk_server.create_users(MAX_NAMED + 3)
    Syncer(clerk_server).full()
    for clerk_id in ids:
        clerk_server.update_user(clerk_id, first_name="Zoë")
    messages = read_again(admin_client, *ids)
    assert messages[0] == ("success", f"{len(ids)} users were read again: {len(ids)} updated.")
    assert len(messages) == MAX_NAMED + 2
    assert messages[-1] == ("info", "And 3 more changed.")


def test_action__unreadable(ada: str, clerk_server: FakeClerk, admin_client: Client) -> None:
    """A user whose answer cannot be read stays as it is, in doubt."""
    clerk_server.set_raw(ada, b'{"id": "%s", "first_name": 7, "email_addresses": 5}' % ada.encode())
    messages = read_again(admin_client, ada)
    assert messages[0] == ("warning", "1 user was read again: 1 in doubt.")
    assert messages[-1] == ("warning", "1 user is in doubt and will be read again by the next sync.")
    assert ClerkUser.objects.get(pk=ada).first_name == "Ada"


def test_action__too_many(clerk_server: FakeClerk, admin_client: Client) -> None:
    """More than a page of users is refused, however they were selected, and Clerk is not asked."""
    for number in range(MAX_USERS + 1):
        add_user(f"user_{number}")
    messages = read_again(admin_client, "user_1", select_across="1")
    assert messages == [
        (
            "error",
            f"Nothing was read: at most {MAX_USERS} users can be read at once. "
            f"For all users run: manage.py sync_clerk_users",
        )
    ]
    assert clerk_server.requests == []


def test_action__a_page_of_users(clerk_server: FakeClerk, admin_client: Client) -> None:
    """As many as a list page shows can be read, in a few requests."""
    clerk_server.create_users(MAX_USERS)
    Syncer(clerk_server).full()
    clerk_server.clear_requests()
    assert read_again(admin_client, *listed(admin_client)) == [
        ("success", f"{MAX_USERS} users were read again: {MAX_USERS} unchanged.")
    ]
    assert len(clerk_server.requests) <= 4


def errors(messages: list[tuple[str, str]]) -> list[str]:
    """The messages that tell of an error."""
    return [text for level, text in messages if level == "error"]


@override_settings(CLERK_SECRET_KEY="")
def test_action__no_key(admin_client: Client) -> None:
    """A missing key is a message and no trace."""
    add_user("user_a")
    (text,) = errors(read_again(admin_client, "user_a"))
    assert text.startswith("Nothing was read: ")
    assert "CLERK_SECRET_KEY" in text


def test_action__wrong_key(ada: str, clerk_server: FakeClerk, admin_client: Client) -> None:
    """So is a key that Clerk does not take, which is not shown."""
    clerk_server.secret_key = "sk_test_another"
    (text,) = errors(read_again(admin_client, ada))
    assert text.startswith("Nothing was read: ")
    assert settings.CLERK_SECRET_KEY not in text


def test_action__another_instance(ada: str, clerk_server: FakeClerk, admin_client: Client) -> None:
    """A key of another instance changes nothing."""
    clerk_server.instance.instance_id = "ins_other"
    (text,) = errors(read_again(admin_client, ada))
    assert "ins_other" in text


def test_action__clerk_fails_on_the_way(ada: str, clerk_server: FakeClerk, admin_client: Client) -> None:
    """What was done before an error is told with it."""
    clerk_server.fail("html", times=None, on="GET /v1/users")
    messages = read_again(admin_client, ada)
    assert messages[0][0] == "warning"
    assert errors(messages)[0].startswith("Not all was done: ")


def test_action__unreachable(admin_client: Client) -> None:
    """A Clerk that does not answer is a message after a few seconds."""
    add_user("user_a")
    with override_settings(CLERK_API_URL="http://127.0.0.1:9"):
        (text,) = errors(read_again(admin_client, "user_a"))
    assert text.startswith("Nothing was read: ")


def test_action__breaker(clerk_server: FakeClerk, admin_client: Client) -> None:
    """The writer's breaker holds here, too."""
    ids = clerk_server.create_users(20)
    Syncer(clerk_server).full()
    for clerk_id in ids[:10]:
        clerk_server.delete_user(clerk_id)
    messages = read_again(admin_client, *ids[:10])
    assert "may be deleted" in errors(messages)[0]
    assert ClerkUser.objects.deleted().count() == 0


def test_button__reads_this_user(ada: str, clerk_server: FakeClerk, admin_client: Client) -> None:
    """The button on a user's page does the same and leads back to the page."""
    clerk_server.update_user(ada, first_name="Adele")
    response = press(admin_client, ada)
    assert (response.status_code, response["Location"]) == (302, page_of(ada))
    assert told(response)[0] == ("success", "1 user was read again: 1 updated.")


def test_button__posts_only(ada: str, admin_client: Client) -> None:
    """A link that somebody is lured to does nothing, nor does a form on another site."""
    address = page_of(ada).replace("change/", BUTTON)
    assert admin_client.get(address).status_code == 405
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = admin_client.cookies
    assert careful.post(address).status_code == 403


def test_button__unknown_user(admin_client: Client) -> None:
    """Only users of the table are read."""
    assert press(admin_client, "user_gone").status_code == 404


@pytest.mark.parametrize("way", ["action", "button"])
def test_transaction__none_while_clerk_is_asked(
    ada: str, clerk_server: FakeClerk, admin_client: Client, way: str
) -> None:
    """Even if requests are transactions, none is held while Clerk is asked."""
    held = []

    def look(request: Request) -> None:
        held.append(connection.in_atomic_block)

    clerk_server.fail("callback", times=None, on="*", call=look)
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        messages = read_again(admin_client, ada) if way == "action" else told(press(admin_client, ada))
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert messages[0][0] == "success"
    assert set(held) == {False}
