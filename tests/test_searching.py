"""The search for users."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from clerksync import searching
from clerksync.admin import paging
from clerksync.models import ClerkUser
from tests.admin.staff import LIST, add_user, listed
from tests.test_status import explain, scans

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


def test_search__more_than_enough(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many fit, a bounded number is looked at, and the page says that there are more."""
    assert paging.BoundedPaginator.LIMIT == searching.MAX_FOUND == searching._ENOUGH - 1 == 10_000
    monkeypatch.setattr(paging.BoundedPaginator, "LIMIT", 400)
    monkeypatch.setattr(searching, "_ENOUGH", 401)
    now = add_user("user_first").first_seen
    ClerkUser.objects.bulk_create(
        ClerkUser(clerk_id=f"user_{number}", first_name="Ada", first_seen=now, last_written=now)
        for number in range(401)
    )
    response = admin_client.get(LIST, {"q": "ada"})
    assert response.context["cl"].result_count == 400
    assert "These are the first 400; there are more." in response.content.decode()


@pytest.mark.usefixtures("_people")
@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("ada marsh", [ADA]),
        ("MARSH ada", [ADA]),
        ("mary von", [MARY]),
        ("ada mar m", [ADA]),
        ("ada mar x", []),
        ("mary ann", [MARY]),
        ("von ade", [MARY]),
        ("ada adam", []),
    ],
)
def test_find__words_that_many_have(monkeypatch: pytest.MonkeyPatch, term: str, found: list[str]) -> None:
    """Users of whom too many have either word are found by their names, or by the whole."""
    monkeypatch.setattr(searching, "_MANY", 1)
    assert searching.find(ClerkUser.objects.using("default"), term) == found


@pytest.mark.usefixtures("_people")
@pytest.mark.parametrize("many", [1, 20_000])
@pytest.mark.parametrize("term", ["ada", "user_ada", "ada marsh", "ada m x", "nobody at all", "m m"])
def test_find__by_index(monkeypatch: pytest.MonkeyPatch, term: str, many: int) -> None:
    """Every statement is answered by an index on either database, never by a walk through the table."""
    monkeypatch.setattr(searching, "_MANY", many)
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as queries:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # the table is small
        searching.find(ClerkUser.objects.using("default"), term)
    asked = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert len(asked) >= 6
    for sql in asked:
        plan = " / ".join(explain(sql))
        assert "INDEX" in plan.upper(), f"{sql}\n{plan}"
        assert not scans(plan), f"{sql}\n{plan}"


def test_find__few_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many words and users there are."""
    monkeypatch.setattr(searching, "_MANY", 50)
    monkeypatch.setattr(searching, "_ENOUGH", 40)
    now = add_user("user_first").first_seen
    ClerkUser.objects.bulk_create(
        ClerkUser(clerk_id=f"user_{n}", first_name="Ada", last_name="Ada", first_seen=now, last_written=now)
        for n in range(100)
    )
    everyone: Any = ClerkUser.objects.using("default")
    for term, found in (("ada ad a x y " * 9, 0), ("ad Ada", 40)):
        with CaptureQueriesContext(connection) as queries:
            assert len(searching.find(everyone, term)) == found
        assert len(queries) <= 45
