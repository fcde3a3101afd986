"""A clock for throttles and waits that passes at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

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
