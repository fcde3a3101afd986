"""The users in the admin: who may see what, and that nobody can change anything."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from clerksync.models import ClerkUser, MirrorState
from tests.admin.staff import LIST, add_user, field, html, listed, log_in, page_of

pytestmark = pytest.mark.django_db

PICTURE = "https://img.clerk.com/abc"


@pytest.mark.parametrize(
    ("permissions", "values", "status"),
    [
        ((), {}, 403),
        (("view_clerkuser",), {}, 200),
        (("change_clerkuser",), {}, 200),
        ((), {"is_superuser": True}, 200),
        (("view_clerkuser",), {"is_staff": False}, 302),
        (("view_syncrun",), {}, 403),
    ],
)
def test_permissions__to_look(permissions: tuple[str, ...], values: dict[str, bool], status: int) -> None:
    """Django's permissions decide who sees users: to view them, or to change them."""
    add_user("user_a")
    client = log_in(*permissions, **values)
    assert client.get(LIST).status_code == status
    assert client.get(page_of("user_a")).status_code == status


def test_permissions__nobody_adds_or_deletes(admin_client: Client) -> None:
    """The rows belong to the writer, tombstones too."""
    add_user("user_a")
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert (
        admin_client.post(page_of("user_a").replace("change", "delete"), {"post": "yes"}).status_code == 403
    )
    assert "delete_selected" not in html(admin_client, LIST)
    assert ClerkUser.objects.filter(pk="user_a").exists()


def test_permissions__nobody_changes(admin_client: Client) -> None:
    """The form has no field, and what is posted to it is refused."""
    add_user("user_a", first_name="Ada")
    page = html(admin_client, page_of("user_a"))
    assert 'name="first_name"' not in page
    assert 'name="_save"' not in page
    assert admin_client.post(page_of("user_a"), {"first_name": "Eve"}).status_code == 403
    assert ClerkUser.objects.get().first_name == "Ada"


def test_list__columns(admin_client: Client) -> None:
    """The list shows name, address with its mark, state and placeholder data, in words."""
    add_user("user_a", email="ada@harbour-works.io", email_verified=True, first_name="Ada", last_name="Marsh")
    page = html(admin_client, LIST)
    assert field(page, "name") == "Ada Marsh"
    assert field(page, "email") == "ada@harbour-works.io ✓ verified"
    assert field(page, "state") == "active"
    assert field(page, "placeholders") == "-"
    assert field(page, "last_sign_in_at") == "-"


def test_list__marks(admin_client: Client) -> None:
    """What is wrong with a user is said in words, not by a colour."""
    add_user("user_a", email="user_a@example.com", banned=True, locked=True, doubt_reason="a test")
    page = html(admin_client, LIST)
    assert field(page, "email") == "user_a@example.com not verified"
    assert field(page, "state") == "active banned locked needs refresh"
    assert "⚠ e-mail address reserved_domain" in field(page, "placeholders")


def test_list__no_name(admin_client: Client) -> None:
    """A user without any name is called by the id."""
    add_user("user_a", created_at=None, created_ms=None, state="incomplete")
    assert field(html(admin_client, LIST), "name") == "user_a"


def test_list__order(admin_client: Client) -> None:
    """The newest come first; those of the same millisecond by id."""
    for clerk_id, created_ms in [("user_a", 1), ("user_b", 3), ("user_c", 2), ("user_d", 3)]:
        add_user(clerk_id, created_ms=created_ms)
    assert listed(admin_client) == ["user_d", "user_b", "user_c", "user_a"]
    assert listed(admin_client, "?o=2") == ["user_d", "user_b", "user_c", "user_a"]


