"""Say whether the mirror is right."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from clerksync import status


class Command(BaseCommand):
    """``manage.py clerk_status``."""

    help = (
        "Say in one line whether the table is in step with Clerk, and what to do if not; asks the database only. "
        "Exit status: 0 in step, 1 behind, 2 broken."
    )
    # A probe has to answer whatever else is wrong with the settings.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--format", choices=["text", "json"], default="text", help="of the answer")

    def handle(self, *args: Any, format: str, **options: Any) -> None:
        """Tell, and end with the status."""
        found = status.read()
        self.stdout.write(found.sentence if format == "text" else json.dumps(found.as_dict(), indent=2))
        if found.exit_status:
            sys.exit(found.exit_status)
