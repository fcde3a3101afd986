"""Run everything that is to be done periodically, for as long as the process lives."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clerksync import jobs
from clerksync.jobs import Ended, Outcome
from clerksync.management.output import errors_as_exit_status
from clerksync.scheduler import Scheduler


class Command(BaseCommand):
    """``manage.py run_clerk_scheduler``."""

    help = (
        "Run the syncs, replays and clean-ups of CLERKSYNC_SCHEDULE, each when its time has come, until "
        "SIGTERM or Ctrl-C. Several copies do no harm: each part is run by one of them. Exit status: 0 ended "
        "by a signal, or all that was due is done, 1 something that was due failed, 2 wrong use or "
        "configuration, 3 another sync is at work, 130 ended by a signal before all that was due was done."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        chosen = parser.add_mutually_exclusive_group()
        chosen.add_argument("--once", action="store_true", help="run what is due now, and end")
        chosen.add_argument(
            "--forget",
            action="store_true",
            help="run nothing, and forget when what was to run: something else runs the parts from now on",
        )

    def handle(self, *args: Any, once: bool, forget: bool, **options: Any) -> None:
        """Run until the end."""
        with errors_as_exit_status():
            if forget:
                self.stdout.write(f"{jobs.forget()} parts forgotten")
                return
            scheduler = Scheduler(tell=self._tell)
            with self._signals(scheduler):
                if once:
                    self._sum_up(scheduler.run_once())
                    return
                scheduler.run()
        self._tell("Stopped.")

    def _sum_up(self, ended: list[Ended]) -> None:
        for run in ended:
            self._tell(f"{run.part:<12} {run.outcome}: {run.message}")
        outcomes = {run.outcome for run in ended}
        if not ended:
            self._tell("Nothing is due.")
        if outcomes & {Outcome.FAILED, Outcome.REFUSED, Outcome.MISMATCH}:
            raise CommandError("not everything that was due could be done", returncode=1)
        if Outcome.INTERRUPTED in outcomes:
            raise CommandError("stopped; the next run goes on", returncode=130)
        if Outcome.HELD in outcomes:
            raise CommandError("another sync is at work; what it does not do is done later", returncode=3)

    def _tell(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    @contextmanager
    def _signals(self, scheduler: Scheduler) -> Iterator[None]:
        """Let a first signal end it after the current page, and a second one at once."""
        # Signals belong to the main thread.
        is_main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGTERM, signal.SIGINT) if is_main else ()

        def on_signal(number: int, frame: FrameType | None) -> None:
            for one in numbers:
                signal.signal(one, signal.SIG_DFL)
            scheduler.stop.set()
            scheduler.wake()

        before = {number: signal.signal(number, on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
