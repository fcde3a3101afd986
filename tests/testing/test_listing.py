"""Lists and counts: order, pages, cursors, filters."""

from __future__ import annotations

import msgspec
import pytest

from clerksync.testing import FakeClerk
from tests.testing.asking import Ask, Pairs

ASCENDING = ("order_by", "+created_at")


def test_limit__default(clerk: FakeClerk, ask: Ask) -> None:
    """Without a limit ten users come."""
    clerk.create_users(12)
    assert len(ask.ids()) == 10


def test_limit__above_the_maximum(clerk: FakeClerk, ask: Ask) -> None:
    """A limit above 500 is no error and gives ten users, as the live service does."""
    clerk.create_users(12)
    assert len(ask.ids(("limit", "501"))) == 10
    assert len(ask.ids(("limit", "500"))) == 12


def test_offset__skips(clerk: FakeClerk, ask: Ask) -> None:
    """An offset skips so many users of the order."""
    ids = clerk.create_users(12)
    assert ask.ids(ASCENDING, ("offset", "10")) == ids[10:]


def test_order__newest_first_by_default(clerk: FakeClerk, ask: Ask) -> None:
    """The default order is descending by the time of creation."""
    ids = clerk.create_users(5)
    assert ask.ids() == ids[::-1]


def test_order__no_sign_is_ascending(clerk: FakeClerk, ask: Ask) -> None:
    """A plus is implied."""
    ids = clerk.create_users(5)
    assert ask.ids(("order_by", "created_at")) == ids


def test_order__only_the_first_counts(clerk: FakeClerk, ask: Ask) -> None:
    """A second order is ignored."""
    ids = clerk.create_users(5)
    assert ask.ids(ASCENDING, ("order_by", "-created_at")) == ids


def test_order__follows_updates(clerk: FakeClerk, ask: Ask) -> None:
    """An index that is in use is kept up to date."""
    ids = clerk.create_users(5)
    ask.ids(("order_by", "-updated_at"))
    clerk.update_user(ids[2], first_name="Marin")
    clerk.delete_user(ids[3])
    page = ask.ids(("order_by", "-updated_at"))
    assert page[0] == ids[2]
    assert sorted(page) == sorted(set(ids) - {ids[3]})


@pytest.mark.parametrize("field", ["first_name", "email_address", "username", "last_sign_in_at"])
def test_order__missing_values_last(clerk: FakeClerk, ask: Ask, field: str) -> None:
    """Users without the value come last in ascending and first in descending order."""
    bare = clerk.create_user(email=None, first_name=None, last_sign_in_at=None)["id"]
    full = clerk.create_user(username="zuri")["id"]
    assert ask.ids(("order_by", field)) == [full, bare]
    assert ask.ids(("order_by", f"-{field}")) == [bare, full]


def test_order__ties_follow_no_id(clerk: FakeClerk, ask: Ask) -> None:
    """Users of the same millisecond come in an order that is steady but not that of ids."""
    ids = clerk.create_users(30, first_created_at=1_000, spacing_ms=0)
    page = ask.ids(ASCENDING, ("limit", "30"))
    assert page == ask.ids(ASCENDING, ("limit", "30"))
    assert page not in (ids, sorted(ids))


@pytest.mark.parametrize("order", ["+created_at", "-created_at"])
def test_cursor__walks_all(clerk: FakeClerk, ask: Ask, order: str) -> None:
    """A walk by cursor shows every user once, ties included."""
    ids = clerk.create_users(20) + clerk.create_users(20, first_created_at=1_000, spacing_ms=0)
    walked = ask.walk(("order_by", order), limit=7)
    assert len(walked) == 40
    assert set(walked) == set(ids)


def test_cursor__ascending_meets_new_users(clerk: FakeClerk, ask: Ask) -> None:
    """An ascending walk comes upon users that are created meanwhile."""
    ids = clerk.create_users(3)
    new = clerk.create_user()["id"]
    assert ask.ids(ASCENDING, ("starting_after", ids[-1])) == [new]


def test_cursor__with_a_window(clerk: FakeClerk, ask: Ask) -> None:
    """A cursor goes together with bounds on the time of creation."""
    ids = clerk.create_users(10)
    times = [clerk.get(clerk_id)["created_at"] for clerk_id in ids]
    window = (("created_at_after", str(times[1])), ("created_at_before", str(times[8])))
    assert ask.walk(ASCENDING, *window, limit=2) == ids[2:8]


@pytest.mark.parametrize(("mode", "found"), [("ignored", 3), ("empty", 0)])
def test_cursor__unknown_user(clerk: FakeClerk, ask: Ask, mode: str, found: int) -> None:
    """What an unknown cursor gets can be chosen."""
    clerk.create_users(3)
    clerk.unknown_cursor = mode  # type: ignore[assignment]  # parametrised
    assert len(ask.ids(("starting_after", "user_gone"))) == found


