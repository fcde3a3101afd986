"""Tell what is wrong with the table of users, without changing it."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, fields, replace
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clerksync.audit import Audit
from clerksync.client import ClerkClient
from clerksync.findings import MENDABLE, Finding, FindingKind, Summary
from clerksync.management.output import csv_cell, errors_as_exit_status, positive, printable
from clerksync.masking import PERSONAL, mask

COLUMNS = [column.name for column in fields(Finding)]
#: Shown in the table only where one of the findings has it.
OPTIONAL = ("model", "pk")
#: Users between two lines of progress.
PROGRESS_EVERY = 10_000


class Command(BaseCommand):
    """``manage.py audit_clerk_users``."""

    help = (
        "Look for placeholder data in the table of users and compare it with Clerk; nothing is written. "
        "Exit status: 0 clean, 1 something was found, 2 the audit could not be done, 4 wrong instance, "
        "130 Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("--offline", action="store_true", help="judge the table alone, without asking Clerk")
        add("--format", choices=["table", "json", "csv"], default="table", help="of the findings")
        add("--limit", type=positive, default=50, metavar="N", help="show at most N findings in the table")
        add("--show-values", action="store_true", help="do not mask personal data")

    def handle(
        self, *args: Any, offline: bool, format: str, limit: int, show_values: bool, **options: Any
    ) -> None:
        """Audit, tell, and end with a status that says whether anything was found."""
        self.next_progress = PROGRESS_EVERY
        write = {"table": self._write_table, "json": self._write_json, "csv": self._write_csv}[format]
        with _every_error_as_2(), nullcontext() if offline else ClerkClient() as client:
            audit = Audit(client, on_page=self._show_progress)
            found = (finding if show_values else _masked(finding) for finding in audit.findings())
            write(found, audit.summary, limit=limit)
        for clerk_id, why in audit.summary.skipped_users.items():
            self.stderr.write(f"not read: {printable(clerk_id)} ({printable(why)})")
        if audit.summary.findings or audit.summary.skipped:
            sys.exit(1)

    def _show_progress(self, seen: int) -> None:
        if seen >= self.next_progress:
            self.stderr.write(f"{seen} users")
            self.next_progress = seen + PROGRESS_EVERY

    def _write_table(self, found: Iterator[Finding], summary: Summary, *, limit: int) -> None:
        rows = list(islice(found, limit))
        more = sum(1 for _ in found)
        if rows:
            self.stdout.write(_table(rows))
        if more:
            self.stdout.write(f"{more} more are not shown; see all with --limit {len(rows) + more}.")
        self.stdout.write(_in_words(summary))

    def _write_json(self, found: Iterator[Finding], summary: Summary, *, limit: int) -> None:
        """One object, whole even if the audit breaks off: then ``complete`` is false."""
        separator = '{"findings": [\n'
        try:
            for finding in found:
                self.stdout.write(separator + json.dumps(asdict(finding)), ending="")
                separator = ",\n"
        finally:
            opening = separator if separator.startswith("{") else "\n"
            self.stdout.write(f'{opening}], "summary": {json.dumps(asdict(summary))}}}')

    def _write_csv(self, found: Iterator[Finding], summary: Summary, *, limit: int) -> None:
        writer = csv.writer(self.stdout)
        writer.writerow(COLUMNS)
        writer.writerows([csv_cell(getattr(finding, name)) for name in COLUMNS] for finding in found)


@contextmanager
def _every_error_as_2() -> Iterator[None]:
    """1 says that something was found, so no error may end with it."""
    try:
        with errors_as_exit_status():
            yield
    except KeyboardInterrupt as error:
        raise CommandError("stopped", returncode=130) from error
    except CommandError as error:
        error.returncode = 2 if error.returncode == 1 else error.returncode
        raise


def _masked(finding: Finding) -> Finding:
    is_personal = finding.model is not None or finding.field in PERSONAL
    return replace(finding, value=mask(finding.value)) if finding.value and is_personal else finding


def _table(findings: list[Finding]) -> str:
    columns = [
        name for name in COLUMNS if name not in OPTIONAL or any(getattr(one, name) for one in findings)
    ]
    table = Table()
    for name in columns:
        table.add_column(name, overflow="fold")
    for finding in findings:
        cells = (getattr(finding, name) for name in columns)
        table.add_row(*(Text("-" if cell is None else printable(cell)) for cell in cells))
    # Into a file or a pipe nothing is cut off, whatever COLUMNS says.
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 200
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def _in_words(summary: Summary) -> str:
    """The result in one line, with what to do about it."""
    skipped = f" {summary.skipped} users could not be read." if summary.skipped else ""
    if not summary.findings:
        return f"{'No findings' if skipped else 'Clean'}: {_population(summary)}, no placeholders.{skipped}"
    by_number = sorted(summary.counts.items(), key=lambda item: -item[1])
    kinds = ", ".join(f"{number} {kind}" for kind, number in by_number if number)
    noun = "finding" if summary.findings == 1 else "findings"
    return f"{summary.findings} {noun}: {kinds}. {_advice(summary)}{skipped}"


def _population(summary: Summary) -> str:
    if summary.users_in_clerk is None:
        return f"{summary.users_in_table} users in the table (not compared with Clerk)"
    if summary.users_in_clerk == summary.users_in_table:
        return f"{summary.users_in_table} users in Clerk and in the table"
    return f"{summary.users_in_clerk} users in Clerk, {summary.users_in_table} in the table"


def _advice(summary: Summary) -> str:
    counts = summary.counts
    if any(counts[kind] for kind in (FindingKind.DIFFERS, FindingKind.LOCAL_AHEAD)):
        return "Run: manage.py sync_clerk_users --force"
    if any(counts[kind] for kind in MENDABLE):
        return "Run: manage.py sync_clerk_users"
    if counts[FindingKind.REMOTE]:
        return "Correct them in Clerk; a sync cannot."
    if summary.users_in_clerk is None:
        return "Run the audit without --offline to compare them with Clerk."
    return "What Clerk holds of these users could not be read."
