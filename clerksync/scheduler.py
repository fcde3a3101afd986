"""The scheduler: a loop that runs each part when its time has come, and survives what it depends on.

The main thread looks after the table: it takes parts that are due, keeps the claims of those that
run, and records how they ended. Each part runs in a thread of its own, so that a long full sync does
not keep the incremental ones waiting. What fails is tried again; nothing but ``stop`` ends the loop.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils import timezone

from clerksync import attempts, jobs, parts, schedule
from clerksync.jobs import Claim, Ended
from clerksync.logs import Log, first_line, told
from clerksync.models import ScheduledJob
from clerksync.schedule import Part
from clerksync.times import aware

logger = logging.getLogger(__name__)

#: The table is looked at so often, in seconds: another scheduler may have died.
POLL = 5.0
#: Others are told so often that this scheduler is alive.
BEAT = 20.0
#: The longest wait for a database that is away.
MAX_WAIT = 30.0


class Scheduler:
    """One scheduler; any number of them may run at the same time.

    Args:
        stop: Once set, it ends after the pages that are being read; call ``wake`` as well.
        tell: Takes a line about when the parts will run.
    """

    def __init__(self, *, stop: Event | None = None, tell: Callable[[str], object] = logger.info) -> None:
        self.stop = stop or Event()
        self._tell = tell
        # Not an event: a signal handler that sets one may wait for the very thread that it interrupts.
        self._alarm_clock: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._running: dict[Claim, Future[Ended]] = {}
        self._beaten_at: float | None = None
        self._has_ended = False
        self._alarms: Future[None] | None = None
        self._outage = _Outage()

    def wake(self) -> None:
        """End the wait for the next thing to do; may be called by a signal handler."""
        self._alarm_clock.put(None)

    def run(self) -> None:
        """Run parts until somebody says stop, and then wait for those that are under way."""
        with ThreadPoolExecutor(max_workers=len(Part) + 1, thread_name_prefix="clerksync") as pool:
            while not self.stop.is_set():
                self._look_for_alarms(pool)
                self._wait(self._turn(lambda: self._look(pool)))
            while self._running:
                self._turn(self._look_after)
                if self._outage.is_on and all(run.done() for run in self._running.values()):
                    return  # the table cannot be told; the claims expire
                if self._running:
                    self._wait(POLL)

    def run_once(self) -> list[Ended]:
        """Run what is due now, and tell how it ended.

        Raises:
            django.db.Error: The database failed.
        """
        jobs.plan()
        jobs.beat(stays=False)
        ended: list[Ended] = []
        with ThreadPoolExecutor(max_workers=len(Part), thread_name_prefix="clerksync") as pool:
            self._take_over()
            self._start(pool)
            while self._running:
                self._wait(POLL)
                ended += self._look_after()
            pool.submit(attempts.look_for_alarms).result()
        return ended

    def _wait(self, seconds: float) -> None:
        try:
            self._alarm_clock.get(timeout=seconds)
            while True:
                self._alarm_clock.get_nowait()
        except queue.Empty:
            pass

    def _turn(self, look: Callable[[], object]) -> float:
        """Look once at everything; returns for how many seconds there is nothing to do."""
        try:
            close_old_connections()
            look()
            seconds = self._idle()
        except DatabaseError as error:
            return self._outage.goes_on(error)
        self._outage.is_over()
        return seconds

    def _look(self, pool: ThreadPoolExecutor) -> None:
        self._look_after()
        if self._beaten_at is None:
            jobs.plan()
            self._tell_plan()
        if self._beaten_at is None or time.monotonic() - self._beaten_at >= BEAT:
            jobs.beat(stays=True)
            self._beaten_at = time.monotonic()
        self._take_over()
        self._start(pool)

    def _look_after(self) -> list[Ended]:
        """Keep the claims of what runs, and record what has ended."""
        ended = []
        for claim, run in list(self._running.items()):
            if not run.done():
                jobs.renew(claim)
                continue
            before = ScheduledJob.objects.filter(part=claim.part).first()
            job = jobs.finish(claim, run.result())
            del self._running[claim]
            ended.append(run.result())
            self._has_ended = True
            if job is None:
                logger.warning(
                    "%s was taken over by another scheduler while this one slept",
                    claim.part,
                    extra=told(Log.PART_TAKEN_OVER, part=claim.part.value),
                )
            else:
                _log(job, failures_before=before.failures if before else 0)
        return ended

    def _look_for_alarms(self, pool: ThreadPoolExecutor) -> None:
        """After each part; in a thread, since a mail server may be slow, and one at a time."""
        if self._has_ended and (self._alarms is None or self._alarms.done()):
            self._has_ended = False
            self._alarms = pool.submit(attempts.look_for_alarms)

    def _take_over(self) -> None:
        """Free what a scheduler that is dead or asleep has claimed."""
        now = jobs.clock()
        for job in jobs.read():
            is_expired = now is not None and job.expires_at is not None and aware(job.expires_at) < now
            if is_expired and jobs.bury(job):
                logger.warning(
                    "%s: %s was not heard of again, so somebody else goes on",
                    job.part,
                    job.holder,
                    extra=told(Log.PART_TAKEN_OVER, part=job.part),
                )

    def _start(self, pool: ThreadPoolExecutor) -> None:
        """Run what is due."""
        rows, now = jobs.read(), jobs.clock()
        if len(rows) < len(schedule.expressions()):
            jobs.plan()  # somebody has emptied the table
        for job in rows:
            if now is None or aware(job.next_at) > now or job.expires_at or self._is_running(job.part):
                continue
            if claim := jobs.claim(Part(job.part)):
                run = self._running[claim] = pool.submit(attempt, claim.part, self.stop)
                run.add_done_callback(lambda _: self.wake())

    def _idle(self) -> float:
        now = jobs.clock()
        waiting = [job for job in jobs.read() if not job.expires_at and not self._is_running(job.part)]
        first = jobs.next_at(waiting)
        if now is None or first is None:
            return POLL
        return min(POLL, max(0.1, (first - now).total_seconds()))

    def _is_running(self, part: str) -> bool:
        return any(claim.part == part for claim in self._running)

    def _tell_plan(self) -> None:
        zone = timezone.get_default_timezone()
        on = schedule.expressions()
        for job in jobs.read():
            at = aware(job.next_at).astimezone(zone)
            self._tell(f"{job.part:<12} {on[Part(job.part)]:<14} next at {at:%Y-%m-%d %H:%M:%S %Z}")
        for part in Part:
            if part not in on:
                self._tell(f"{part:<12} off")


def attempt(part: Part, stop: Event) -> Ended:
    """Run a part in a thread of its own; whatever happens is told and not raised."""
    return Ended(part, *attempts.guard(part, lambda: parts.run(part, stop=stop)))


class _Outage:
    """A database that is away: told once when it begins, once when it is over, and waited for."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._seconds = 0.5

    @property
    def is_on(self) -> bool:
        return self._since is not None

    def goes_on(self, error: DatabaseError) -> float:
        """Returns the seconds after which to try again."""
        if self._since is None:
            self._since = time.monotonic()
            logger.warning(
                "the database does not answer (%s); trying again until it does",
                first_line(error),
                extra=told(Log.DATABASE_AWAY),
            )
        self._seconds = min(MAX_WAIT, self._seconds * 2)
        return self._seconds

    def is_over(self) -> None:
        if self._since is not None:
            logger.warning(
                "the database answers again, after %d s",
                time.monotonic() - self._since,
                extra=told(Log.DATABASE_BACK),
            )
        self._since, self._seconds = None, 0.5


def _log(job: ScheduledJob, *, failures_before: int) -> None:
    """One line for each change: when a part begins to fail, and when it works again."""
    if job.failures and not failures_before:
        zone = timezone.get_default_timezone()
        again = aware(job.next_at).astimezone(zone)
        logger.warning(
            "%s %s: %s; next try at %s",
            job.part,
            job.outcome,
            job.message,
            f"{again:%H:%M:%S %Z}",
            extra=told(Log.PART_FAILED, part=job.part, outcome=job.outcome),
        )
    elif failures_before and not job.failures:
        logger.warning(
            "%s works again after %d failures",
            job.part,
            failures_before,
            extra=told(Log.PART_WORKS_AGAIN, part=job.part),
        )
    else:
        level = logging.INFO if job.part in (Part.FULL, Part.AUDIT) else logging.DEBUG
        logger.log(
            level,
            "%s %s: %s",
            job.part,
            job.outcome,
            job.message,
            extra=told(Log.PART_ENDED, part=job.part, outcome=job.outcome),
        )
