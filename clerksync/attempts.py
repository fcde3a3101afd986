"""Work in threads: whatever happens is told and not raised."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connections

from clerksync import alarms, counts
from clerksync.exceptions import (
    ClerkSyncError,
    DeletesRefused,
    InstanceMismatch,
    LeaseHeld,
    SyncInterrupted,
)
from clerksync.jobs import Outcome
from clerksync.logs import Log, first_line, told
from clerksync.models import ScheduledJob

logger = logging.getLogger(__name__)


class Told(NamedTuple):
    """How something ended; ``message`` says why it did not do its work, or what it did."""

    outcome: ScheduledJob.Outcome
    message: str


def guard(name: str, call: Callable[[], dict[str, int]]) -> Told:
    """Call what returns counts by name, and tell how that ended."""
    try:
        counted = call()
    except LeaseHeld as error:
        return Told(Outcome.HELD, str(error))
    except SyncInterrupted as error:
        return Told(Outcome.INTERRUPTED, str(error))
    except DeletesRefused as error:
        return Told(Outcome.REFUSED, str(error))
    except InstanceMismatch as error:
        return Told(Outcome.MISMATCH, str(error))
    except (ClerkSyncError, ImproperlyConfigured) as error:
        return Told(Outcome.FAILED, str(error))
    except DatabaseError as error:
        return Told(Outcome.FAILED, f"the database failed: {first_line(error)}")
    except Exception as error:
        # A mistake, ours or of a receiver of the project: it must end neither the other parts nor the loop.
        logger.exception("%s failed", name, extra=told(Log.PART_FAILED, part=name))
        return Told(Outcome.FAILED, f"{type(error).__name__}; the log has more")
    finally:
        connections.close_all()
    return Told(Outcome.COMPLETED, ", ".join(f"{count} {name}" for name, count in counted.items()))


def look_for_alarms() -> None:
    """Count the latest events, and tell of what is wrong; what goes wrong here is logged, and must not end the loop."""
    try:
        while counts.count_events():
            pass
        alarms.evaluate()
    except Exception:
        logger.exception("the alarms could not be looked at", extra=told(Log.ALARMS_UNSEEN))
    finally:
        connections.close_all()
