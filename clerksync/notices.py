"""Who has to be told what of the alarms, through which channel, and what was told already.

Channels know nothing of each other: one that fails is tried again and keeps no other. A row says what a
channel is to tell next; whoever moves its time on by a conditional UPDATE may tell it.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from clerksync import channels, signals
from clerksync.logs import Log, clean, told
from clerksync.models import Alarm, AlarmNotice
from clerksync.reasons import clock

logger = logging.getLogger(__name__)

News = AlarmNotice.News

#: The signals, for everything that is not a channel.
SIGNAL = "signal"
#: What was not told is tried again after this time; so is what somebody wanted to tell who died.
RETRY = timedelta(minutes=10)
#: What goes on is told again so often.
REMINDER = timedelta(days=1)

_TOLD = (News.RAISED, News.REPEATED)


def plan(now: datetime) -> None:
    """Note for each channel what it is to tell, from what is on and what it has told."""
    names = [SIGNAL, *channels.configured()]
    for alarm in Alarm.objects.filter(announced_at__isnull=False).prefetch_related("notices"):
        kept = {notice.channel: notice for notice in alarm.notices.all()}
        for name in names:
            notice = kept.get(name)
            if alarm.resolved_at is not None:
                _plan_end(alarm, notice, now)
            elif notice is None or notice.since != alarm.since:
                _plan_beginning(alarm, name, notice, now)
            elif _is_reminder_due(notice, now):
                _change(notice, news=News.REPEATED, due_at=now)


def deliver(now: datetime, *, standing: str) -> None:
    """Tell what is due; each by one of those who try at the same time.

    Args:
        now: The time by our clock.
        standing: How the mirror stands, in a line, for those who are told that something is over.
    """
    names = [SIGNAL, *channels.configured()]
    due = AlarmNotice.objects.exclude(news=News.NONE).filter(due_at__lte=now, channel__in=names)
    # The signals first: no server is between.
    for notice in sorted(
        due.select_related("alarm"), key=lambda one: (names.index(one.channel), one.alarm_id)
    ):
        mine = AlarmNotice.objects.filter(pk=notice.pk, news=notice.news, due_at=notice.due_at)
        if mine.update(due_at=now + RETRY) and _tell(notice, now, standing):
            _note(notice, now)


def _plan_beginning(alarm: Alarm, name: str, notice: AlarmNotice | None, now: datetime) -> None:
    beginning = {"since": alarm.since, "news": News.RAISED, "due_at": now, "told": "", "told_at": None}
    if notice is None:
        new = AlarmNotice(alarm=alarm, channel=name, **beginning)
        AlarmNotice.objects.bulk_create([new], ignore_conflicts=True)
    else:
        AlarmNotice.objects.filter(pk=notice.pk, since=notice.since).update(**beginning)


def _plan_end(alarm: Alarm, notice: AlarmNotice | None, now: datetime) -> None:
    """Who was not told that it began is not told that it is over."""
    if notice is None or notice.since != alarm.since:
        return
    if notice.told in _TOLD and notice.news != News.RESOLVED:
        _change(notice, news=News.RESOLVED, due_at=now)
    elif notice.told == News.NONE and notice.news != News.NONE:
        _change(notice, news=News.NONE, due_at=None)


def _is_reminder_due(notice: AlarmNotice, now: datetime) -> bool:
    if notice.channel == SIGNAL or notice.told_at is None or notice.news != News.NONE:
        return False
    return notice.told in _TOLD and notice.told_at <= now - REMINDER


def _change(notice: AlarmNotice, **values: Any) -> None:
    """Unless somebody else has changed it meanwhile."""
    unchanged = AlarmNotice.objects.filter(
        pk=notice.pk, since=notice.since, news=notice.news, told=notice.told, told_at=notice.told_at
    )
    unchanged.update(**values)


def _tell(notice: AlarmNotice, now: datetime, standing: str) -> bool:
    alarm = notice.alarm
    if notice.channel == SIGNAL:
        signal = signals.alarm_resolved if notice.news == News.RESOLVED else signals.alarm_raised
        # Receivers that fail are logged by Django, and not asked again.
        signal.send_robust(Alarm, code=alarm.code, text=alarm.text, since=alarm.since)
        return True
    if problem := channels.send(notice.channel, *_message(alarm, notice.news, now, standing)):
        logger.warning(
            "%s was not told of the alarm %s (%s); tried again later",
            notice.channel,
            alarm.code,
            problem,
            extra=told(Log.ALARM_NOT_TOLD, channel=notice.channel, alarm=alarm.code),
        )
    return not problem


def _message(alarm: Alarm, news: str, now: datetime, standing: str) -> tuple[str, str]:
    """Subject and text."""
    # A line end would be refused by Django as the beginning of another header, and nobody be told.
    what, since = clean(alarm.text.partition(". ")[0][:150]), clock(alarm.since, now=now)
    match news:
        case News.RESOLVED:
            return f"Clerk: Over: {what}", (
                f"This is over; it began at {since}:\n\n{alarm.text}\n\nNow: {standing}\n"
            )
        case News.REPEATED:
            return f"Clerk: Still: {what}", f"{alarm.text}\n\nSince {since}.\n"
        case _:
            return f"Clerk: {what}", f"{alarm.text}\n\nSince {since}.\n"


def _note(notice: AlarmNotice, now: datetime) -> None:
    """Keep what was told; there may be other news by now."""
    same = AlarmNotice.objects.filter(pk=notice.pk, since=notice.since)
    same.update(told=notice.news, told_at=now)
    same.filter(news=notice.news).update(news=News.NONE, due_at=None)
    if notice.channel != SIGNAL:
        Alarm.objects.filter(pk=notice.alarm_id).update(notified_at=now)
