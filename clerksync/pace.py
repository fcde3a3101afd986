"""What a process does once in a while, however often it is asked."""

from __future__ import annotations

import time
from datetime import timedelta


class Pace:
    """At most once in so many seconds, the first time so many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Begin to count anew."""
        self._began = time.monotonic()

    def is_time(self) -> bool:
        """Whether the time has come; if so it begins anew."""
        is_over = time.monotonic() - self._began >= self._seconds
        if is_over:
            self.restart()
        return is_over


#: How often those look who are asked often.
SELDOM = timedelta(minutes=1)
#: When webhooks have somebody look.
LOOKS = Pace(SELDOM.total_seconds())
