"""Let go of what is kept for a time only."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from clerksync import retention
from clerksync.alarms import looked_at_afterwards
from clerksync.management.output import errors_as_exit_status, positive

_WORDS = {
    "events": "events deleted",
    "runs": "records of syncs deleted",
    "changes": "changes of users deleted",
    "anonymized": "users anonymized",
    "removed": "rows of users removed",
}


class Command(BaseCommand):
    """``manage.py prune_clerk_data``."""

    help = (
        "Delete webhook events older than CLERKSYNC_EVENT_RETENTION_DAYS, changes of users older than "
        "CLERKSYNC_HISTORY_DAYS and the records of old small syncs, and "
        "anonymize or remove deleted users as CLERKSYNC_ON_DELETE says; in batches. "
        "Exit status: 0 done, 1 the database failed, 2 wrong use."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--days", type=positive, metavar="N", help="keep events of N days instead")

    def handle(self, *args: Any, days: int | None, **options: Any) -> None:
        """Prune and tell."""
        with looked_at_afterwards(), errors_as_exit_status():
            pruned = retention.prune(days=days)
        self.stdout.write(", ".join(f"{pruned[name]} {words}" for name, words in _WORDS.items()))
