"""Twins of a fake Clerk, one for each database, and everything that works on one of them.

Both live the same life: same seed, same changes, same clock. Only one side acts at a time, so one
socket serves whichever that is, and every clock of the machine is that side's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from django.conf import settings as django_settings
from django.test import Client, override_settings

from clerksync import known
from clerksync.client import ClerkClient
from clerksync.models import ClerkUser, ForgottenUser, MirrorState, SyncRun, WebhookEvent
from clerksync.testing import FakeClerk, Request, Response, VirtualClock, serve
from clerksync.testing.listing import UnknownCursor
from clerksync.throttle import Clock, Throttle, throttle_for
from tests.routers import use_database
from tests.session_tokens import pem

T = TypeVar("T")

#: Each side has a key of its own: what a process keeps by key is not shared, as it would not be by two sites.
KEY = "sk_test_invented_for_the_machine_{alias}"
RATE = 1_000_000
#: Clerk's time is so far behind ours: its tokens and events are never from our future, and never too old.
BEHIND_MS = 12 * 3_600_000
#: Rows of a page, so that few users make many pages; those of the head must be more than overlap.
LISTED, CHANGED = 4, 12


class SmallPages(FakeClerk):
    """A Clerk that gives fewer users at once than it is asked for."""

    def handle(self, request: Request) -> Response:
        """Answer a request."""
        return super().handle(replace(request, query=[*map(self._capped(request), request.query)]))

    def _capped(self, request: Request) -> Callable[[tuple[str, str]], tuple[str, str]]:
        names = dict(request.query)
        most = LISTED if names.get("order_by") == "+created_at" else CHANGED
        return lambda pair: ("limit", str(min(int(pair[1]), most))) if _is_cap(pair, names) else pair


def _is_cap(pair: tuple[str, str], names: dict[str, str]) -> bool:
    return pair[0] == "limit" and "user_id" not in names


class Twins:
    """Both sides, and the one that acts."""

    def __init__(self) -> None:
        self.clerks: dict[str, SmallPages] = {}
        self._acting: SmallPages | None = None
        self.clock = Clock(monotonic=self._seconds, wall=self._seconds, sleep=self._sleep)

    @property
    def acting(self) -> SmallPages:
        """The side that acts."""
        assert self._acting is not None
        return self._acting

    def handle(self, request: Request) -> Response:
        """Answer what the acting side's client asks."""
        return self.acting.handle(request)

    def begin(self, *, unknown_cursor: UnknownCursor) -> None:
        """Let two new instances, and two empty tables, take the place of the old ones."""
        start_ms = int(time.time()) * 1000 - BEHIND_MS
        for alias in django_settings.DATABASES:
            self.clerks[alias] = SmallPages(
                seed=1,
                secret_key=KEY.format(alias=alias),
                environment="development",
                clock=VirtualClock(start_ms=start_ms),
                unknown_cursor=unknown_cursor,
            )
            for model in (ClerkUser, ForgottenUser, MirrorState, SyncRun, WebhookEvent):
                model._default_manager.using(alias).all().delete()

    def each(self, act: Callable[[SmallPages], T]) -> T:
        """Act on both sides, with the same result."""
        results = [self.on(alias, act) for alias in self.clerks]
        assert all(result == results[0] for result in results), "I15: the databases differ"
        assert len({clerk.clock.now_ms() for clerk in self.clerks.values()}) == 1
        return results[0]

    def on(self, alias: str, act: Callable[[SmallPages], T]) -> T:
        """Act on one side."""
        self._acting = self.clerks[alias]
        with use_database(alias):
            return act(self._acting)

    def client(self) -> ClerkClient:
        """A client for the acting side."""
        throttle = Throttle(rate=RATE, scope="machine", clock=self.clock)
        return ClerkClient(secret_key=self.acting.secret_key, throttle=throttle)

    def _seconds(self) -> float:
        return self.acting.clock.now_ms() / 1000

    def _sleep(self, seconds: float) -> None:
        self.acting.advance(seconds=seconds)


@contextmanager
def open_twins() -> Iterator[Twins]:
    """Serve them, with settings that point there, until the block ends."""
    twins = Twins()
    with ExitStack() as stack:
        served = stack.enter_context(serve(twins))
        stack.enter_context(override_settings(**_settings(served.url)))
        _keep_virtual_time(served.url, twins.clock)
        yield twins


def _settings(url: str) -> dict[str, Any]:
    instance = FakeClerk(environment="development").instance
    return {
        "CLERK_API_URL": url,
        "CLERK_PUBLISHABLE_KEY": instance.publishable_key,
        "CLERK_JWT_KEY": pem(instance.signing_key),
        "CLERKSYNC_RATE_LIMIT": RATE,
        "CLERKSYNC_CLAIM_FIELDS": {"first": "first_name"},
        "ROOT_URLCONF": "tests.pages",
    }


def _keep_virtual_time(url: str, clock: Clock) -> None:
    """Let the clients that read for pages, which the product makes, go by the machine's clock as well.

    With the system's they would stamp what they read some milliseconds earlier or later each time.
    """
    for alias in django_settings.DATABASES:
        throttle_for(secret_key=KEY.format(alias=alias), api_url=url, purpose="web").clock = clock


def load_page(clerk: FakeClerk, clerk_id: str, claims: dict[str, Any]) -> dict[str, Any]:
    """Load a page with a really signed token, minted now by Clerk's clock, in a process that knows nobody yet."""
    known._known.clear()
    minted_at = clerk.clock.now_ms() / 1000
    headers = clerk.bearer(clerk_id, claims={"iat": minted_at, "nbf": minted_at, **claims})
    with override_settings(CLERK_SECRET_KEY=clerk.secret_key):
        response = Client().get("/user/", headers=headers)
    assert response.status_code == 200, response.content
    told: dict[str, Any] = response.json()
    return told
