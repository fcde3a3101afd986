"""Work that somebody asks for on a page: begun elsewhere, so that the page need not wait for it.

By the scheduler if one is alive, else by a worker if tasks are queued, else by a thread of this
process. Such a thread ends with its process: a sync is then gone on with by the next one, like any
that was cut.
"""

from __future__ import annotations

import logging
import threading
from enum import StrEnum

from django.utils.module_loading import import_string
from msgspec import Struct

from clerksync import attempts, jobs
from clerksync.attempts import Told
from clerksync.logs import Log, told
from clerksync.schedule import Part

logger = logging.getLogger(__name__)


class Work(StrEnum):
    """What can be asked for."""

    #: Read who was changed.
    SYNC = "sync"
    #: Read everybody, and find out who is gone.
    FULL = "full"
    #: Compare with Clerk, and mend nothing.
    AUDIT = "audit"
    #: Replay all events that are failed or parked.
    REPLAY = "replay"


class Where(StrEnum):
    """Who does it."""

    SCHEDULER = "scheduler"
    QUEUE = "queue"
    HERE = "here"


class Launch(Struct, frozen=True):
    """What became of it; ``told`` is how it ended, or None if it has not yet.

    ``is_new`` is False if the scheduler, which does it once more then, or this process was at it already.
    """

    where: Where
    told: Told | None = None
    is_new: bool = True


def launch(work: Work, *, patience: float = 0) -> Launch:
    """Have it done; belongs outside of transactions.

    Args:
        work: What.
        patience: Wait so many seconds for a thread of this process to end.

    Raises:
        django.db.Error: The database failed.
    """
    part = _PARTS.get(work)
    if part is not None and jobs.hasten(part):
        return Launch(Where.SCHEDULER, is_new=not jobs.is_at_work(part))
    if _is_queued(work):
        return Launch(Where.QUEUE)
    return _begin_here(work, patience)


def _is_queued(work: Work) -> bool:
    """Whether a worker will do it."""
    try:
        # By name: Django's tasks may not be installed.
        queued: bool = import_string("clerksync.tasks.enqueue")(_TASKS[work])
    except ImportError:
        return False
    except Exception as error:  # noqa: BLE001  # every backend has its own errors, and this process can do it instead
        logger.warning(
            "%s was not put into the queue of tasks (%s)",
            work,
            type(error).__name__,
            extra=told(Log.WORK_NOT_QUEUED, work=work.value),
        )
        return False
    return queued


_at_work: dict[Work, threading.Thread] = {}
_lock = threading.Lock()


def _begin_here(work: Work, patience: float) -> Launch:
    endings: list[Told] = []
    with _lock:
        running = _at_work.get(work)
        if running is not None and running.is_alive():
            return Launch(Where.HERE, is_new=False)
        # A daemon: a process that is to end is not kept by it.
        thread = threading.Thread(
            target=lambda: endings.append(attempts.guard(work, lambda: _call(work))),
            name=f"clerksync-{work}",
            daemon=True,
        )
        _at_work[work] = thread
        thread.start()
    thread.join(patience)
    return Launch(Where.HERE, told=endings[0] if endings else None)


def _call(work: Work) -> dict[str, int]:
    # Here, so that a process whose pages only offer the work does not load every sync at its start.
    from clerksync import parts  # noqa: PLC0415

    part = _PARTS.get(work)
    return parts.replay_all() if part is None else parts.run(part)


_PARTS = {Work.SYNC: Part.INCREMENTAL, Work.FULL: Part.FULL, Work.AUDIT: Part.AUDIT}
_TASKS = {
    Work.SYNC: "sync_incremental",
    Work.FULL: "sync_full",
    Work.AUDIT: "audit_users",
    Work.REPLAY: "replay_events",
}
