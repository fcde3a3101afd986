"""Parts of clerksync as Django tasks: ``django.tasks``, or the package django-tasks before Django 6.0.

A part that could not do its work raises, so that its task is failed and holds the error. None is
tried again by itself: enqueue it periodically, from whatever enqueues your periodic tasks.
"""

from __future__ import annotations

import logging

from clerksync import alarms, pagereads, parts
from clerksync.exceptions import LeaseHeld
from clerksync.logs import Log, told
from clerksync.schedule import Part

try:
    from django.tasks import task
    from django.tasks.backends.dummy import DummyBackend
    from django.tasks.backends.immediate import ImmediateBackend
except ImportError:  # Django 5.2: the same, in a package
    from django_tasks import task  # type: ignore[no-redef]
    from django_tasks.backends.dummy import DummyBackend  # type: ignore[assignment]
    from django_tasks.backends.immediate import ImmediateBackend  # type: ignore[assignment]


logger = logging.getLogger(__name__)


@task()
def sync_incremental() -> dict[str, int]:
    """Read who was changed since the last sync; returns counts by name.

    Raises:
        ClerkSyncError: Not everything could be read and written.
    """
    return _run(Part.INCREMENTAL)


@task()
def sync_full() -> dict[str, int]:
    """Read everybody, and find out who is gone; goes on with a sync that was cut; returns counts by name.

    Raises:
        ClerkSyncError: Not everything could be read and written.
        DeletesRefused: More users are gone than may be deleted.
    """
    return _run(Part.FULL)


@task()
def drain_pending() -> dict[str, int]:
    """Read the users in doubt again whose time has come; returns counts by name.

    Raises:
        ClerkSyncError: Clerk did not give them.
    """
    return _run(Part.PENDING)


@task()
def retry_events() -> dict[str, int]:
    """Replay the events that are failed or parked and due; returns how many ended in which state."""
    return _run(Part.EVENTS)


@task()
def prune_events() -> dict[str, int]:
    """Let go of old events, of the records of old small syncs and of deleted users; returns how many."""
    return _run(Part.PRUNE)


@task()
def replay_events() -> dict[str, int]:
    """Replay all events that are failed or parked, due or not; returns how many ended in which state."""
    with alarms.looked_at_afterwards():
        return parts.replay_all()


@task()
def audit_users() -> dict[str, int]:
    """Compare the table with Clerk, and mend nothing; returns how many findings there are, by kind.

    Raises:
        ClerkSyncError: The audit could not be done.
    """
    return _run(Part.AUDIT)


@task()
def read_user(clerk_id: str) -> None:
    """Read one user from Clerk, and write what comes.

    Raises:
        ClerkError: Clerk did not give the user, who stays in doubt.
        DeletesRefused: The user is gone, and the breaker lets no more users go.
    """
    pagereads.read_user(clerk_id)


def enqueue(name: str) -> bool:
    """Let a worker run a part, a replay or an audit.

    Returns:
        Whether one will; False where tasks are run at once by whoever enqueues them, or by nobody.
    """
    chosen = _ASKED_FOR[name]
    if isinstance(chosen.get_backend(), (DummyBackend, ImmediateBackend)):
        return False
    chosen.enqueue()
    return True


def read_later(clerk_id: str, at_ms: int) -> None:
    """Let a worker read the user; the doubt is for the drain, should no worker come."""
    pagereads.mark(clerk_id, at_ms)
    try:
        read_user.enqueue(clerk_id)
    except Exception as error:  # noqa: BLE001  # every backend has its own errors, and no page is to fail for them
        logger.warning(
            "A read was not put into the queue, the next sync does it (%s)",
            type(error).__name__,
            extra=told(Log.READ_NOT_QUEUED),
        )


def _run(part: Part) -> dict[str, int]:
    try:
        with alarms.looked_at_afterwards():
            return parts.run(part)
    except LeaseHeld as error:
        # The work is being done; a failed task would be a false alarm.
        logger.info("%s", error, extra=told(Log.PART_HELD, part=part.value))
        return {"another_at_work": 1}


_ASKED_FOR = {one.name: one for one in (sync_incremental, sync_full, replay_events, audit_users)}
