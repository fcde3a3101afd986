"""The search for users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from clerksync import searching
from clerksync.models import ClerkUser
from tests.admin.staff import LIST, add_user, listed

pytestmark = pytest.mark.django_db

ADA = "user_2mQzLrTgXbVnKcPdWsYjHfEoAuI"
MARY = "user_2pBvNcXzLkJhGfDsAqWeRtYuIoP"


@pytest.fixture
def _people() -> None:
    add_user(
        ADA, email="ada.marsh@harbour-works.io", username="adamarsh", external_id="E-17",
        first_name="Ada", last_name="Marsh", created_ms=2,
    )  # fmt: skip
    add_user(MARY, email="m@tidegate-press.com", first_name="Mary Ann", last_name="von Ade", created_ms=1)
    add_user("user_none", created_ms=0)
    add_user("user_last", last_name="Žižková 100%_", created_ms=0)


@pytest.mark.usefixtures("_people")
@pytest.mark.parametrize(
    ("term", "found"),
    [
        (ADA, [ADA]),
        (ADA[:12], [ADA]),
        ("ada.marsh@harbour-works.io", [ADA]),
        ("ADA.MARSH@", [ADA]),
        ("adam", [ADA]),
        ("E-1", [ADA]),
        ("ada", [ADA]),
        ("ADA", [ADA]),
        ("mar", [ADA, MARY]),
        ("ada marsh", [ADA]),
        ("marsh  ada", [ADA]),
        ("ada tidegate", []),
        ("mary ann", [MARY]),
        ("Mary Ann von", []),
        ("von ade", [MARY]),
        ("žiž", ["user_last"]),
        ("žižková 100%_", ["user_last"]),
        ("arsh", []),
        ("harbour-works", []),
        ("%", []),
        ("_", []),
        ("user_", []),
        ("' OR 1=1 --", []),
        ("\U0010ffff", []),
        ("x " * 50, []),
    ],
)
def test_search__beginnings(admin_client: Client, term: str, found: list[str]) -> None:
    """Every word, or the whole term, begins one of the columns, whatever its case."""
    assert [user.pk for user in admin_client.get(LIST, {"q": term}).context["cl"].result_list] == found


@pytest.mark.usefixtures("_people")
def test_search__nothing_asked(admin_client: Client) -> None:
    """Spaces find everybody."""
    assert len(listed(admin_client, "?q=+++")) == 4


@pytest.mark.usefixtures("_people")
def test_search__nul(admin_client: Client) -> None:
    """What no database can hold is refused by the form."""
    assert admin_client.get(LIST, {"q": "a\x00"}).status_code == 200


@pytest.mark.usefixtures("_people")
@pytest.mark.parametrize(
    ("term", "found"),
    [
        (ADA, 1),
        (f" {ADA} ", 1),
        ("ADA.MARSH@harbour-works.io", 1),
        ("E-17", 1),
        ("adamarsh", 1),
        ("ada", 0),
        ("Marsh", 0),
    ],
)
def test_search__exact(term: str, found: int) -> None:
    """Those who see values masked find whole values only, and names not at all."""
    assert len(searching.search(ClerkUser.objects.all(), term, exact=True)) == found


def test_search__more_than_enough(admin_client: Client) -> None:
    """However many fit, a bounded number is looked at, and the page says that there are more."""
    now = add_user("user_first").first_seen
    ClerkUser.objects.bulk_create(
        ClerkUser(clerk_id=f"user_{number}", first_name="Ada", first_seen=now, last_written=now)
        for number in range(10_001)
    )
    response = admin_client.get(LIST, {"q": "ada"})
    assert response.context["cl"].result_count == 10_000
    assert "These are the first 10000; there are more." in response.content.decode()


def plans() -> Iterator[str]:
    """How the database answers each part of a search."""
    everyone: Any = ClerkUser.objects.using("default")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # the table is small
        yield from (part.explain() for part in searching._parts(everyone, "user_ada"))


def test_search__by_index() -> None:
    """Each part is answered by an index on either database, never by a walk through the table."""
    found = list(plans())
    assert len(found) >= 7
    assert [plan for plan in found if "clerksync_user_" not in plan and "clerk_id" not in plan] == []
    assert [plan for plan in found if "Seq Scan" in plan or "SCAN clerksync_clerkuser\n" in f"{plan}\n"] == []
