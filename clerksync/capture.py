"""Captures whom a session names: makes sure that the row is there, and that what it holds is fresh.

In the ordinary case a dictionary of this process answers: no statement, no request. A user
who is not known, or no longer fresh, is read from Clerk by one of all processes; a page never
waits longer than ``CLERKSYNC_REFRESH_TIMEOUT`` and never fails for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError
from django.db.models import Q, QuerySet, Subquery

from clerksync import known, mirror, outage, pagereads, quiet
from clerksync.claims import Claims
from clerksync.conf import settings
from clerksync.exceptions import BudgetSpent, ClerkSyncError, ClerkUnavailable, DeletesRefused
from clerksync.fields import WATCHED
from clerksync.freshness import (
    INTERVAL,
    RETRY,
    Hints,
    Reason,
    age_of,
    between_reads,
    read_hints,
    stored,
    why_read,
)
from clerksync.logs import Log
from clerksync.models import ClerkUser, MirrorState
from clerksync.placeholders import PlaceholderRules

logger = logging.getLogger(__name__)

#: Seconds between two looks at a row that another process is about to fill.
_GLANCE = 0.05

#: Has a user read later: takes the Clerk id and the time of the wish, in ms of Clerk's clock.
Defer = Callable[[str, int], None]


def is_settled(claims: Claims) -> bool:
    """Whether nothing is to be done for this session; asks neither the database nor Clerk."""
    if not settings.CLAIM_FIELDS:
        return known.is_known(claims.user_id)
    return known.is_known_with(claims.user_id, _hints(claims))


def capture(
    claims: Claims, *, defer: Defer | None = None, thorough: bool = False, claimed: bool = False
) -> ClerkUser | None:
    """Make sure that the user of a session is known and fresh; to be called outside of transactions.

    Trouble with Clerk or with the database is logged, and what is known is what there is.

    Args:
        claims: Of a token that was verified.
        defer: Has users who are known but not fresh read later; None to read at once.
        thorough: Read users with placeholder data, too.
        claimed: The caller has had the read put off just now, so it is the caller's to make.

    Returns:
        The row as it is now, without its payload; None if there is none, or no database.
    """
    return _Capture(claims, defer=defer, thorough=thorough, claimed=claimed).run()


_flights: dict[str, threading.Event] = {}
_flights_lock = threading.Lock()


class _Capture:
    """One call of ``capture``."""

    def __init__(self, claims: Claims, *, defer: Defer | None, thorough: bool, claimed: bool) -> None:
        self.clerk_id = claims.user_id
        self.claimed = claimed
        self.hints = _hints(claims)
        self.defer = defer
        self.rules = PlaceholderRules.from_settings() if thorough else None
        seconds = settings.REFRESH_AFTER
        self.refresh_after = None if seconds is None else timedelta(seconds=seconds)
        self.user: ClerkUser | None = None

    def run(self) -> ClerkUser | None:
        """Look, and read if that is needed."""
        try:
            reason = self._look()
            # The one who claims a read makes the row look fresh.
            match reason or (Reason.STALE if self.claimed else None):
                case None:
                    pass
                case Reason.NEW:
                    self._capture_new()
                case reason:
                    self._refresh(reason)
        except (DatabaseError, InterfaceError) as error:
            quiet.warn(
                logger, Log.PAGE_WITHOUT_TABLE, "The table of users cannot be read or written: %s", error
            )
        return self.user

    def _look(self) -> Reason | None:
        """Read the row, and say why it will not do; what will do is remembered."""
        self.user = user = _load(self.clerk_id)
        now, now_ms = datetime.now(UTC), pagereads.now_ms()
        age = age_of(user, now=now, now_ms=now_ms, scanned_at=getattr(user, "scanned_at", None))
        reason = why_read(
            user,
            hints=self.hints,
            age=age,
            refresh_after=self.refresh_after,
            is_due=user is not None and user.retry_ms <= now_ms,
        )
        if reason is None and user is not None and self._has_placeholders(user):
            return Reason.PLACEHOLDER
        if reason is None:
            fresh_for = INTERVAL if self.refresh_after is None else self.refresh_after - age
            known.remember(self.clerk_id, fresh_for=fresh_for, hints=self.hints)
        return reason

    def _has_placeholders(self, user: ClerkUser) -> bool:
        values = {name: getattr(user, name) for name in WATCHED}
        return self.rules is not None and bool(self.rules.find(clerk_id=user.clerk_id, **values))

    def _refresh(self, reason: Reason) -> None:
        """Have a user read again, unless somebody has done so, or Clerk is out of reach."""
        if outage.is_on():
            self._put_in_doubt()
        elif not self._claim(reason):
            self._leave_alone(reason)
        elif self.defer is not None:
            self.defer(self.clerk_id, self.hints.issued_ms)
        else:
            self._read()

    def _leave_alone(self, reason: Reason) -> None:
        """Somebody has read the user a moment ago: do not ask the table on each page whether it is time again."""
        if reason in (Reason.CLAIMS, Reason.DOUBT) and self.refresh_after != timedelta(0):
            known.remember(self.clerk_id, fresh_for=RETRY, hints=self.hints)

    def _capture_new(self) -> None:
        """Read a new user once, however many requests there are; the others wait for the one that reads."""
        with _flights_lock:
            flight = _flights.get(self.clerk_id)
            leads = flight is None
            if flight is None:
                flight = _flights[self.clerk_id] = threading.Event()
        if not leads:
            flight.wait(settings.REFRESH_TIMEOUT)
            self._look()
            return
        try:
            # The one that led before us may be done just now.
            if self._look() is Reason.NEW:
                self._read_new()
        finally:
            with _flights_lock:
                del _flights[self.clerk_id]
            flight.set()

    def _read_new(self) -> None:
        if self.user is None:
            pagereads.mark(self.clerk_id, self.hints.issued_ms)
        if outage.is_on():
            self._look()
        elif self._claim(Reason.NEW):
            self._read()
        else:
            self._wait_for_others()

    def _claim(self, reason: Reason) -> bool:
        """Whether we are to read the user: one of all processes, and nobody again for some time."""
        if self.claimed:
            return True
        now = datetime.now(UTC)
        wait = between_reads(reason, self.refresh_after)
        due = (
            Q(checked_at=None)
            | Q(checked_at__lte=stored(now - wait))
            # The clock of the machine that wrote this was wrong.
            | Q(checked_at__gt=stored(now + wait + timedelta(minutes=1)))
        )
        return _rows(self.clerk_id).filter(due).update(checked_at=stored(now)) == 1

    def _read(self) -> None:
        try:
            pagereads.read_user(self.clerk_id)
        except DeletesRefused as error:
            quiet.warn(logger, Log.READ_FAILED, "A user whom Clerk no longer shows stays: %s", error)
            self._put_in_doubt()
        except (ClerkSyncError, ImproperlyConfigured) as error:
            if isinstance(error, ClerkUnavailable) and not isinstance(error, BudgetSpent):
                outage.begin()
            quiet.warn(
                logger,
                Log.READ_FAILED,
                "A user was not read for a page, which shows what is known: %s",
                error,
            )
            self._put_in_doubt()
        if self._look() is Reason.NEW:
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        """Let those who wait for the row go on: it will not be filled now."""
        ended = datetime.now(UTC) - timedelta(seconds=settings.REFRESH_TIMEOUT)
        _rows(self.clerk_id).update(checked_at=stored(ended))

    def _put_in_doubt(self) -> None:
        """Let the drain, or a later page, do what could not be done."""
        if self.user is not None and not self.user.doubt_reason:
            pagereads.mark(self.clerk_id, max(self.hints.issued_ms, self.user.observed_ms))

    def _wait_for_others(self) -> None:
        """Wait for the process that has begun to read the user just now."""
        end = time.monotonic() + settings.REFRESH_TIMEOUT
        while self._look() is Reason.NEW and time.monotonic() < end and self._is_being_read():
            time.sleep(_GLANCE)

    def _is_being_read(self) -> bool:
        age = age_of(self.user, now=datetime.now(UTC), now_ms=pagereads.now_ms(), scanned_at=None)
        return age < timedelta(seconds=settings.REFRESH_TIMEOUT)


def _load(clerk_id: str) -> ClerkUser | None:
    """The row, without the payload, and with the time of the last completed scan."""
    scanned_at = Subquery(MirrorState.objects.filter(pk=1).values("updates_as_of")[:1])
    return _rows(clerk_id).defer("payload_text").annotate(scanned_at=scanned_at).first()


def _rows(clerk_id: str) -> QuerySet[ClerkUser]:
    # Of the database that is written: a replica may not know the user yet.
    return ClerkUser.objects.using(mirror.database()).filter(pk=clerk_id)


def _hints(claims: Claims) -> Hints:
    return read_hints(claims.raw, settings.CLAIM_FIELDS, issued_ms=int(claims.issued_at * 1000))
