"""Alarms: what is wrong by the status is told when it begins, once a day while it lasts, and when it is over.

Any number of processes may look at the same time: each step is a conditional UPDATE, and whoever made it
goes on. Who is told is up to ``notices.py``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import groupby

from django.db import Error as DatabaseError
from django.db import connections, router, transaction
from django.db.models import Q
from django.utils import timezone

from clerksync import notices, reasons, status
from clerksync.conf import settings
from clerksync.logs import Log, told
from clerksync.models import Alarm, AlarmWatch
from clerksync.pace import LOOKS, SELDOM
from clerksync.status import State, Status

logger = logging.getLogger(__name__)

#: What the next run usually mends is told only if it has lasted so long.
PATIENCE = timedelta(minutes=10)
_MENDED_SOON = ("sync_failed", "sync_cut", "never_synced", "events_failed")
#: Over is what has not been seen for so long: what comes and goes must not make two mails each time.
CALM = timedelta(minutes=5)


def evaluate(found: Status | None = None, *, now: datetime | None = None) -> None:
    """Raise, keep and resolve alarms, and tell of them.

    Args:
        found: How the mirror stands, if that is known already.
        now: The time by our clock.

    Raises:
        django.db.Error: The database failed; the next call goes on.
    """
    now = now or timezone.now()
    found = found or status.read(now=now)
    if not found.is_known:
        return  # without tables nobody knows what was told
    _look(found, now)
    notices.plan(now)
    notices.deliver(now, standing=found.sentence)


def look_soon() -> None:
    """Have somebody look, once a minute over all processes; for requests, which it keeps waiting for a statement.

    A thread does it, for people may be slow to tell: a mail server, a receiver of a signal. It begins after
    the transaction, if there is one.
    """
    try:
        if _is_time():
            transaction.on_commit(_begin, using=router.db_for_write(AlarmWatch))
    except DatabaseError as error:
        _unseen(error)


def look_now_and_then() -> None:
    """The same without a statement, but once a minute in each process; for webhooks."""
    if LOOKS.is_time():
        look_soon()


@contextmanager
def looked_at_afterwards() -> Iterator[None]:
    """Look once a part has been run by a command or as a task, however that ended; what goes wrong then is logged.

    No thread of its own does it, for the process may end. Slow channels are waited for as by the scheduler.
    """
    try:
        yield
    except Exception:  # not Ctrl-C: whoever stops a command does not wait for a mail server
        _look_after()
        raise
    _look_after()


_thread: threading.Thread | None = None


def _is_time() -> bool:
    now = timezone.now()
    watch = AlarmWatch.objects.filter(pk=1).first()
    if watch is None:
        AlarmWatch.objects.bulk_create([AlarmWatch(pk=1)], ignore_conflicts=True)
    elif watch.looked_at is not None and now - SELDOM < watch.looked_at <= now:
        return False  # without a write
    due = AlarmWatch.objects.filter(
        Q(looked_at=None) | Q(looked_at__lte=now - SELDOM) | Q(looked_at__gt=now), pk=1
    )
    return bool(due.update(looked_at=now))


def _begin() -> None:
    global _thread
    if _thread is not None and _thread.is_alive():
        return
    _thread = threading.Thread(target=_look_alone, name="clerksync-alarms", daemon=True)
    _thread.start()


def _look_alone() -> None:
    """Look, in a thread that nobody waits for."""
    try:
        _look_guarded()
    finally:
        connections.close_all()


def _look_after() -> None:
    """Look now, or after the transaction if there is one."""
    try:
        transaction.on_commit(_look_guarded, using=router.db_for_write(AlarmWatch))
    except DatabaseError as error:
        _unseen(error)


def _look_guarded() -> None:
    """Look, and tell the log of what goes wrong, a setting of a wrong type too: it is nobody's failure."""
    try:
        evaluate()
    except DatabaseError as error:
        _unseen(error)
    except Exception:
        logger.exception("the alarms could not be looked at", extra=told(Log.ALARMS_UNSEEN))


def _unseen(error: DatabaseError) -> None:
    logger.warning(
        "the alarms could not be looked at: %s", type(error).__name__, extra=told(Log.ALARMS_UNSEEN)
    )


def _look(found: Status, now: datetime) -> None:
    """Bring the alarms in step with what is wrong."""
    wrong = dict(_sentences(found, now))
    alarms = Alarm.objects.in_bulk()
    for code, text in wrong.items():
        _keep(code, text, alarms.get(code), now)
    for alarm in alarms.values():
        if alarm.code not in wrong and alarm.resolved_at is None and alarm.last_seen <= now - CALM:
            _resolve(alarm, now)
    for alarm in Alarm.objects.filter(resolved_at=None, announced_at=None):
        patience = PATIENCE if alarm.code in _MENDED_SOON else timedelta(0)
        if alarm.since <= now - patience:
            _announce(alarm, now)


def _sentences(found: Status, now: datetime) -> Iterator[tuple[str, str]]:
    """What is wrong, by code, with what to do."""
    in_order = sorted(found.reasons, key=lambda reason: reason.code)
    for code, of_code in groupby(in_order, key=lambda reason: reason.code):
        same = list(of_code)
        if _is_enough(code, found):
            # Remarks, too, begin with what they are about.
            state = max(State.BEHIND, same[0].state, key=list(State).index)
            yield code, reasons.describe(state, same, right_up_to=found.right_up_to, now=now)


def _is_enough(code: str, found: Status) -> bool:
    """Whether there are so many that somebody has to know."""
    numbers = {"events_parked": found.parked, "events_failed": found.failed}
    return numbers.get(code, settings.ALERT_EVENTS) >= settings.ALERT_EVENTS


def _keep(code: str, text: str, alarm: Alarm | None, now: datetime) -> None:
    if alarm is None:
        new = Alarm(code=code, since=now, last_seen=now, text=text)
        Alarm.objects.bulk_create([new], ignore_conflicts=True)
        return
    still = Alarm.objects.filter(code=code, resolved_at=None).update(last_seen=now, text=text)
    if not still:
        Alarm.objects.filter(code=code).exclude(resolved_at=None).update(
            since=now, last_seen=now, text=text, resolved_at=None, announced_at=None, notified_at=None
        )


def _announce(alarm: Alarm, now: datetime) -> None:
    silent = Alarm.objects.filter(code=alarm.code, resolved_at=None, announced_at=None)
    if silent.update(announced_at=now):
        logger.warning("alarm %s: %s", alarm.code, alarm.text, extra=told(Log.ALARM_RAISED, alarm=alarm.code))


def _resolve(alarm: Alarm, now: datetime) -> None:
    unchanged = Alarm.objects.filter(code=alarm.code, resolved_at=None, last_seen=alarm.last_seen)
    if unchanged.update(resolved_at=now) and alarm.announced_at:
        logger.warning("alarm %s is over", alarm.code, extra=told(Log.ALARM_RESOLVED, alarm=alarm.code))
