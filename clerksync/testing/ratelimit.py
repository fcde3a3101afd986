"""Clerk's rate limit: so many requests in any window of so many seconds."""

from __future__ import annotations

from collections import deque

from clerksync.testing.wire import Refusal


class RateLimit:
    """Counts requests by the fake's clock; a refused one does not count."""

    def __init__(self, *, requests: int, seconds: float) -> None:
        self.requests = requests
        self.window_ms = round(seconds * 1000)
        self._seen: deque[int] = deque()

    def admit(self, *, now_ms: int) -> int:
        """Count a request and return 0, or return the seconds (at least 1) until one is admitted."""
        while self._seen and self._seen[0] <= now_ms - self.window_ms:
            self._seen.popleft()
        if len(self._seen) < self.requests:
            self._seen.append(now_ms)
            return 0
        wait_ms = self._seen[0] + self.window_ms - now_ms if self._seen else self.window_ms
        return max(1, -(-wait_ms // 1000))


def too_many_requests(*, seconds: int | None) -> Refusal:
    """Return the refusal of a request past the limit."""
    meta = {} if seconds is None else {"resets_in": seconds}
    return Refusal(
        429,
        code="too_many_requests",
        message="Too many requests",
        long_message="Too many requests. Please try again in a bit.",
        meta=meta,
    )
