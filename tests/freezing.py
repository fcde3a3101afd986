"""Stops a process that writes to the tables, without leaving anybody locked out."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing

from django.db import OperationalError, connection, transaction

from clerksync.models import MirrorState, ScheduledJob


def freeze(pid: int) -> None:
    """Stop a process, but not while it holds a lock: everybody else would wait for that."""
    for _ in range(100):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.02)
        if _is_free():
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.02)
    raise AssertionError("the process is in a transaction whenever it is stopped")


def _is_free() -> bool:
    """Whether somebody else could write what a sync writes first."""
    try:
        if connection.vendor == "sqlite":
            with closing(sqlite3.connect(str(connection.settings_dict["NAME"]), timeout=0.1)) as other:
                other.execute("BEGIN IMMEDIATE")
                other.rollback()
        else:
            with transaction.atomic():
                list(MirrorState.objects.select_for_update(nowait=True))
                list(ScheduledJob.objects.select_for_update(nowait=True))
    except (OperationalError, sqlite3.OperationalError):
        return False
    return True
