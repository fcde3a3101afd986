"""The filters of the list of users."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client, override_settings

from tests.admin.staff import LIST, add_user, html, listed

pytestmark = pytest.mark.django_db


def ms(text: str) -> int:
    """A moment in UTC as Clerk writes it."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def _people() -> None:
    add_user("user_a", email="a@harbour-works.io", email_verified=True, created_ms=4)
    add_user("user_b", banned=True, created_ms=3)
    add_user("user_c", state="deleted", email="c@harbour-works.io", created_ms=2)
    add_user("user_d", state="incomplete", doubt_reason="a test", created_ms=1)


@pytest.mark.usefixtures("_people")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state__exact=active", "ab"),
        ("state__exact=deleted", "c"),
        ("state__exact=incomplete", "d"),
        ("banned__exact=1", "b"),
        ("banned__exact=0", "acd"),
        ("email_verified__exact=1", "a"),
        ("has_email=yes", "ac"),
        ("has_email=no", "bd"),
        ("has_email=perhaps", "abcd"),
        ("needs_refresh=yes", "d"),
        ("needs_refresh=no", "abc"),
        ("has_email=yes&state__exact=active", "a"),
        ("placeholder=nonsense", "abcd"),
    ],
)
def test_filter__finds(admin_client: Client, query: str, found: str) -> None:
    """Each filter shows those who fit, the newest first; a value that there is not shows all."""
    assert listed(admin_client, f"?{query}") == [f"user_{letter}" for letter in found]


@pytest.mark.parametrize(
    "columns",
    [
        {"email": "user_a@example.com"},
        {"email": "someone@sub.example.org"},
        {"email": "someone@users.test"},
        {"email": "someone@localhost"},
        {"username": "user_2mQzLrTgXbVnKcPdWsYjHfEoAuI"},
        {"first_name": "user_2mQzLrTgXbVnKcPdWsYjHfEoAuI"},
        {"first_name": "New", "last_name": "User"},
        {"first_name": "Unknown"},
        {"first_name": "undefined", "last_name": "Marsh"},
        {"last_name": "N/A"},
        {"first_name": "TEST USER"},
    ],
)
def test_placeholder__found(admin_client: Client, columns: dict[str, str]) -> None:
    """What integrations make up is found by addresses and names."""
    add_user("user_a", **columns)
    add_user("user_b", email="ada@harbour-works.io", first_name="Ada")
    assert listed(admin_client, "?placeholder=found") == ["user_a"]


@pytest.mark.parametrize(
    "columns",
    [
        {"email": "someone@apple.com"},
        {"email": "user_friendly@harbour-works.io"},
        {"first_name": "Christopher", "last_name": "Null"},
        {"first_name": "Test", "last_name": "Ng"},
    ],
)
def test_placeholder__people(admin_client: Client, columns: dict[str, str]) -> None:
    """The rules decide, so nobody is found who is called so."""
    add_user("user_a", **columns)
    assert listed(admin_client, "?placeholder=found") == []


def test_placeholder__own_rules(admin_client: Client) -> None:
    """The project's settings count."""
    add_user("user_a", email="ada@example.com")
    with override_settings(CLERKSYNC_REAL_DOMAINS=("example.com",)):
        assert listed(admin_client, "?placeholder=found") == []


def choices(client: Client, query: str = "") -> list[str]:
    """What the filter of dates offers."""
    specs = client.get(LIST + query).context["cl"].filter_specs
    (spec,) = [spec for spec in specs if spec.title == "created"]
    return [str(choice["display"]) for choice in spec.choices(client.get(LIST + query).context["cl"])]


@pytest.fixture
def _dated() -> None:
    for clerk_id, moment in {
        "user_a": "2024-02-29T23:30",
        "user_b": "2025-12-31T23:59",
        "user_c": "2026-01-01T00:00",
    }.items():
        add_user(clerk_id, created_ms=ms(moment))
    add_user("user_d", created_ms=None)


@pytest.mark.usefixtures("_dated")
@pytest.mark.parametrize(
    ("created", "found"),
    [
        ("2024", "a"),
        ("2025", "b"),
        ("2026", "c"),
        ("2025-12", "b"),
        ("2024-02-29", "a"),
        ("2024-03", ""),
        ("2023", ""),
        ("2024-02-30", "cbad"),
        ("2024-13", "cbad"),
        ("0000", "cbad"),
        ("9999", "cbad"),
        ("soon", "cbad"),
    ],
)
def test_created__finds(admin_client: Client, created: str, found: str) -> None:
    """A year, a month or a day; what the calendar has not shows all."""
    assert sorted(listed(admin_client, f"?created={created}")) == sorted(f"user_{letter}" for letter in found)


@pytest.mark.usefixtures("_dated")
def test_created__time_zone(admin_client: Client) -> None:
    """Days begin at midnight where the project is."""
    with override_settings(TIME_ZONE="Asia/Tokyo"):
        assert listed(admin_client, "?created=2024-03-01") == ["user_a"]


@pytest.mark.usefixtures("_dated")
def test_created__drills_down(admin_client: Client) -> None:
    """Years lead to months and these to days, from the first user to the last."""
    assert choices(admin_client) == ["All", "2026", "2025", "2024"]
    months = choices(admin_client, "?created=2024")
    assert months[:3] == ["All", "2024", "February 2024"]
    assert months[-1] == "December 2024"
    days = choices(admin_client, "?created=2024-02")
    assert days == ["All", "2024", "February 2024", "Feb. 29, 2024"]
    assert choices(admin_client, "?created=2024-02-29") == days


def test_created__nobody(admin_client: Client) -> None:
    """Without users there is nothing to choose from."""
    assert "created" not in [spec.title for spec in admin_client.get(LIST).context["cl"].filter_specs]


def test_facets__none(admin_client: Client) -> None:
    """The filters do not count, for that would read the table once for each choice."""
    assert "Show counts" not in html(admin_client, LIST)
