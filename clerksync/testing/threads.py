"""Threads that clerksync begins on its own, which a test must not leave behind."""

from __future__ import annotations

import threading

#: They use the database: those that look for alarms after a request, and those that a button of the admin begins.
NAMES = frozenset(f"clerksync-{work}" for work in ("alarms", "sync", "full", "audit", "replay"))
PATIENCE = 30


def wait_for_threads(*, patience: float = PATIENCE) -> None:
    """Wait for such threads to end; belongs behind a test and before its database is taken away.

    Args:
        patience: How many seconds each of them is given; one that hangs is left behind.
    """
    for thread in threading.enumerate():
        if thread.name in NAMES and thread is not threading.current_thread():
            thread.join(patience)
