"""``GET users/`` and ``GET users/{id}/``: for whom, what is told, filters, search, order and pages."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from rest_framework.permissions import IsAdminUser

from clerksync import searching
from clerksync.api import queries
from clerksync.api.pagination import Order, Position, _parts
from clerksync.api.permissions import HasOrgRole
from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk
from tests.admin.staff import add_user
from tests.test_status import explain

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.pages")]

LIST = "/api/users/"
MAY_READ = IsAdminUser | HasOrgRole("org:support")
HOUR_MS = 3_600_000


@pytest.fixture
def staff(client: Client) -> Client:
    """Somebody of the staff, by a session of Django's as the admin has them."""
    client.force_login(User.objects.create_user("sam", is_staff=True))
    return client


@pytest.fixture
def people(db: None) -> None:
    """Users of all kinds."""
    add_user(
        "user_ada",
        email="ada@harbour-works.io",
        email_verified=True,
        first_name="Ada",
        created_ms=5 * HOUR_MS,
    )
    add_user(
        "user_ben", email="Ben@harbour-works.io", username="ben", external_id="E-7", created_ms=4 * HOUR_MS
    )
    add_user("user_cat", banned=True, created_ms=3 * HOUR_MS, private_metadata={"plan": "gold"})
    add_user("user_dan", state="deleted", created_ms=2 * HOUR_MS)
    add_user("user_eve", state="incomplete", doubt_reason="to be read for a session", created_ms=None)


def found(client: Client, query: str = "", **headers: str) -> list[str]:
    """The ids that are listed, without what they have in common."""
    answer = client.get(f"{LIST}?{query}", headers=headers)
    assert answer.status_code == 200, answer.content
    return [user["clerk_id"].removeprefix("user_") for user in answer.json()["results"]]


# For whom


def test_nobody(client: Client, clerk: FakeClerk) -> None:
    """Visitors are asked to sign in."""
    assert [client.get(path).status_code for path in (LIST, f"{LIST}user_ada/")] == [401, 401]


def test_user_of_clerk(client: Client, clerk: FakeClerk) -> None:
    """Users of Clerk may not read the others."""
    headers = clerk.bearer(clerk.create_user())
    assert [client.get(path, headers=headers).status_code for path in (LIST, f"{LIST}user_ada/")] == [
        403,
        403,
    ]


def test_django_user(client: Client, clerk: FakeClerk) -> None:
    """Nor may users of Django who are no staff."""
    client.force_login(User.objects.create_user("uma"))
    assert client.get(LIST).status_code == 403


@override_settings(CLERKSYNC_LINK_USERS=True)
def test_linked_staff(client: Client, clerk: FakeClerk) -> None:
    """Users of Clerk whose Django user is staff may."""
    user = clerk.create_user()
    headers = clerk.bearer(user)
    assert client.get(LIST, headers=headers).status_code == 403
    User.objects.update(is_staff=True)
    assert client.get(LIST, headers=headers).status_code == 200


@override_settings(CLERKSYNC_API_PERMISSION="tests.api.test_users.MAY_READ")
def test_permission__by_setting(client: Client, clerk: FakeClerk) -> None:
    """A permission of the project decides instead."""
    user = clerk.create_user()
    assert client.get(LIST, headers=clerk.bearer(user)).status_code == 403
    assert client.get(LIST, headers=clerk.bearer(user, org_role="org:support")).status_code == 200


@override_settings(CLERKSYNC_API_PERMISSION="tests.nowhere.MAY_READ")
def test_permission__leads_nowhere(staff: Client, clerk: FakeClerk) -> None:
    """A wrong setting lets nobody in."""
    with pytest.raises(ImproperlyConfigured, match=r"CLERKSYNC_API_PERMISSION: 'tests.nowhere.MAY_READ'"):
        staff.get(LIST)


# What is told


@pytest.mark.usefixtures("people")
def test_detail(staff: Client) -> None:
    """One user, with what the account is like, and without what is private."""
    answer = staff.get(f"{LIST}user_cat/")
    told = answer.json()
    assert (told["clerk_id"], told["banned"], told["needs_refresh"]) == ("user_cat", True, False)
    assert {"private_metadata", "payload", "payload_text", "digest", "user"}.isdisjoint(told)
    assert answer["Cache-Control"] == "no-store, private"


def test_detail__nul(staff: Client) -> None:
    """An id may be anything that fits into a URL."""
    assert staff.get(f"{LIST}%00/").status_code == 404


@pytest.mark.usefixtures("people")
def test_detail__tombstone(staff: Client) -> None:
    """Deleted users are not there unless they are asked for."""
    assert staff.get(f"{LIST}user_dan/").status_code == 404
    assert staff.get(f"{LIST}user_dan/?state=all").json()["state"] == "deleted"
    assert staff.get(f"{LIST}user_nobody/").status_code == 404


