"""Let go of all that is kept of one user, for good."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clerksync import erasure, pagereads, subjects
from clerksync.management.output import errors_as_exit_status, printable
from clerksync.scrubbing import MODES
from clerksync.subjects import Receipt


class Command(BaseCommand):
    """``manage.py anonymize_clerk_user``."""

    help = (
        "Blank the row of a user who was deleted in Clerk, and all else that is kept of them: nothing that comes "
        "later brings it back. Exit status: 0 done, 1 it could not be done or --verify found something, "
        "2 wrong use or configuration, 4 refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("clerk_id", metavar="ID", help="the user's id at Clerk")
        add("--force", action="store_true", help="also if Clerk still has the user, or cannot be asked")
        add("--no-input", action="store_true", help="do not ask whether to do it")
        add("--verify", action="store_true", help="look through all tables for the user's texts afterwards")
        add("--value", action="append", default=[], metavar="TEXT", help="look for this, too; repeatable")
        add("--vacuum", choices=MODES, default="auto", help="what to do to the database's files")
        add("--lift", action="store_true", help="let the user be read from Clerk again, and do nothing else")
        add("--format", choices=["text", "json"], default="text", help="of the receipt")

    def handle(
        self,
        *args: Any,
        clerk_id: str,
        force: bool,
        no_input: bool,
        verify: bool,
        value: list[str],
        vacuum: str,
        lift: bool,
        format: str,
        **options: Any,
    ) -> None:
        """Make sure that it is meant, do it, and give a receipt."""
        with errors_as_exit_status():
            if not subjects.is_known(clerk_id):
                raise CommandError(
                    f"nothing is kept of {printable(clerk_id)}; is the id right?", returncode=2
                )
            if lift:
                self._lift(clerk_id)
                return
            if verify and value and subjects.is_erased(clerk_id):
                receipt = subjects.look(clerk_id, value)
            elif no_input or self._is_meant(clerk_id):
                receipt = subjects.erase(
                    clerk_id, force=force, verify=verify or bool(value), values=value, scrub=vacuum
                )
            else:
                raise CommandError("Nothing was done.", returncode=2)
        self._tell(receipt, in_words=format == "text")
        if not receipt.is_clean:
            raise CommandError("some of the user's texts are still there; see above", returncode=1)

    def _is_meant(self, clerk_id: str) -> bool:
        self.stdout.write(
            f"All that is kept of {printable(clerk_id)} will be blanked: the row, the history and the content of "
            f"events. Nothing brings it back."
        )
        return input("Type 'yes' to go on: ").strip().lower() == "yes"

    def _lift(self, clerk_id: str) -> None:
        if not erasure.lift(clerk_id, observed_ms=pagereads.now_ms()):
            raise CommandError(f"{printable(clerk_id)} is no deleted user", returncode=2)
        self.stdout.write(f"{clerk_id} will be read from Clerk again: manage.py sync_clerk_users --pending")

    def _tell(self, receipt: Receipt, *, in_words: bool) -> None:
        if not in_words:
            self.stdout.write(json.dumps(receipt.as_dict(), indent=2))
            return
        self.stdout.write(f"{receipt.clerk_id}, {receipt.at}, clerksync {receipt.version}")
        for table, rows in receipt.rows.items():
            self.stdout.write(f"{table}: {rows} {'row' if rows == 1 else 'rows'} blanked")
        if receipt.values is not None:
            self.stdout.write(f"{receipt.values} texts of the user were looked for in all tables")
        for leak in receipt.found:
            of_others = f", and in {leak.shared} that are about others" if leak.shared else ""
            self.stdout.write(f"{leak.table}.{leak.column}: found in {leak.rows} rows{of_others}")
        for note in receipt.notes:
            self.stdout.write(note)
