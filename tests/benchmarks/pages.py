"""What the middleware costs a page, beside one verification of a signature (P10).

Requests and their answers are made without a server; what a middleware that does nothing costs is taken off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test.utils import CaptureQueriesContext

from clerksync.middleware import ClerkMiddleware
from clerksync.testing import FakeClerk
from tests.benchmarks import visitors
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes
from tests.benchmarks.visitors import RSA, Contestant

_PAGES = 50
_NOTHING = "a middleware that does nothing"
_SEEN, _SEEN_ASYNC, _USER = "token seen before", "token seen before, under ASGI", "the user read as well"
#: In verifications.
_TARGETS = {_SEEN: 2.0, _SEEN_ASYNC: 2.0}


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures."""
    with visitors.served_clerk(CLERKSYNC_REFRESH_AFTER=None) as clerk:
        users = [clerk.create_user() for _ in range(_PAGES)]
        contestants = _contestants(clerk)
        for user in users:  # the first page of each reads the user
            contestants[_SEEN]([clerk.token(user)])
        before = len(clerk.requests)
        turns = (
            [clerk.token(user, claims=visitors.claims(number)) for user in users]
            for number in range(sizes.turns)
        )
        seconds = visitors.medians(contestants, turns)
        reads = _reads(contestants[_USER], clerk.token(users[0]))
        asked = len(clerk.requests) - before
    for name in (_SEEN, _SEEN_ASYNC, _USER):
        own = seconds[name] - seconds[_NOTHING]
        yield Result(
            row="P10",
            what=f"{name}, against one verification",
            measured=own / seconds[RSA],
            at_most=_TARGETS.get(name),
            detail=f"{own * 1e6:.1f} us, the verification {seconds[RSA] * 1e6:.1f} us",
        )
    yield Result(row="P10", what="reads of a page that needs the user", measured=reads, at_most=1)
    yield Result(row="P10", what="requests to Clerk", measured=asked, at_most=0)


def _reads(contestant: Contestant, token: str) -> int:
    contestant([token])
    with CaptureQueriesContext(connection) as queries:
        contestant([token])
    return len(queries)


def _contestants(clerk: FakeClerk) -> dict[str, Contestant]:
    """In this order: the first that sees a token verifies it for those that come after."""
    ours: Any = ClerkMiddleware(_view)
    ours_async: Any = ClerkMiddleware(_async_view)
    return {
        RSA: visitors.verification(clerk),
        _NOTHING: _through(lambda request: _view(request)),
        "first sight of a token": _through(ours),
        _SEEN: _through(ours),
        _SEEN_ASYNC: _through_async(ours_async),
        _USER: _through(ClerkMiddleware(_view_of_user)),
    }


def _through(middleware: Callable[[HttpRequest], object]) -> Contestant:
    def visit(tokens: Sequence[str]) -> None:
        for token in tokens:
            middleware(_request(token))

    return visit


def _through_async(middleware: Callable[[HttpRequest], Awaitable[object]]) -> Contestant:
    async def visit(tokens: Sequence[str]) -> None:
        for token in tokens:
            await middleware(_request(token))

    return lambda tokens: asyncio.run(visit(tokens))


def _request(token: str) -> HttpRequest:
    request = HttpRequest()
    request.META["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return request


def _view(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


async def _async_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def _view_of_user(request: Any) -> HttpResponse:
    assert request.clerk_user.clerk_id
    return HttpResponse()
