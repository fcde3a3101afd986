"""How a page asks for one user: of Clerk at once, or by a doubt that the drain settles."""

from __future__ import annotations

import time
from functools import lru_cache

from clerksync import mirror
from clerksync.client import ClerkClient
from clerksync.conf import settings
from clerksync.payloads import Observation, Parser, Source
from clerksync.reads import Reader, later_than


def read_user(clerk_id: str) -> None:
    """Read a user from Clerk within ``CLERKSYNC_REFRESH_TIMEOUT`` and apply the answer.

    Raises:
        ClerkError: Clerk did not give the user.
        DeletesRefused: The user is gone, and the breaker lets no more users go.
    """
    reader = Reader(_client(), Parser.from_settings(), provenance="session")
    rows = mirror.read([clerk_id])
    mirror.apply([later_than(rows, reader.read(clerk_id))])


def mark(clerk_id: str, at_ms: int) -> None:
    """Put a user in doubt, for the drain; one who is not known becomes an incomplete row."""
    wish = Observation(
        clerk_id=clerk_id, source=Source.CLAIMS, full=False, observed_ms=at_ms, provenance="session"
    )
    mirror.apply([wish])


def _client() -> ClerkClient:
    return _client_for(
        settings.CLERK_SECRET_KEY,
        settings.CLERK_API_URL,
        float(settings.REFRESH_TIMEOUT),
        tuple(settings.API_TIMEOUT),
    )


@lru_cache(maxsize=4)
def _client_for(key: str, api_url: str, deadline: float, timeout: tuple[float, float]) -> ClerkClient:
    """One client for all pages, so that its connections are used again."""
    return ClerkClient(secret_key=key, api_url=api_url, purpose="web", timeout=timeout, deadline=deadline)


def now_ms() -> int:
    """The time of Clerk's clock, as far as it is known."""
    return _client().now_ms() if settings.CLERK_SECRET_KEY else time.time_ns() // 1_000_000