def test_cursor__unknown_user_is_an_error(ask: Ask) -> None:
    """By default an unknown cursor is a 404."""
    assert ask.error("GET /v1/users", [("starting_after", "user_gone")]) == (404, "resource_not_found")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ([("order_by", "-updated_at"), ("starting_after", "user_x")], "form_param_value_invalid"),
        ([("offset", "10"), ("starting_after", "user_x")], "form_param_value_invalid"),
        ([("order_by", "shoe_size")], "form_param_value_invalid"),
        ([("order_by", " created_at")], "form_param_value_invalid"),
        ([("limit", "0")], "form_param_value_invalid"),
        ([("limit", "ten")], "form_param_type_invalid"),
        ([("offset", "-1")], "form_param_type_invalid"),
        ([("banned", "")], "form_param_type_invalid"),
        ([("created_at_after", "2026-01-01")], "form_param_invalid_date"),
        ([("provider", "oauth_google")], "form_param_missing"),
        ([("user_id", f"user_{number}") for number in range(101)], "form_param_array_size_exceeded"),
    ],
)
def test_parameters__refused(ask: Ask, query: Pairs, code: str) -> None:
    """A parameter that cannot be meant is a 422."""
    assert ask.error("GET /v1/users", query) == (422, code)


def test_user_id__include_and_exclude(clerk: FakeClerk, ask: Ask) -> None:
    """Ids may be included (with or without a plus) and excluded; unknown ones are ignored."""
    ids = clerk.create_users(6)
    asked = [("user_id", ids[0]), ("user_id", f"+{ids[1]}"), ("user_id", "user_gone")]
    assert set(ask.ids(*asked)) == {ids[0], ids[1]}
    assert set(ask.ids(("user_id", f"-{ids[0]}"))) == set(ids[1:])


def test_user_id__hundred_with_the_default_limit(clerk: FakeClerk, ask: Ask) -> None:
    """A hundred ids still give ten users without a limit."""
    asked = [("user_id", clerk_id) for clerk_id in clerk.create_users(100)]
    assert len(ask.ids(*asked)) == 10
    assert len(ask.ids(*asked, ("limit", "100"))) == 100


@pytest.mark.parametrize(
    "parameter",
    [
        ("external_id", "crm-1"),
        ("email_address", "Maren@Harbour-Works.io"),
        ("phone_number", "+33639980009"),
        ("username", "MAREN"),
        ("query", "aren.oduya"),
        ("email_address_query", "HARBOUR"),
        ("phone_number_query", "998000"),
        ("username_query", "mar"),
        ("name_query", "maren odu"),
        ("banned", "true"),
        ("last_active_at_after", "4000"),
        ("last_active_at_since", "5000"),
        ("last_sign_in_at_before", "7000"),
    ],
)
def test_filter__finds_one(clerk: FakeClerk, ask: Ask, parameter: tuple[str, str]) -> None:
    """Each filter finds the one user that it describes, in lists and counts."""
    clerk.create_user(email=None, first_name=None, last_name=None, last_active_at=None)
    wanted = clerk.create_user(
        email="maren@harbour-works.io",
        email_addresses=["maren.oduya@tidegate-press.com", "maren@harbour-works.io"],
        first_name="Maren",
        last_name="Oduya",
        username="maren",
        phone_number="+33639980009",
        external_id="crm-1",
        banned=True,
        last_active_at=5_000,
        last_sign_in_at=6_000,
    )
    assert ask.ids(parameter) == [wanted["id"]]
    assert ask.json("GET /v1/users/count", [parameter])["total_count"] == 1


def test_filter__provider(clerk: FakeClerk, ask: Ask) -> None:
    """A provider's own user id finds the user."""
    clerk.create_users(5)
    user = clerk.create_user(provider="google")
    account = user["external_accounts"][0]
    query = (("provider", "oauth_google"), ("provider_user_id", account["provider_user_id"]))
    assert ask.ids(*query) == [user["id"]]


def test_filter__time_bounds_are_strict(clerk: FakeClerk, ask: Ask) -> None:
    """Before and after leave out the millisecond itself."""
    clerk.create_user(created_at=1_000)
    assert ask.ids(("created_at_after", "1000")) == ask.ids(("created_at_before", "1000")) == []
    assert len(ask.ids(("created_at_after", "999"), ("created_at_before", "1001"))) == 1


def test_count__ignores_paging(clerk: FakeClerk, ask: Ask) -> None:
    """A count is of all users whatever the limit."""
    clerk.create_users(12)
    assert ask.json("GET /v1/users/count", [("limit", "5")])["total_count"] == 12


@pytest.mark.parametrize("wire", [b'{"id": "\\ud800"}', b"[" * 3000 + b"]" * 3000, b"\xff\xfe", b""])
def test_set_raw__sent_as_is(clerk: FakeClerk, ask: Ask, wire: bytes) -> None:
    """Bytes that are set for a user stand in lists and reads, whatever they are."""
    clerk_id = clerk.create_user()["id"]
    clerk.set_raw(clerk_id, wire)
    assert ask("GET /v1/users").body == b"[" + wire + b"]"
    assert ask(f"GET /v1/users/{clerk_id}").body == wire


def test_set_raw__outlives_changes(clerk: FakeClerk, ask: Ask) -> None:
    """The bytes stay through a change, and end when they are taken back."""
    clerk_id = clerk.create_user()["id"]
    clerk.set_raw(clerk_id, b"7")
    clerk.update_user(clerk_id, first_name="Marin")
    assert ask("GET /v1/users").body == b"[7]"
    clerk.set_raw(clerk_id, None)
    assert msgspec.json.decode(ask("GET /v1/users").body)[0]["first_name"] == "Marin"
