"""Tell what is wrong with the table of users, and with other tables of users; mend it if asked to."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clerksync import foreign
from clerksync.client import ClerkClient
from clerksync.foreign import KEYS, ForeignTable
from clerksync.inspection import Inspection
from clerksync.management import reports
from clerksync.management.audit_reports import WRITERS, masked
from clerksync.management.output import errors_as_exit_status, positive, printable
from clerksync.pages import SweptPage
from clerksync.undo import UndoFile, restore

#: Users between two lines of progress.
PROGRESS_EVERY = 10_000

#: What does not go together, and why.
_CONFLICTS = (
    ("offline", "fix", "to mend users they have to be read from Clerk"),
    ("undo", "fix", "do one after the other"),
    ("undo", "model", "the file says which tables it is about"),
    ("undo", "offline", "no user is audited"),
)


class Command(BaseCommand):
    """``manage.py audit_clerk_users``."""

    help = (
        "Look for placeholder data in the table of users and compare it with Clerk; nothing is written "
        "without --fix. Exit status: 0 clean, 1 something was found (or is left), 2 the audit could not be "
        "done, 4 refused, 130 Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("--offline", action="store_true", help="judge the table alone, without asking Clerk")
        add("--fix", action="store_true", help="mend what was found")
        add(
            "--dry-run",
            action="store_true",
            help="with --fix or --undo: write nothing, and tell what would change",
        )
        add(
            "--undo-file",
            type=Path,
            metavar="PATH",
            help="with --fix: keep the values replaced in other tables here",
        )
        add(
            "--undo",
            type=Path,
            metavar="FILE",
            help="put back the values that --fix has replaced in other tables",
        )
        add("--model", metavar="APP.MODEL", help="audit this table instead, which the site had before")
        for key, holds in KEYS.items():
            name, what = key.replace("_", "-"), holds.replace("_", " ")
            add(f"--{name}", metavar="FIELD", help=f"with --model: the field that holds the {what}")
        add("--format", choices=[*WRITERS], default="table", help="of the findings")
        add("--limit", type=positive, default=50, metavar="N", help="show at most N findings in the table")
        add("--show-values", action="store_true", help="do not mask personal data")

    def handle(self, *args: Any, **options: Any) -> None:
        """Audit, tell, and end with a status that says whether anything is wrong."""
        _check_options(options)
        with _every_error_as_2():
            if options["undo"] is not None:
                self._restore(**options)
            else:
                self._audit(**options)

    def _audit(
        self,
        *,
        offline: bool,
        model: str | None,
        fix: bool,
        dry_run: bool,
        undo_file: Path | None,
        **options: Any,
    ) -> None:
        self.next_progress = PROGRESS_EVERY
        tables = foreign.from_settings() if model is None else [_table_of(model, options)]
        file = UndoFile(undo_file) if fix and not dry_run else None
        no_clerk = offline or model is not None
        with nullcontext() if no_clerk else ClerkClient() as client, file or nullcontext():
            inspection = Inspection(
                client,
                tables,
                mirror=model is None,
                undo=file,
                preview=fix and dry_run,
                on_page=self._show_progress,
                on_changes=lambda page, seen: self._show_changes(page, dry_run=dry_run, **options),
            )
            self._tell(inspection, **options)

    def _tell(
        self, inspection: Inspection, *, format: str, limit: int, show_values: bool, **options: Any
    ) -> None:
        summary = inspection.summary
        found = (finding if show_values else masked(finding) for finding in inspection.findings())
        WRITERS[format](self.stdout, found, summary, limit=limit)
        for named, what in ((summary.skipped_users, "read"), (summary.not_filled_values, "filled")):
            for name, why in named.items():
                self.stderr.write(f"not {what}: {printable(name)} ({printable(why)})")
        if inspection.error is not None:
            raise inspection.error
        if not summary.is_clean:
            sys.exit(1)

    def _restore(self, *, undo: Path, dry_run: bool, **options: Any) -> None:
        done = restore(undo, dry_run=dry_run)
        would = "would be " if dry_run else ""
        self.stdout.write(f"{done.restored} values {would}put back, {done.not_restored} {would}left.")
        for name, why in done.skipped.items():
            self.stderr.write(f"left: {printable(name)} ({printable(why)})")
        if done.not_restored:
            sys.exit(1)

    def _show_progress(self, seen: int) -> None:
        if seen >= self.next_progress:
            self.stderr.write(f"{seen} users")
            self.next_progress = seen + PROGRESS_EVERY

    def _show_changes(self, page: SweptPage, *, dry_run: bool, show_values: bool, **options: Any) -> None:
        """On standard error, since standard output may be JSON."""
        if dry_run:
            reports.write_changes(page, self.stderr, values=show_values)


def _check_options(options: dict[str, Any]) -> None:
    for one, other, why in _CONFLICTS:
        if options[one] and options[other]:
            raise CommandError(f"--{one} and --{other} do not go together: {why}", returncode=2)
    if options["dry_run"] and not (options["fix"] or options["undo"]):
        raise CommandError(
            "--dry-run goes with --fix or --undo; an audit writes nothing anyway", returncode=2
        )
    if options["undo_file"] and not options["fix"]:
        raise CommandError("--undo-file goes with --fix", returncode=2)
    if not options["model"] and any(options[key] for key in KEYS):
        raise CommandError("the options that name fields go with --model", returncode=2)


def _table_of(model: str, options: dict[str, Any]) -> ForeignTable:
    named = {key: options[key] for key in KEYS if options[key]}
    return foreign.parse({"model": model, **named})


@contextmanager
def _every_error_as_2() -> Iterator[None]:
    """1 says that something was found, so no error may end with it."""
    try:
        with errors_as_exit_status():
            yield
    except KeyboardInterrupt as error:
        raise CommandError("stopped", returncode=130) from error
    except OSError as error:
        raise CommandError(f"{error.filename or 'a file'}: {error.strerror}", returncode=2) from error
    except CommandError as error:
        error.returncode = 2 if error.returncode == 1 else error.returncode
        raise
