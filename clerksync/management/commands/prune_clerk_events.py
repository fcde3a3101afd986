"""Delete old webhook events."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from clerksync import journal
from clerksync.management.output import errors_as_exit_status, positive


class Command(BaseCommand):
    """``manage.py prune_clerk_events``."""

    help = (
        "Delete webhook events older than CLERKSYNC_EVENT_RETENTION_DAYS, in batches. "
        "Exit status: 0 done, 1 the database failed, 2 wrong use."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--days", type=positive, metavar="N", help="keep N days instead")

    def handle(self, *args: Any, days: int | None, **options: Any) -> None:
        """Prune and tell."""
        with errors_as_exit_status():
            pruned = journal.prune(days=days)
        self.stdout.write(f"{pruned} events deleted")