@pytest.mark.usefixtures("people")
def test_private_metadata(staff: Client) -> None:
    """It is told to those with the permission who ask for it; being staff is not enough."""
    paths = [f"{LIST}user_cat/", LIST]
    asking = [f"{path}?include=private_metadata" for path in paths]
    assert [staff.get(path).status_code for path in asking] == [403, 403]
    User.objects.get().user_permissions.add(Permission.objects.get(codename="view_private_metadata"))
    assert staff.get(asking[0]).json()["private_metadata"] == {"plan": "gold"}
    assert staff.get(asking[1]).json()["results"][2]["private_metadata"] == {"plan": "gold"}
    assert "private_metadata" not in staff.get(paths[0]).json()
    assert not any("private_metadata" in user for user in staff.get(paths[1]).json()["results"])


# Filters


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["ada", "ben", "cat", "eve"]),
        ("state=active", ["ada", "ben", "cat"]),
        ("state=incomplete", ["eve"]),
        ("state=deleted", ["dan"]),
        ("state=all", ["ada", "ben", "cat", "dan", "eve"]),
        ("banned=true", ["cat"]),
        ("banned=false", ["ada", "ben", "eve"]),
        ("email_verified=true", ["ada"]),
        ("email_verified=false", ["ben", "cat", "eve"]),
        ("needs_refresh=true", ["eve"]),
        ("needs_refresh=false", ["ada", "ben", "cat"]),
        ("created_after=1970-01-01T04:00:00Z", ["ada", "ben"]),
        ("created_before=1970-01-01T04:00:00Z", ["cat"]),
        ("created_after=1970-01-01T03:00:00Z&created_before=1970-01-01T05:00:00Z", ["ben", "cat"]),
        ("created_after=1970-01-01T05:00:00%2B01:00", ["ada", "ben"]),
        ("created_after=9999-12-31T00:00:00Z", []),
        ("email=ada@harbour-works.io", ["ada"]),
        ("email=ADA@harbour-works.io", ["ada"]),
        ("email=harbour-works.io", []),
        ("username=ben", ["ben"]),
        ("external_id=E-7", ["ben"]),
        ("external_id=e-7", []),
        ("search=ad", ["ada"]),
        ("search=E-", ["ben"]),
        ("search=user_c", ["cat"]),
        ("search=user_d", []),
        ("search=user_d&state=all", ["dan"]),
        ("search=arbour", []),
        ("ordering=created_at", ["cat", "ben", "ada", "eve"]),
        ("ordering=clerk_id", ["ada", "ben", "cat", "eve"]),
        ("ordering=-clerk_id", ["eve", "cat", "ben", "ada"]),
        ("search=user_&ordering=-clerk_id", []),
    ],
)
def test_filters(staff: Client, query: str, ids: list[str]) -> None:
    """Each finds what it says."""
    assert found(staff, query) == ids


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    "query",
    [
        "state=gone", "banned=perhaps", "created_after=yesterday", "ordering=email", "ordering=-email",
        "page_size=0", "page_size=201", "page_size=x", "cursor=x", "cursor=", "search=", "search=%20",
        "email=%00", "search=%00", "search=" + "x" * 201, "bannned=true", "include=payload", "page=2",
    ],
)  # fmt: skip
def test_filters__wrong(staff: Client, query: str) -> None:
    """What cannot be understood is an error that names the parameter, never a list of everybody."""
    answer = staff.get(f"{LIST}?{query}")
    assert (answer.status_code, list(answer.json())) == (400, [query.partition("=")[0]])


