"""Threads that clerksync begins on its own, which a test must not leave behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from clerksync.pace import LOOKS

#: They use the database: those that look for alarms after a request, and those that a button of the admin begins.
NAMES = frozenset(f"clerksync-{work}" for work in ("alarms", "sync", "full", "audit", "replay"))
PATIENCE = 30


@contextmanager
def no_threads_left(*, patience: float = PATIENCE) -> Iterator[None]:
    """A test begins none by chance, and is not over before those have ended that it has begun.

    A webhook has somebody look for alarms once a minute: in a test that would be the one that happens to
    come then, which in a transaction waits for the lock of its own database. It belongs around a test and
    into the life of its database.

    Args:
        patience: How many seconds each of them is given; one that hangs is left behind.
    """
    LOOKS.restart()
    try:
        yield
    finally:
        for thread in threading.enumerate():
            if thread.name in NAMES and thread is not threading.current_thread():
                thread.join(patience)
