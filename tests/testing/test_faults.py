"""Which faults a request meets."""

from __future__ import annotations

from typing import Any

import pytest

from clerksync.testing import FakeClerk, Request, Response
from tests.testing.asking import Ask


def _statuses(ask: Ask, count: int, *, endpoint: str = "GET /v1/users") -> list[int]:
    return [ask(endpoint).status for _ in range(count)]


def test_times__once_by_default(clerk: FakeClerk, ask: Ask) -> None:
    """A fault meets one request unless it is told otherwise."""
    fault = clerk.fail(503)
    assert _statuses(ask, 2) == [503, 200]
    assert fault.fired == 1


def test_times__for_ever(clerk: FakeClerk, ask: Ask) -> None:
    """A fault without an end lasts until the faults are cleared."""
    clerk.fail(500, times=None)
    assert _statuses(ask, 3) == [500, 500, 500]
    clerk.clear_faults()
    assert _statuses(ask, 1) == [200]


def test_after__lets_some_pass(clerk: FakeClerk, ask: Ask) -> None:
    """A fault can wait for so many requests."""
    clerk.fail(503, after=2)
    assert _statuses(ask, 4) == [200, 200, 503, 200]


def test_on__other_endpoints_pass(clerk: FakeClerk, ask: Ask) -> None:
    """A fault of the list does not touch the count."""
    clerk.fail(503)
    assert _statuses(ask, 1, endpoint="GET /v1/users/count") == [200]


@pytest.mark.parametrize("on", ["GET /v1/users/{id}", "GET /v1/users/user_here", "*"])
def test_on__routes_and_paths(clerk: FakeClerk, ask: Ask, on: str) -> None:
    """A fault is armed for a route, for one path or for everything."""
    clerk.create_user(clerk_id="user_here")
    clerk.fail(503, on=on)
    assert _statuses(ask, 2, endpoint="GET /v1/users/user_here") == [503, 200]


def test_queue__one_replacement_at_a_time(clerk: FakeClerk, ask: Ask) -> None:
    """Faults that replace the answer come one after the other."""
    clerk.fail(503)
    clerk.fail(429, retry_after=1)
    assert _statuses(ask, 3) == [503, 429, 200]


def test_queue__others_add_up(clerk: FakeClerk, ask: Ask) -> None:
    """Faults that only alter an answer meet the same request."""
    clerk.create_users(4)
    clerk.fail("half_page")
    clerk.fail("no_date")
    response = ask("GET /v1/users")
    assert response.body.count(b'"object":"user"') == 2
    assert "Date" not in response.headers


@pytest.mark.parametrize(("kind", "options"), [("sneeze", {}), ("slow", {"minutes": 1}), (503, {"by": 1})])
def test_fail__unknown(clerk: FakeClerk, kind: str | int, options: dict[str, Any]) -> None:
    """A kind or an option that does not exist is an error of the test."""
    with pytest.raises(ValueError, match=r"no fault|takes no"):
        clerk.fail(kind, **options)


def test_callback__runs_before_the_answer(clerk: FakeClerk, ask: Ask) -> None:
    """A callback may change the users between two pages."""
    ids = clerk.create_users(3)

    def delete_the_last(_request: Request) -> None:
        clerk.delete_user(ids[-1])

    clerk.fail("callback", call=delete_the_last, after=1)
    assert len(ask.ids()) == 3
    assert ask.ids() == [ids[1], ids[0]]


def test_callback__replaces_the_answer(clerk: FakeClerk, ask: Ask) -> None:
    """A response that a callback returns is sent."""
    clerk.fail("callback", call=lambda _: Response(418, {}, b"short and stout"))
    assert ask("GET /v1/users").body == b"short and stout"


def test_parameters_ignored__each(clerk: FakeClerk, ask: Ask) -> None:
    """A part of the query can be overlooked."""
    ids = clerk.create_users(30)
    ascending = ("order_by", "+created_at")
    clerk.fail("limit_ignored")
    assert len(ask.ids(("limit", "30"))) == 10
    clerk.fail("cursor_ignored")
    assert ask.ids(ascending, ("limit", "5"), ("starting_after", ids[4])) == ids[:5]
    clerk.fail("offset_ignored")
    assert ask.ids(ascending, ("limit", "5"), ("offset", "5")) == ids[:5]
    clerk.fail("order_ignored")
    assert ask.ids(ascending, ("limit", "5")) == ids[:-6:-1]
    clerk.fail("filter_ignored")
    assert len(ask.ids(("user_id", ids[0]), ("limit", "30"))) == 30


def test_filter_ignored__by_name(clerk: FakeClerk, ask: Ask) -> None:
    """One filter can be overlooked while the others hold."""
    ids = clerk.create_users(3)
    clerk.ban_user(ids[1])
    clerk.fail("filter_ignored", name="user_id")
    assert ask.ids(("user_id", ids[0]), ("banned", "true")) == [ids[1]]


def test_shuffle_ties__another_order_each_time(clerk: FakeClerk, ask: Ask) -> None:
    """Users of the same millisecond change places between two answers, and nobody else does."""
    clerk.create_users(30, first_created_at=1_000, spacing_ms=0)
    steady = clerk.create_users(2, first_created_at=2_000)
    clerk.fail("shuffle_ties", times=2)
    first, second = (ask.ids(("order_by", "created_at"), ("limit", "50")) for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second)
    assert first[-2:] == second[-2:] == steady
