"""Where the fake Clerk of each test plays: one socket for many tests, and settings that point to it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.core.cache import caches
from django.test.utils import override_settings

from clerksync.testing.clerk import FakeClerk
from clerksync.testing.clock import VirtualClock
from clerksync.testing.deliveries import WEBHOOK_SECRET
from clerksync.testing.server import HOST, serve
from clerksync.testing.wire import Request, Response

#: Brings settings into force for the time of a block, or for longer.
Apply = Callable[[dict[str, Any]], AbstractContextManager[object]]

_IN_MEMORY = "django.core.cache.backends.locmem.LocMemCache"


class Stage:
    """Serves the fake Clerk of one test after the other."""

    def __init__(self) -> None:
        self.url = ""
        self._clerk = _new_clerk()

    def handle(self, request: Request) -> Response:
        """Let the present test's Clerk answer; an earlier one's client has a key that it does not take."""
        return self._clerk.handle(request)

    @contextmanager
    def fresh_clerk(self, apply: Apply | None = None) -> Iterator[FakeClerk]:
        """Serve an empty Clerk, and let the settings name its address and its keys.

        They do so until the block ends, or as long as ``apply`` says, which is given the settings.
        What clerksync keeps by key (budgets, pauses) begins anew, because each Clerk has a key of its
        own. Django's caches are emptied if they are in memory; others may not belong to the tests.
        """
        self._clerk = _new_clerk()
        _empty_caches()
        try:
            with (apply or _override)(self._settings()):
                yield self._clerk
        finally:
            _empty_caches()

    def _settings(self) -> dict[str, Any]:
        return {
            "CLERK_API_URL": self.url,
            "CLERK_SECRET_KEY": self._clerk.secret_key,
            "CLERK_PUBLISHABLE_KEY": self._clerk.publishable_key,
            "CLERK_WEBHOOK_SIGNING_SECRET": WEBHOOK_SECRET,
            "CLERKSYNC_RATE_LIMIT": 1_000_000,
        }


def _override(values: dict[str, Any]) -> AbstractContextManager[object]:
    return override_settings(**values)


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Serve on the loopback address until the block ends."""
    stage = Stage()
    with _no_proxy(), serve(stage) as served:
        stage.url = served.url
        yield stage


def _new_clerk() -> FakeClerk:
    """Return an empty development instance; its clock stands still, at a whole second."""
    return FakeClerk(
        environment="development",
        secret_key=f"sk_test_{secrets.token_hex(20)}",
        clock=VirtualClock(start_ms=int(time.time()) * 1000),
    )


def _empty_caches() -> None:
    for alias in caches:
        if caches.settings[alias]["BACKEND"] == _IN_MEMORY:
            caches[alias].clear()


@contextmanager
def _no_proxy() -> Iterator[None]:
    """Keep requests to the loopback address from a proxy that the environment names."""
    before = os.environ.get("no_proxy")
    others = before or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = f"{others},{HOST}" if others else HOST
    try:
        yield
    finally:
        if before is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = before
