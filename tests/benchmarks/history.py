"""What the change history adds to a write: the same pages with it and without it, taking turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from django.test import override_settings

from clerksync import mirror
from clerksync.models import ClerkUser, ClerkUserChange
from clerksync.payloads import Parser, Source
from clerksync.testing import FakeClerk
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes
from tests.benchmarks.turns import ratio, take_turns, tell, timed

#: Users of a list page.
_PAGE = 500


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures: for users who are all new, and for users who have all changed."""
    users = min(sizes.users, 20_000)
    clerk = FakeClerk(seed=3)
    clerk.create_users(users)
    people = clerk.users()
    for what, prepares in (("all new", False), ("all changed", True)):
        contestants: dict[str, Callable[[], float]] = {
            name: _contestant(people, history=history, prepares=prepares)
            for name, history in (("without", False), ("with", True))
        }
        times = take_turns(contestants, max(sizes.rounds, 3))
        yield Result(
            row="history",
            what=f"a sync's parsing and writing with the change history, against without, {what}",
            measured=ratio(times, "with", "without"),
            at_most=1.25,
            detail=tell(times, "without", "with", users=users),
        )


def _contestant(people: list[dict[str, Any]], *, history: bool, prepares: bool) -> Callable[[], float]:
    first = _bodies(people)
    second = _bodies([{**user, "first_name": "Zoë", "updated_at": user["updated_at"] + 1} for user in people])

    def run() -> float:
        ClerkUser.objects.all().delete()
        ClerkUserChange.objects.all().delete()
        with override_settings(CLERKSYNC_HISTORY=history):
            if prepares:
                _write(first)
            return timed(lambda: _write(second if prepares else first))

    return run


def _bodies(people: list[dict[str, Any]]) -> list[bytes]:
    pages = (people[start : start + _PAGE] for start in range(0, len(people), _PAGE))
    return [json.dumps(page).encode() for page in pages]


def _write(bodies: list[bytes]) -> None:
    """As a sync does, page by page, but for the requests."""
    parser = Parser.from_settings()
    for body in bodies:
        with mirror.page_transaction():
            mirror.apply(parser.parse_page(body, source=Source.LIST, observed_ms=None))
