"""What the middleware costs a page, beside one verification of a signature: ``python -m tests.benchmarks.pages``.

The contestants take turns in one process, and ratios are of medians. Requests and their answers are
made without a server; what a middleware that does nothing costs is taken off.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import django
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from django.http import HttpRequest, HttpResponse
from jwt.utils import base64url_decode

from tests import databases

_OUT = sys.stdout.write
Contestant = Callable[[list[str]], None]
NOTHING = "a middleware that does nothing"
RSA = "RSA-2048 verification"
#: Targets, in verifications.
TARGETS = {"token seen before": 2, "first sight of a token": 8, "token seen before, async": 2}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pages", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--pages", type=int, default=50, help="in each round")
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    with databases.running():
        django.setup()
        from tests.benchmarks import contest  # noqa: PLC0415  # after the set-up

        contest.prepare()
        medians = _measure(options.rounds, options.pages)
    _OUT(
        f"{databases.kind()}; Python {platform.python_version()}, Django {django.get_version()}, "
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}\n"
    )
    _OUT(f"{'':34}{'us':>8}{'x RSA':>8}{'target':>8}\n")
    for name, seconds in medians.items():
        own = seconds if name in (RSA, NOTHING) else seconds - medians[NOTHING]
        target = TARGETS.get(name, "")
        _OUT(f"{name:34}{own * 1e6:8.1f}{own / medians[RSA]:8.2f}{target:>8}\n")


def _measure(rounds: int, count: int) -> dict[str, float]:
    """Seconds for one page, the median over the rounds."""
    from django.test import override_settings  # noqa: PLC0415  # after the set-up

    from clerksync.testing import FakeClerk, RealClock, serve  # noqa: PLC0415

    clerk = FakeClerk(clock=RealClock())
    users = [clerk.create_user() for _ in range(count)]
    found: dict[str, list[float]] = defaultdict(list)
    with (
        serve(clerk) as served,
        override_settings(
            CLERK_API_URL=served.url,
            CLERK_SECRET_KEY=clerk.secret_key,
            CLERK_PUBLISHABLE_KEY=clerk.publishable_key,
            CLERKSYNC_AUTHORIZED_PARTIES=["https://app.harbour.test"],
            CLERKSYNC_REFRESH_AFTER=None,
        ),
    ):
        contestants = _contestants(clerk)
        for user in users:  # the first page of each reads the user
            contestants["token seen before"]([clerk.token(user)])
        before = len(clerk.requests)
        for number in range(rounds):
            tokens = [clerk.token(user, claims={"round": number}) for user in users]
            for name, contestant in contestants.items():
                started = time.perf_counter()
                contestant(tokens)
                found[name].append((time.perf_counter() - started) / count)
    assert len(clerk.requests) == before, "the steady state asks Clerk nothing"
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def _contestants(clerk: Any) -> dict[str, Contestant]:
    """In this order: the first that sees a token verifies it for those that come after."""
    from clerksync.middleware import ClerkMiddleware  # noqa: PLC0415  # after the set-up

    ours: Any = ClerkMiddleware(_view)
    ours_async: Any = ClerkMiddleware(_async_view)
    return {
        RSA: _verification(clerk.instance.signing_key.public_key()),
        NOTHING: _through(lambda request: _view(request)),
        "first sight of a token": _through(ours),
        "token seen before": _through(ours),
        "token seen before, async": _through_async(ours_async),
        "token seen before, user read": _through(ClerkMiddleware(_view_of_user)),
    }


def _verification(key: Any) -> Contestant:
    padding, digest = PKCS1v15(), SHA256()

    def verify(tokens: list[str]) -> None:
        for token in tokens:
            signed, _, signature = token.rpartition(".")
            key.verify(base64url_decode(signature), signed.encode(), padding, digest)

    return verify


def _through(middleware: Callable[[HttpRequest], object]) -> Contestant:
    def visit(tokens: list[str]) -> None:
        for token in tokens:
            middleware(_request(token))

    return visit


def _through_async(middleware: Callable[[HttpRequest], Awaitable[object]]) -> Contestant:
    async def visit(tokens: list[str]) -> None:
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


if __name__ == "__main__":
    main()
