"""What surrounds every answer: the date, the records, the rate limit."""

from __future__ import annotations

from clerksync.testing import FakeClerk, VirtualClock
from tests.testing.asking import Ask


def test_date__of_the_clock() -> None:
    """The Date header shows the fake's clock, without its fraction of a second."""
    clerk = FakeClerk(clock=VirtualClock(start_ms=1_767_225_600_999))
    assert Ask(clerk)("GET /v1/users").headers["Date"] == "Thu, 01 Jan 2026 00:00:00 GMT"


def test_requests__recorded(clerk: FakeClerk, ask: Ask) -> None:
    """Every request is recorded with its status, and never with its key."""
    ask("GET /v1/users", [("limit", "5")], headers={"User-Agent": "tests"})
    ask("GET /v1/users/user_gone")
    first, second = clerk.requests
    assert (first.method, first.path, first.query, first.status) == (
        "GET",
        "/v1/users",
        (("limit", "5"),),
        200,
    )
    assert first.headers == {"User-Agent": "tests"}
    assert second.status == 404


def test_requests__cleared(clerk: FakeClerk, ask: Ask) -> None:
    """The records can be forgotten."""
    ask("GET /v1/users")
    clerk.clear_requests()
    assert clerk.requests == []


def test_rate_limit__refuses_and_recovers() -> None:
    """Past the limit comes 429 with the seconds to wait, and after them an answer."""
    clerk = FakeClerk(rate_limit=(2, 10))
    ask = Ask(clerk)
    assert ask("GET /v1/users").status == 200
    clerk.advance(seconds=3)
    assert ask("GET /v1/users").status == 200
    refused = ask("GET /v1/users/count")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "7")
    clerk.advance(seconds=7)
    assert ask("GET /v1/users/count").status == 200


def test_rate_limit__never_more_in_any_window() -> None:
    """The window slides: it is not enough to wait for the next full ten seconds."""
    clerk = FakeClerk(rate_limit=(2, 10))
    ask = Ask(clerk)
    clerk.advance(seconds=9)
    statuses = [ask("GET /v1/users").status for _ in range(2)]
    clerk.advance(seconds=2)
    assert [*statuses, ask("GET /v1/users").status] == [200, 200, 429]


def test_rate_limit__not_of_keys() -> None:
    """The key set has no limit."""
    ask = Ask(FakeClerk(rate_limit=(0, 10)))
    assert ask("GET /v1/jwks").status == 200
    assert ask("GET /v1/instance").status == 429


def test_error__trace_ids_differ(ask: Ask) -> None:
    """Each answer has a trace id of its own."""
    assert ask("GET /v1/nowhere").body != ask("GET /v1/nowhere").body
