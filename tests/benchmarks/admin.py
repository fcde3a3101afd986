"""Pages and answers from a large table (P12): each with so many queries as from a small one, and none slow.

``PAGES`` names them by group; one more group is one more pair of figures.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from statistics import median

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.benchmarks.filling import Filling, clerk_id, count, email, settle
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes

#: Rows of each table whose pages are compared with those of the large one. More than a list counts.
SMALL = 20_000
ROUNDS = 3
#: 503: ``health`` tells of users in doubt and of events that wait, as there are.
_ANSWERED = (200, 503)

_USERS, _EVENTS, _API = "/admin/clerksync/clerkuser/", "/admin/clerksync/webhookevent/", "/api/users/"
#: Titles of figures, and the addresses that each is made of.
PAGES: Mapping[str, Mapping[str, str]] = {
    "admin list of users": {
        "first page": _USERS,
        "last page": f"{_USERS}?p=100",
        "deleted": f"{_USERS}?state__exact=deleted",
        "banned": f"{_USERS}?banned__exact=1",
        "without e-mail": f"{_USERS}?has_email=no",
        "in doubt": f"{_USERS}?needs_refresh=yes",
        "placeholders": f"{_USERS}?placeholder=found",
        "two filters": f"{_USERS}?state__exact=deleted&has_email=no",
        "search for an address": f"{_USERS}?q={email(777)}",
        "search for a first name": f"{_USERS}?q=First7",
        "search for a last name": f"{_USERS}?q=Last77",
        "search for a full name": f"{_USERS}?q=First7+Last7",
        "search for nobody": f"{_USERS}?q=nobody-at-all",
        "one user": f"{_USERS}{clerk_id(777).replace('_', '_5F')}/change/",
    },
    "admin list of events": {
        "first page": _EVENTS,
        "last page": f"{_EVENTS}?p=100",
        "parked": f"{_EVENTS}?state__exact=parked",
        "applied": f"{_EVENTS}?state__exact=applied",
        "of a type": f"{_EVENTS}?type=user.created",
        "of a day": f"{_EVENTS}?received=day",
        "of a user": f"{_EVENTS}?q={clerk_id(777)}",
        "runs": "/admin/clerksync/syncrun/",
    },
    "admin page Clerk sync": {"Clerk sync": "/admin/clerksync/mirrorstate/"},
    "API list of users": {
        "first page": _API,
        "by id": f"{_API}?ordering=clerk_id",
        "oldest first": f"{_API}?ordering=created_at",
        "deleted": f"{_API}?state=deleted",
        "banned": f"{_API}?banned=true",
        "unverified": f"{_API}?email_verified=false",
        "in doubt": f"{_API}?needs_refresh=true",
        "of an address": f"{_API}?email={email(777)}",
        "search": f"{_API}?search={email(777)}",
        "search for a name": f"{_API}?search=First7+Last7",
        "one user": f"{_API}{clerk_id(777)}/",
    },
    "health/": {"health": "/clerk/health/"},
}


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures: of each group the slowest page, and the most queries more than with a small table."""
    client = staff()
    asked = questions(client)
    filling = Filling(sizes.large_users, sizes.events)
    small_users, small_events = min(SMALL, sizes.large_users // 2), min(SMALL, sizes.events // 2)
    filling.add_users(1, small_users)
    filling.add_events(1, small_events)
    filling.add_runs()
    count()
    settle()
    before = {title: {name: _queries(ask) for name, ask in group.items()} for title, group in asked.items()}
    started = time.perf_counter()
    filling.add_users(small_users + 1, sizes.large_users)
    filling.add_events(small_events + 1, sizes.events)
    count()
    settle()
    yield Result(
        row="P12",
        what="filling the tables",
        measured=time.perf_counter() - started,
        unit=" s",
        detail=f"{sizes.large_users:,} users, {sizes.events:,} events",
    )
    for title, group in asked.items():
        yield from results(title, group, before[title])


def results(
    title: str, group: Mapping[str, Callable[[], object]], before: Mapping[str, int]
) -> Iterator[Result]:
    seconds = {name: median(_seconds(ask) for _ in range(ROUNDS)) for name, ask in group.items()}
    slowest = max(seconds, key=lambda name: seconds[name])
    more = {name: _queries(ask) - before[name] for name, ask in group.items()}
    most = max(more, key=lambda name: more[name])
    told = ", ".join(f"{name} {1000 * taken:.0f} ms" for name, taken in seconds.items())
    yield Result(
        row="P12",
        what=f"{title}: the slowest of {len(group)}",
        measured=seconds[slowest],
        at_most=1,
        unit=" s",
        detail=told,
    )
    yield Result(
        row="P12",
        what=f"{title}: queries more than from a small table",
        measured=more[most],
        at_most=0,
        detail=f"{most}: {before[most]} before",
    )


def questions(client: Client) -> dict[str, dict[str, Callable[[], object]]]:
    """What is asked, by title and name."""
    pages = {
        title: {name: _page(client, address) for name, address in group.items()}
        for title, group in PAGES.items()
    }
    return {**pages, "clerk_status": {"clerk_status": _status}}


def _page(client: Client, address: str) -> Callable[[], object]:
    def ask() -> None:
        response = client.get(address, follow=True)  # the admin's answer to a page that a small table lacks
        if response.status_code not in _ANSWERED:
            raise AssertionError(f"{address}: {response.status_code} {response.content[:300]!r}")

    return ask


def _status() -> None:
    with suppress(SystemExit):  # for the same
        call_command("clerk_status", stdout=io.StringIO())


def _seconds(ask: Callable[[], object]) -> float:
    started = time.perf_counter()
    ask()
    return time.perf_counter() - started


def _queries(ask: Callable[[], object]) -> int:
    """How many it takes, the templates and caches being warm."""
    ask()
    with CaptureQueriesContext(connection) as queries:
        ask()
    return len(queries)


def staff() -> Client:
    """Somebody who may see everything."""
    client = Client(raise_request_exception=True)
    client.force_login(User.objects.create_superuser("rhona"))
    return client
