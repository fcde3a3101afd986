"""Messages to the addresses of CLERKSYNC_ALERT_SECRET_URLS; the only user of apprise.

An address holds the key to what it leads to. apprise, and urllib3 below it, name addresses in their logs, so
these are silent meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from apprise import Apprise, NotifyFormat


def is_understood(url: str) -> bool:
    """Whether apprise knows what to do with an address; nothing is sent."""
    with _silence():
        return Apprise.instantiate(url) is not None


def push(url: str, title: str, body: str) -> bool:
    """Send a message; returns whether it was accepted."""
    with _silence():
        service = Apprise.instantiate(url)
        if service is None:
            return False
        # By the service itself: Apprise.notify would do it in another thread, which would not be silent.
        return bool(service.notify(title=title, body=body, body_format=NotifyFormat.TEXT))


_TALKATIVE = ("apprise", "urllib3.connectionpool", "urllib3.util.retry", "requests")


class _Others(logging.Filter):
    """Lets pass what other threads log."""

    def __init__(self) -> None:
        super().__init__()
        self._here = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._here


@contextmanager
def _silence() -> Iterator[None]:
    loggers, others = [logging.getLogger(name) for name in _TALKATIVE], _Others()
    for logger in loggers:
        logger.addFilter(others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(others)
