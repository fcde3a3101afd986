"""How a sync is told: progress on standard error, changes and the summary on standard output."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from clerksync.management.output import printable, show
from clerksync.mirror import Change
from clerksync.pages import SweptPage
from clerksync.records import Outcome
from clerksync.tally import Report

#: Seconds between two lines of progress where there is no terminal.
INTERVAL = 10.0

OnPage = Callable[[SweptPage, int], None]


@contextmanager
def progress(stdout: OutputWrapper, stderr: OutputWrapper, *, total: int) -> Iterator[OnPage]:
    """Show how far a sync has come: a bar on a terminal, else a line every 10 seconds."""
    if not stdout.isatty():
        yield _Lines(stderr, total=total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} users/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task, started = bar.add_task("Users", total=total, rate=0), time.monotonic()

        def on_page(page: SweptPage, seen: int) -> None:
            rate = round(seen / max(0.001, time.monotonic() - started))
            bar.update(task, completed=seen, rate=rate)

        yield on_page


class _Lines:
    """A line now and then, for logs."""

    def __init__(self, stderr: OutputWrapper, *, total: int) -> None:
        self.stderr = stderr
        self.total = total
        self.started = self.last = time.monotonic()

    def __call__(self, page: SweptPage, seen: int) -> None:
        now = time.monotonic()
        if now - self.last >= INTERVAL:
            self.last = now
            self.stderr.write(
                f"{seen} of {self.total} users, {round(seen / (now - self.started))} per second"
            )


@contextmanager
def stop_on_interrupt(stderr: OutputWrapper) -> Iterator[threading.Event]:
    """Let Ctrl-C end the sync after the current page; a second one ends it at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield stop
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        stop.set()
        stderr.write("Stopping after this page; press Ctrl-C again to stop at once.")

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def write_changes(page: SweptPage, out: TextIO | OutputWrapper, *, values: bool) -> None:
    """Write a line for each user that would change, with old and new values."""
    for clerk_id, change in sorted(page.changes.items()):
        if change.fields or change.outcome in (Outcome.DELETED, Outcome.REVIVED):
            out.write(f"{printable(clerk_id)} {change.outcome}{_describe(change, values=values)}")


def _describe(change: Change, *, values: bool) -> str:
    parts = (
        f"{name}: {show(name, old, values=values)} -> {show(name, new, values=values)}"
        for name, (old, new) in change.fields.items()
        if change.outcome is not Outcome.CREATED or new not in (None, False, "{}")
    )
    return "".join(f"\n  {part}" for part in parts)


def write_summary(report: Report, out: OutputWrapper) -> None:
    """Write what was done, in words."""
    told = report.as_dict()
    if report.dry_run:
        out.write(
            f"Key accepted: instance {report.instance_id}, {report.environment}, {told['seen']} users. "
            f"Nothing was written; a sync would do this:"
        )
    if report.note:
        out.write(report.note)
    if report.resumed:
        out.write("Resumed where the last sync had stopped; the counts are of both.")
    for name in ("seen", *(outcome.value for outcome in Outcome), "skipped", "missing"):
        if told[name] or name in ("seen", "created", "updated", "unchanged", "deleted"):
            out.write(f"{name:>22}  {told[name]}")
    if told["missed"]:
        out.write(
            f"{'missed':>22}  {told['missed']} changes that no webhook told, {told['delivered']} that one did"
        )
    out.write(f"{'placeholders replaced':>22}  {told['placeholders_replaced']}")
    out.write(f"{'requests':>22}  {told['requests']} ({told['throttled']} answered with 429)")
    out.write(f"{'time':>22}  {told['seconds']:.1f} s, {told['users_per_second']} users per second")


def describe_problem(report: Report) -> str:
    """What is not in the table, and what to do about it."""
    if report.error is not None:
        return str(report.error)
    parts = []
    if report.counts.get("skipped"):
        named = "; ".join(
            f"{printable(clerk_id)} ({printable(why)})" for clerk_id, why in report.skipped.items()
        )
        parts.append(f"{report.counts['skipped']} users could not be read: {named}")
    if report.in_doubt:
        parts.append(f"{report.in_doubt} users are in doubt and will be read again by the next sync")
    return ". ".join(parts)
