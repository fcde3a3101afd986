"""Write all that is kept of one user as JSON."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder

from clerksync import disclosure, subjects
from clerksync.management.output import errors_as_exit_status, printable


class Command(BaseCommand):
    """``manage.py export_clerk_user``."""

    help = (
        "Write all that is kept of a user as JSON: the row, the payload, events, and what is known of the linked "
        "Django user. Exit status: 0 done, 1 the database failed, 2 wrong use."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("clerk_id", metavar="ID", help="the user's id at Clerk")
        parser.add_argument("--output", type=Path, metavar="FILE", help="write into this new file instead")

    def handle(self, *args: Any, clerk_id: str, output: Path | None, **options: Any) -> None:
        """Collect and write."""
        with errors_as_exit_status():
            if not subjects.is_known(clerk_id):
                raise CommandError(
                    f"nothing is kept of {printable(clerk_id)}; is the id right?", returncode=2
                )
            told = json.dumps(disclosure.disclose(clerk_id), indent=2, cls=DjangoJSONEncoder)
        if output is None:
            self.stdout.write(told)
            return
        try:
            output.touch(mode=0o600, exist_ok=False)  # for nobody else to read
            output.write_text(told + "\n", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}", returncode=2) from error
