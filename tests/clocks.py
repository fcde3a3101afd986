"""Clocks: one for throttles and waits that passes at once, one for Clerk that runs and can be moved."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from clerksync.testing import VirtualClock
from clerksync.throttle import Clock


class VirtualTime:
    """Time that passes only by sleeping; ``slept`` says how long in all."""

    def __init__(self, *, on_sleep: Callable[[float], object] = lambda seconds: None) -> None:
        self.now = 1_000_000.0
        self.slept = 0.0
        self._on_sleep = on_sleep
        self._lock = threading.Lock()

    @property
    def clock(self) -> Clock:
        """What to give to a throttle."""
        return Clock(monotonic=lambda: self.now, wall=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        """Pass the time."""
        with self._lock:
            self.now += seconds
            self.slept += seconds
        self._on_sleep(seconds)


class RunningClock(VirtualClock):
    """A clock of Clerk's that begins with the system's time, runs, and can be moved."""

    def __init__(self) -> None:
        super().__init__(start_ms=time.time_ns() // 1_000_000)
        self._began = time.monotonic_ns()

    def now_ms(self) -> int:
        """Return the present time in milliseconds since the epoch."""
        return super().now_ms() + (time.monotonic_ns() - self._began) // 1_000_000
