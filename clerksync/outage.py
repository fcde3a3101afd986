"""Whether Clerk was out of reach a moment ago: then no page waits for it to find out again."""

from __future__ import annotations

import hashlib
import time

from django.core.cache import cache

from clerksync.conf import settings
from clerksync.throttle import ask_cache

#: Seconds for which nobody tries after a time-out.
PAUSE = 15

_until: dict[str, float] = {}


def is_on() -> bool:
    """Whether a read of a page has failed just now, in this process or in another with the same cache."""
    key = _key()
    if _until.get(key, 0.0) > time.monotonic():
        return True
    return ask_cache(lambda: cache.get(key)) is True


def begin() -> None:
    """Let nobody try for a while."""
    key = _key()
    _until.clear()
    _until[key] = time.monotonic() + PAUSE
    ask_cache(lambda: cache.set(key, True, timeout=PAUSE))  # noqa: FBT003  # the value


def _key() -> str:
    scope = f"{settings.CLERK_API_URL} {settings.CLERK_SECRET_KEY}"
    return f"clerksync:outage:{hashlib.sha256(scope.encode()).hexdigest()[:24]}"
