"""The clocks that a fake Clerk can go by, in milliseconds since the epoch."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What a fake Clerk asks of its clock."""

    def now_ms(self) -> int:
        """Return the present time in milliseconds since the epoch."""


class RealClock:
    """The system's time."""

    def now_ms(self) -> int:
        """Return the system's time in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000


class VirtualClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, *, start_ms: int = 1_767_225_600_000) -> None:
        self._now_ms = start_ms
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        """Return the clock's time in milliseconds since the epoch."""
        with self._lock:
            return self._now_ms

    def advance(self, *, ms: int = 0, seconds: float = 0) -> int:
        """Move the clock (backwards, if negative) and return its new time in milliseconds."""
        with self._lock:
            self._now_ms += ms + round(seconds * 1000)
            return self._now_ms
