"""Link users of Clerk to Django's own."""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from typing import Any

from django.core.checks import Error
from django.core.management.base import BaseCommand, CommandError

from clerksync import link_checks
from clerksync.conf import settings
from clerksync.linkreports import Problem, ProblemKind, Report
from clerksync.linkruns import link_all
from clerksync.management.output import errors_as_exit_status, printable
from clerksync.spreadsheets import csv_cell

#: Users between two lines of progress.
PROGRESS_EVERY = 10_000
COLUMNS = ("clerk_id", "kind", "field", "reason")


class Command(BaseCommand):
    """``manage.py link_clerk_users``."""

    help = (
        "Link users of Clerk to Django users by the rules of CLERKSYNC_LINK_BY, bring the linked ones up to "
        "date, and list what was left. Exit status: 0 nothing was left, 1 something was, 2 wrong use or "
        "wrong settings, 130 Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("--dry-run", action="store_true", help="write nothing, and tell what would be done")
        add("--create", action="store_true", help="create a Django user for everybody who fits none")
        add("--format", choices=["text", "csv"], default="text", help="of the list of what was left")

    def handle(self, *args: Any, dry_run: bool, create: bool, format: str, **options: Any) -> None:
        """Link, list what was left, and sum up."""
        self.next_progress = PROGRESS_EVERY
        _check_settings(dry_run=dry_run)
        try:
            with errors_as_exit_status():
                report = link_all(dry_run=dry_run, create=create, on_progress=self._show_progress)
        except KeyboardInterrupt as error:
            raise CommandError("stopped; what was linked stays linked", returncode=130) from error
        if format == "csv":
            self._write_csv(report.problems)
            self.stderr.write(_in_words(report, dry_run=dry_run))
        else:
            self._write_text(report.problems)
            self.stdout.write(_in_words(report, dry_run=dry_run))
        if report.problems:
            raise CommandError("something was left; it is listed above", returncode=1)

    def _show_progress(self, done: int) -> None:
        if done >= self.next_progress:
            self.stderr.write(f"{done} users")
            self.next_progress = done + PROGRESS_EVERY

    def _write_text(self, problems: list[Problem]) -> None:
        for problem in problems:
            subject = " ".join(filter(None, (problem.clerk_id, problem.kind, problem.field)))
            self.stdout.write(printable(f"{subject}: {problem.reason}"))

    def _write_csv(self, problems: list[Problem]) -> None:
        writer = csv.writer(self.stdout)
        writer.writerow(COLUMNS)
        writer.writerows([csv_cell(getattr(problem, name)) for name in COLUMNS] for problem in problems)


def _check_settings(*, dry_run: bool) -> None:
    """The system checks again: a test, or ``--skip-checks``, may have gone without."""
    if not (settings.LINK_USERS or dry_run):
        raise CommandError(
            "CLERKSYNC_LINK_USERS is off; turn it on, or look first with --dry-run", returncode=2
        )
    checks = (link_checks.check_link_rules, link_checks.check_user_fields, link_checks.check_user_model)
    for message in (message for check in checks for message in check(None)):
        if isinstance(message, Error):
            raise CommandError(f"{message.msg} {message.hint}", returncode=2)


def _in_words(report: Report, *, dry_run: bool) -> str:
    """The result in one line: would link 19,400, create 12, ambiguous 88."""
    counts = report.counts()
    parts = [f"link {report.linked:,}", f"create {report.created:,}"]
    if not dry_run:
        parts = [f"linked {report.linked:,}", f"created {report.created:,}"]
    told = {
        "updated": report.updated,
        "already linked": report.already,
        "without a Django user": report.unmatched,
        **{kind.replace("_", " "): counts[kind] for kind in ProblemKind},
    }
    told = {name: number for name, number in told.items() if number or name == "ambiguous"}
    words = ", ".join([*parts, *(f"{name} {number:,}" for name, number in told.items())])
    return f"would {words}" if dry_run else words