def test_search__too_many(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that fits more users than are looked at says so."""
    assert searching.MAX_FOUND == searching._ENOUGH - 1 == 10_000
    monkeypatch.setattr(searching, "MAX_FOUND", 400)
    monkeypatch.setattr(searching, "_ENOUGH", 401)
    now = add_user("user_first").first_seen
    ClerkUser.objects.bulk_create(
        ClerkUser(clerk_id=f"user_{number}", first_name="Ada", first_seen=now, last_written=now)
        for number in range(401)
    )
    assert staff.get(f"{LIST}?search=ada").json() == {
        "search": ["More than 400 users fit: search for more of it."]
    }


# Pages


@pytest.fixture
def many(db: None) -> list[str]:
    """Users of whom some were created at the same time, and some at an unknown one."""
    now = datetime.now(UTC)
    times = [9, 9, 9, 9, 7, 7, 5, 3, None, None, None]
    ids = [f"user_{chr(97 + (index * 5) % 11)}" for index in range(len(times))]
    ClerkUser.objects.bulk_create(
        ClerkUser(clerk_id=clerk_id, state="active", created_ms=ms, first_seen=now, last_written=now)
        for clerk_id, ms in zip(ids, times, strict=True)
    )
    return ids


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 11, 12])
@pytest.mark.parametrize("ordering", ["-created_at", "created_at", "clerk_id", "-clerk_id"])
def test_pages__there_and_back(staff: Client, many: list[str], ordering: str, size: int) -> None:
    """Page by page everybody is told once, in order, and the same pages come on the way back."""
    whole = [user["clerk_id"] for user in staff.get(f"{LIST}?ordering={ordering}").json()["results"]]
    assert sorted(whole) == sorted(many)
    pages = [staff.get(f"{LIST}?ordering={ordering}&page_size={size}").json()]
    assert pages[0]["previous"] is None
    while pages[-1]["next"]:
        pages.append(staff.get(pages[-1]["next"]).json())
    ids = [[user["clerk_id"] for user in page["results"]] for page in pages]
    assert [clerk_id for page in ids for clerk_id in page] == whole
    assert all(len(page) == size for page in ids[:-1])
    back = [pages[-1]]
    while back[-1]["previous"]:
        back.append(staff.get(back[-1]["previous"]).json())
    assert [[user["clerk_id"] for user in page["results"]] for page in reversed(back)] == ids


def test_pages__while_users_come_and_go(staff: Client, many: list[str]) -> None:
    """New users and deletes shift nobody into or out of the pages to come."""
    first = staff.get(f"{LIST}?page_size=4").json()
    whole = found(staff)
    add_user("user_new", created_ms=10)
    ClerkUser.objects.filter(pk=first["results"][-1]["clerk_id"]).delete()
    rest = staff.get(first["next"] + "&page_size=11").json()["results"]
    assert [user["clerk_id"].removeprefix("user_") for user in rest] == whole[4:]


def test_pages__empty(staff: Client) -> None:
    """Without users there is one empty page."""
    assert staff.get(LIST).json() == {"next": None, "previous": None, "results": []}


def test_cursor__of_another_order(staff: Client, many: list[str]) -> None:
    """A cursor fits its own order alone."""
    link = staff.get(f"{LIST}?page_size=4").json()["next"]
    assert staff.get(link + "&ordering=clerk_id").status_code == 400


@pytest.mark.parametrize(
    "said", ['["-created_at","user_a",1]', '["-created_at","user\\u0000",1,false]', '["-created_at",1,1,false]',
             '["-created_at","user_a","1",false]', '["-created_at","user_a",1e400,false]', "7", "[" * 50_000,
             '["-created_at","user_a",99999999999999999999999,false]', '["-created_at","\\ud800",1,false]'],
)  # fmt: skip
def test_cursor__forged(staff: Client, said: str) -> None:
    """What nobody has sent is refused, not passed to the database."""
    cursor = base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")
    assert staff.get(LIST, {"cursor": cursor}).status_code == 400


@pytest.mark.parametrize("query", ["", "search=ada", "banned=false&ordering=clerk_id"])
def test_statements__constant(staff: Client, query: str) -> None:
    """How many users there are makes no difference."""
    counts = []
    for number in (1, 30):
        for index in range(number):
            add_user(f"user_{number}_{index}", first_name="Ada", created_ms=index)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            staff.get(f"{LIST}?{query}&page_size=10")
        counts.append(len(queries))
    assert counts[1] <= counts[0]


@pytest.mark.parametrize("limit", [2, 3])
@pytest.mark.parametrize("name", ["banned=true", "created_after=1970-01-01T00:00:01Z"])
def test_pages__few_in_the_order_of_ids(
    staff: Client, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    """The few that fit are found by an index and sorted, where a database would walk over all to meet them."""
    monkeypatch.setattr(queries, "MANY", limit)
    for index in range(6):
        is_wanted = index % 2 == 1
        add_user(f"user_{index}", banned=is_wanted, created_ms=5_000 if is_wanted else 0)
    with CaptureQueriesContext(connection) as asked:
        assert found(staff, f"{name}&ordering=-clerk_id") == ["5", "3", "1"]
    is_unforeseen = connection.vendor == "sqlite" or name != "banned=true"
    first = [query["sql"] for query in asked if f"LIMIT {limit + 1}" in query["sql"]]
    assert len(first) == is_unforeseen
    if connection.vendor == "sqlite":
        assert "INDEX clerksync_user_created" in " / ".join(explain(first[0]))
    page = asked[-1]["sql"]
    assert ("json_each" in page or "unnest" in page) == (is_unforeseen and limit == 3)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", ["-created_at", "created_at", "clerk_id", "-clerk_id"])
def test_pages__by_index(many: list[str], name: str, backwards: bool) -> None:  # noqa: FBT001  # the parameter
    """Each page is a walk along an index from where the one before it ended."""
    position = Position("user_a", 7, backwards)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        plans = [part[:10].explain() for part in _parts(ClerkUser.objects.all(), Order.of(name), position)]
    assert plans
    for plan in plans:
        assert "Seq Scan" not in plan
        assert "Index" in plan or "USING INDEX" in plan or "USING COVERING INDEX" in plan, plan
