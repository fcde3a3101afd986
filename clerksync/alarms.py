"""Alarms: what is wrong by the status is told once when it begins and once when it is over.

Any number of processes may look at the same time: each step is a conditional UPDATE, and whoever made
it tells. A mail that could not be sent is tried again; it never breaks what had called.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.core.mail import mail_admins
from django.db.models import Q
from django.utils import timezone

from clerksync import reasons, signals, status
from clerksync.conf import settings
from clerksync.models import Alarm, AlarmWatch
from clerksync.status import State, Status

logger = logging.getLogger(__name__)

#: What the next run usually mends is told only if it has lasted so long.
PATIENCE = timedelta(minutes=10)
_MENDED_SOON = ("sync_failed", "sync_cut", "never_synced")
#: Over is what has not been seen for so long: what comes and goes must not make two mails each time.
CALM = timedelta(minutes=5)
#: A mail that was not sent is tried again after this time; so is one whose sender died.
RETRY = timedelta(minutes=10)
#: How often those look who are asked often.
SELDOM = timedelta(minutes=1)

Mail = Alarm.Mail


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
    told = dict(_sentences(found, now))
    alarms = Alarm.objects.in_bulk()
    for code, text in told.items():
        _keep(code, text, alarms.get(code), now)
    for alarm in alarms.values():
        if alarm.code not in told and alarm.resolved_at is None and alarm.last_seen <= now - CALM:
            _resolve(alarm, now)
    for alarm in Alarm.objects.filter(resolved_at=None, announced_at=None):
        patience = PATIENCE if alarm.code in _MENDED_SOON else timedelta(0)
        if alarm.since <= now - patience:
            _announce(alarm, now)
    for alarm in Alarm.objects.exclude(mail=Mail.NONE).filter(mail_after__lte=now):
        _send(alarm, found, now)


def evaluate_seldom(found: Status) -> None:
    """The same, but once a minute over all processes."""
    now = timezone.now()
    watch = AlarmWatch.objects.filter(pk=1).first()
    if watch is None:
        AlarmWatch.objects.bulk_create([AlarmWatch(pk=1)], ignore_conflicts=True)
    elif watch.looked_at is not None and watch.looked_at > now - SELDOM:
        return  # without a write
    due = AlarmWatch.objects.filter(Q(looked_at=None) | Q(looked_at__lte=now - SELDOM), pk=1)
    if due.update(looked_at=now):
        evaluate(found)


def _sentences(found: Status, now: datetime) -> Iterator[tuple[str, str]]:
    """What is wrong, by code, with what to do."""
    in_order = sorted(found.reasons, key=lambda reason: reason.code)
    for code, found_reasons in groupby(in_order, key=lambda reason: reason.code):
        same = list(found_reasons)
        # Remarks, too, begin with what they are about.
        state = max(State.BEHIND, same[0].state, key=list(State).index)
        yield code, reasons.describe(state, same, right_up_to=found.right_up_to, now=now)


def _keep(code: str, text: str, alarm: Alarm | None, now: datetime) -> None:
    if alarm is None:
        new = Alarm(code=code, since=now, last_seen=now, text=text)
        Alarm.objects.bulk_create([new], ignore_conflicts=True)
        return
    still = Alarm.objects.filter(code=code, resolved_at=None).update(last_seen=now, text=text)
    if not still:
        Alarm.objects.filter(code=code).exclude(resolved_at=None).update(
            since=now,
            last_seen=now,
            text=text,
            resolved_at=None,
            announced_at=None,
            notified_at=None,
            mail=Mail.NONE,
        )


def _announce(alarm: Alarm, now: datetime) -> None:
    mail = Mail.RAISED if settings.ALERT_EMAILS else Mail.NONE
    silent = Alarm.objects.filter(code=alarm.code, resolved_at=None, announced_at=None)
    if silent.update(announced_at=now, mail=mail, mail_after=now):
        logger.warning("alarm %s: %s", alarm.code, alarm.text)
        signals.alarm_raised.send_robust(Alarm, **_told(alarm))


def _resolve(alarm: Alarm, now: datetime) -> None:
    # Who was not told that it began is not told that it is over.
    mail = Mail.RESOLVED if alarm.notified_at and settings.ALERT_EMAILS else Mail.NONE
    unchanged = Alarm.objects.filter(
        code=alarm.code, resolved_at=None, last_seen=alarm.last_seen, notified_at=alarm.notified_at
    )
    if unchanged.update(resolved_at=now, mail=mail, mail_after=now) and alarm.announced_at:
        logger.warning("alarm %s is over", alarm.code)
        signals.alarm_resolved.send_robust(Alarm, **_told(alarm))


def _told(alarm: Alarm) -> dict[str, Any]:
    return {"code": alarm.code, "text": alarm.text, "since": alarm.since}


def _send(alarm: Alarm, found: Status, now: datetime) -> None:
    """Send the mail that waits, if nobody else does."""
    waiting = Alarm.objects.filter(code=alarm.code, mail=alarm.mail, mail_after=alarm.mail_after)
    if not waiting.update(mail_after=now + RETRY):
        return
    since = reasons.clock(alarm.since, now=now)
    if alarm.mail == Mail.RAISED:
        subject, body = alarm.text.partition(". ")[0], f"{alarm.text}\n\nSince {since}."
    else:
        subject = f"Over: {alarm.text.partition('. ')[0]}"
        body = f"This is over; it began at {since}:\n\n{alarm.text}\n\nNow: {found.sentence}"
    if _is_mailed(f"Clerk: {subject[:150]}", f"{body}\n"):
        Alarm.objects.filter(code=alarm.code, mail=alarm.mail).update(mail=Mail.NONE, notified_at=now)


def _is_mailed(subject: str, body: str) -> bool:
    try:
        mail_admins(subject, body)
    except Exception as error:  # noqa: BLE001  # every mail backend has its own errors, and a mail must break nothing
        logger.warning("an alarm could not be mailed (%s); tried again later", type(error).__name__)
        return False
    return True
