"""When the next request may go: a share of the rate limit, the pauses that Clerk asks for, deadlines."""

from __future__ import annotations

import hashlib
import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from threading import Event
from typing import Literal, TypeVar

from django.core.cache import cache
from msgspec import Struct

from clerksync import quiet
from clerksync.conf import settings
from clerksync.exceptions import ClerkUnavailable, SyncInterrupted
from clerksync.logs import Log

T = TypeVar("T")
Purpose = Literal["sync", "web"]

logger = logging.getLogger(__name__)

#: Clerk counts per 10 s; a little more is kept, for requests that take longer to arrive than others.
WINDOW = 10.2
#: What of the full rate comes back in 10 s after a 429.
RECOVERY = 0.1
#: A longer Retry-After is not believed; the next 429 says it again.
MAX_PAUSE = 3600.0

_FIRST_BACKOFF, _MAX_BACKOFF = 0.5, 20.0
#: How soon a sleeper notices that nobody waits for it any more, in seconds.
_NAP = 0.2


class Clock(Struct, frozen=True):
    """The time as this process sees it; tests bring their own."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


SYSTEM_CLOCK = Clock()


class Throttle:
    """A bucket of ``rate`` tokens; each comes back 10 s after it was taken.

    So no 10 s ever see more than ``rate`` requests, also after a long rest. A 429
    halves the rate, which then grows back by a tenth of the full one per 10 s, and
    pauses every process that uses the same key and the same cache.
    """

    def __init__(self, *, rate: float, scope: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.full_rate = max(1.0, rate)
        self._scope = scope
        self.clock = clock
        self._lock = threading.Lock()
        self._taken: deque[float] = deque()
        self._lowered_rate = self.full_rate
        self._lowered_at = -math.inf
        self._paused_until = -math.inf

    @property
    def rate(self) -> float:
        """Requests per 10 s at present."""
        windows = max(0.0, self.clock.monotonic() - self._lowered_at) / 10
        return min(self.full_rate, self._lowered_rate + windows * RECOVERY * self.full_rate)

    def take(self) -> float:
        """Take a token and return 0, or return the seconds after which to ask again."""
        elsewhere = self._pause_of_others()
        with self._lock:
            now = self.clock.monotonic()
            while self._taken and self._taken[0] <= now - WINDOW:
                self._taken.popleft()
            wait = max(elsewhere, self._paused_until - now, self._refill(now))
            if wait <= 0:
                self._taken.append(now)
            return max(0.0, wait)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long, and less afterwards: Clerk answered 429."""
        seconds = min(max(0.0, seconds), MAX_PAUSE)
        with self._lock:
            now = self.clock.monotonic()
            # The other requests that were under way get their 429 for the same reason.
            if now >= self._paused_until:
                self._lowered_rate, self._lowered_at = max(1.0, self.rate / 2), now + seconds
            self._paused_until = max(self._paused_until, now + seconds)
        if seconds:
            until = self.clock.wall() + seconds
            ask_cache(lambda: cache.set(self._key, (until, seconds), timeout=math.ceil(seconds)))

    def _refill(self, now: float) -> float:
        """Seconds until the bucket holds a token."""
        rate = int(self.rate)
        return 0.0 if len(self._taken) < rate else self._taken[-rate] + WINDOW - now

    def _pause_of_others(self) -> float:
        pause = ask_cache(lambda: cache.get(self._key))
        if not isinstance(pause, tuple):
            return 0.0
        until, seconds = pause
        # Another machine's clock may be wrong: never wait longer than Clerk asked for.
        return min(float(until) - self.clock.wall(), float(seconds))

    @property
    def _key(self) -> str:
        return f"clerksync:pause:{self._scope}"


_throttles: dict[tuple[str, float], Throttle] = {}
_throttles_lock = threading.Lock()


def throttle_for(*, secret_key: str, api_url: str, purpose: Purpose, rate: float | None = None) -> Throttle:
    """Return the one throttle of this process for a key, a purpose and a rate (requests per 10 s)."""
    rate = allowed_rate(secret_key=secret_key, purpose=purpose) if rate is None else rate
    scope = hashlib.sha256(f"{api_url} {secret_key}".encode()).hexdigest()[:24]
    with _throttles_lock:
        return _throttles.setdefault((f"{purpose} {scope}", rate), Throttle(rate=rate, scope=scope))


def allowed_rate(*, secret_key: str, purpose: Purpose) -> float:
    """Return the requests per 10 s that the settings leave to a sync or to a web process."""
    # https://clerk.com/docs/guides/how-clerk-works/system-limits
    by_kind = 1000.0 if secret_key.startswith(("sk_live_", "live_")) else 100.0
    limit = by_kind if settings.RATE_LIMIT is None else settings.RATE_LIMIT
    return limit * (settings.RATE_SHARE if purpose == "sync" else settings.WEB_RATE_SHARE)


class Patience:
    """The waits of one call: they end at its deadline, or when ``stop`` or ``halt`` is set.

    ``stop`` says that nobody waits for this answer any more, ``halt`` that the whole work ends.
    """

    def __init__(
        self,
        *,
        seconds: float,
        clock: Clock = SYSTEM_CLOCK,
        stop: Event | None = None,
        halt: Event | None = None,
    ) -> None:
        self._clock = clock
        self._stop = stop or Event()
        self._halt = halt or Event()
        self._deadline = clock.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - self._clock.monotonic()

    def check(self) -> None:
        """Raise CancelledError if nobody waits for the answer any more, SyncInterrupted at the end of the work."""
        if self._stop.is_set():
            raise CancelledError
        if self._halt.is_set():
            raise SyncInterrupted("stopped before a request to Clerk; the next run goes on")

    def sleep(self, seconds: float, *, why: str) -> None:
        """Sleep so long; raise ClerkUnavailable at once if the deadline comes before."""
        if seconds >= self.left:
            raise ClerkUnavailable(why)
        end = self._clock.monotonic() + seconds
        while (rest := end - self._clock.monotonic()) > 0:
            self.check()
            self._clock.sleep(min(rest, _NAP))


def backoff(attempt: int) -> float:
    """Return the seconds to wait after so many tries: exponential, with jitter."""
    longest = min(_MAX_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(attempt - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, guards nothing


def ask_cache(question: Callable[[], T]) -> T | None:
    """What a cache answers; None if it does not, since a cache that is down is a miss."""
    try:
        return question()
    except Exception as error:  # noqa: BLE001  # every backend has its own errors, and a cache that is down is a miss
        quiet.warn(logger, Log.CACHE_AWAY, "The cache does not answer, so pauses are not shared: %s", error)
        return None