def statements(client: Client, address: str) -> list[str]:
    """The statements that a page needs."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in queries]


@pytest.mark.parametrize("query", ["", "?q=ada", "?state__exact=active&created=2026", "?placeholder=found"])
def test_list__constant_statements(admin_client: Client, query: str) -> None:
    """The number of statements does not grow with the rows, and none counts them or reads their payloads."""
    for number in range(5):
        add_user(f"user_{number}", first_name="Ada", email=f"{number}@example.com")
    few = statements(admin_client, LIST + query)
    for number in range(5, 100):
        add_user(f"user_{number}", first_name="Ada", email=f"{number}@example.com")
    many = statements(admin_client, LIST + query)
    assert len(few) == len(many) <= 16
    assert not any("COUNT(" in sql or "payload_text" in sql or "metadata" in sql for sql in many)


def test_page__statements(admin_client: Client) -> None:
    """One user is read once, whatever the page shows."""
    add_user("user_a")
    page = statements(admin_client, page_of("user_a"))
    assert sum('FROM "clerksync_clerkuser"' in sql for sql in page) == 1


def test_page__django_user(admin_client: Client) -> None:
    """The linked Django user is named by the key, with a link, and without a statement."""
    add_user("user_a")
    assert field(html(admin_client, page_of("user_a")), "django_user") == "Django user: -"
    before = statements(admin_client, page_of("user_a"))
    ada = User.objects.create(username="ada")
    ClerkUser.objects.update(user=ada)
    page = html(admin_client, page_of("user_a"))
    assert field(page, "django_user") == f"Django user: {ada.pk}"
    assert f'<a href="/admin/auth/user/{ada.pk}/change/">' in page
    assert len(statements(admin_client, page_of("user_a"))) == len(before)


def test_page__everything(admin_client: Client) -> None:
    """The page holds what Clerk and the mirror know, the payload with lines, collapsed."""
    add_user(
        "user_a", phone_number="+447700900123", phone_verified=True, external_id="e-1", public_metadata={"plan": "pro"},
        payload_text='{"id":"user_a","locale":null}', provenance="run 7",
    )  # fmt: skip
    page = html(admin_client, page_of("user_a"))
    assert field(page, "phone") == "Phone number: +447700900123 ✓ verified"
    assert field(page, "external_id") == "External id: e-1"
    assert field(page, "banned") == "Banned: No"
    assert "run 7" in field(page, "provenance")
    assert '{ "plan": "pro" }' in field(page, "public_metadata")
    assert "{\n  &quot;id&quot;: &quot;user_a&quot;,\n  &quot;locale&quot;: null\n}" in page
    assert page.count("<details>") == 3


def test_page__payload_not_stored(admin_client: Client) -> None:
    """Without a stored payload there is none to show."""
    add_user("user_a")
    assert field(html(admin_client, page_of("user_a")), "payload") == "Payload: -"


def test_page__missing(admin_client: Client) -> None:
    """An id that is not in the table leads back with a message, as everywhere in the admin."""
    assert admin_client.get(page_of("user_gone")).status_code == 302


def test_dashboard__known_instance(admin_client: Client) -> None:
    """The link names the user, and the page the instance."""
    add_user("user_a")
    MirrorState.objects.create(pk=1, instance_id="ins_harbour", environment="production")
    page = html(admin_client, page_of("user_a"))
    assert 'href="https://dashboard.clerk.com/last-active?path=users/user_a"' in page
    assert 'rel="noopener noreferrer"' in page
    assert "ins_harbour (production)" in field(page, "dashboard")


@pytest.mark.parametrize(("instance_id", "state"), [("", "active"), ("ins_harbour", "deleted")])
def test_dashboard__no_link(admin_client: Client, instance_id: str, state: str) -> None:
    """There is no link while the instance is unknown, nor to a user who is gone."""
    add_user("user_a", state=state)
    MirrorState.objects.create(pk=1, instance_id=instance_id)
    assert field(html(admin_client, page_of("user_a")), "dashboard").endswith(": -")


@override_settings(CLERKSYNC_ADMIN_PHOTOS=False)
def test_photo__initials_by_default(admin_client: Client) -> None:
    """No picture is loaded from another host unless a setting says so."""
    add_user("user_a", first_name="ada", last_name="Marsh", image_url=PICTURE)
    page = html(admin_client, LIST)
    assert field(page, "photo") == "AM"
    assert "img.clerk.com" not in page


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ({"username": "zoe"}, "Z"),
        ({"email": "b@harbour-works.io"}, "B"),
        ({}, "?"),
        ({"last_name": "حدّاد"}, "ح"),
    ],
)
def test_photo__other_initials(admin_client: Client, columns: dict[str, str], shown: str) -> None:
    """Whoever has no name has a letter of something else."""
    add_user("user_a", **columns)
    assert field(html(admin_client, LIST), "photo") == shown


@override_settings(CLERKSYNC_ADMIN_PHOTOS=True)
@pytest.mark.parametrize(
    ("url", "is_shown"),
    [
        (PICTURE, True),
        ("http://img.clerk.com/abc", False),
        ("javascript:alert(1)", False),
        ("data:image/png;base64,AA==", False),
        ("https://[", False),
        ("", False),
        (None, False),
    ],
)
def test_photo__https_only(admin_client: Client, url: str | None, *, is_shown: bool) -> None:
    """With the setting pictures are loaded by https, and their host is not told from where."""
    add_user("user_a", image_url=url)
    page = html(admin_client, LIST)
    assert ("<img" in page and 'referrerpolicy="no-referrer"' in page) == is_shown


ODD = {
    "script": "<script>alert(1)</script>",
    "attribute": '"onmouseover="alert(1)',
    "template": "{{ 7|add:7 }}{% now 'Y' %}",
    "direction": "\u202eevil\u2066",
    "format": "{0} %s %(x)s",
    "escaped": "nul \u241b0000 here",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_injection__names_and_metadata(admin_client: Client, value: str) -> None:
    """Whatever users call themselves stays text, keeps its direction to itself, and is shown as it is."""
    add_user(
        "user_a", first_name=value, username=value, email=value, external_id=value, image_url=value,
        problems=value, public_metadata={value: value}, payload_text='{"name":"<script>alert(1)</script>"}',
    )  # fmt: skip
    for address in (LIST, page_of("user_a")):
        page = html(admin_client, address)
        assert "<script>alert" not in page
        assert '"onmouseover="' not in page
    assert f"First name: {' '.join(value.split())}" == field(
        html(admin_client, page_of("user_a")), "first_name"
    )
    assert "\u202e" not in field(html(admin_client, page_of("user_a")), "public_metadata")


def test_injection__names_are_isolated(admin_client: Client) -> None:
    """A name that turns the direction of text round ends with its own element."""
    add_user("user_a", first_name="\u202eeve")
    assert "<bdi>\u202eeve</bdi>" in html(admin_client, LIST)


@pytest.mark.parametrize("payload", ["[" * 5000, '{"a":"\\ud800\\u0000"}', '{"n":' + "9" * 5000 + "}", "{"])
def test_page__odd_payload(admin_client: Client, payload: str) -> None:
    """A payload that Python cannot read, or a page not hold, is shown as it is."""
    add_user("user_a", payload_text=payload)
    shown = field(html(admin_client, page_of("user_a")), "payload")
    assert payload[:12].strip('{"}') in shown.replace(" ", "")


PERSONAL = ("Ada", "Marsh", "ada.m", "447700900123", "e-4711", "secret", "img.clerk.com")


def add_ada() -> None:
    """A user with something personal in each column."""
    add_user(
        "user_a", first_name="Ada", last_name="Marsh", username="ada.m", email="ada.m@harbour-works.io",
        phone_number="+447700900123", external_id="e-4711", image_url=PICTURE, payload_text='{"a":"secret"}',
        public_metadata={"a": "secret"}, private_metadata={"a": "secret"}, unsafe_metadata={"a": "secret"},
    )  # fmt: skip


@override_settings(CLERKSYNC_ADMIN_MASK=True, CLERKSYNC_ADMIN_PHOTOS=True)
def test_mask__for_those_who_may_only_look() -> None:
    """With the setting they see whom they deal with and nothing personal."""
    add_ada()
    client = log_in("view_clerkuser")
    page = html(client, page_of("user_a"))
    assert [word for word in PERSONAL if word in page or word in html(client, LIST)] == []
    assert field(page, "name") == "Name: A*** M***"
    assert field(page, "email") == "E-mail address: a***@harbour-works.io not verified"
    assert field(page, "payload") == "Payload: hidden"
    assert field(html(client, LIST), "photo") == "?"


@override_settings(CLERKSYNC_ADMIN_MASK=True)
@pytest.mark.parametrize(("columns", "shown"), [({}, "user_a"), ({"username": "zoe"}, "z***")])
def test_mask__names(columns: dict[str, str], shown: str) -> None:
    """An id is nothing personal; whatever stands in for a name is."""
    add_user("user_a", **columns)
    assert field(html(log_in("view_clerkuser"), LIST), "name") == shown


@pytest.mark.parametrize(
    ("mask", "permission"),
    [(True, "change_clerkuser"), (False, "view_clerkuser"), (False, "change_clerkuser")],
)
def test_mask__not_for_others(permission: str, *, mask: bool) -> None:
    """Without the setting, and for those who may change users, all is shown."""
    add_ada()
    with override_settings(CLERKSYNC_ADMIN_MASK=mask, CLERKSYNC_ADMIN_PHOTOS=True):
        page = html(log_in(permission), page_of("user_a"))
    assert [word for word in PERSONAL if word not in page] == []


@override_settings(CLERKSYNC_ADMIN_MASK=True)
def test_mask__no_guessing() -> None:
    """Whole values are found, beginnings are not, so that nobody finds a masked value out by letters."""
    add_ada()
    client = log_in("view_clerkuser")
    assert listed(client, "?q=ADA.M@harbour-works.io") == ["user_a"]
    assert listed(client, "?q=ada") == []
    assert listed(client, "?q=Marsh") == []
    assert "whole Clerk id" in html(client, LIST)


@pytest.mark.parametrize(
    "query",
    ["email__startswith=a", "private_metadata__a=1", "first_name=Ada", "payload_text__contains=x", "x=1"],
)
def test_lookups__filters_only(admin_client: Client, query: str) -> None:
    """The address holds the filters and nothing else."""
    assert admin_client.get(f"{LIST}?{query}").status_code == 400
