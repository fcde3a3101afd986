"""Bring the table of users up to date with Clerk."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clerksync import refresh, sync
from clerksync.alarms import looked_at_afterwards
from clerksync.client import ClerkClient
from clerksync.incremental import incremental_sync
from clerksync.management import reports
from clerksync.management.output import errors_as_exit_status, positive
from clerksync.pages import SweptPage
from clerksync.tally import Report

#: What an incremental sync cannot do, and why.
_NOT_INCREMENTAL = {
    "user": "--user reads other users than those that were changed",
    "pending": "--incremental reads users in doubt as well",
    "no_deletes": "--incremental looks for nobody who is gone",
    "restart": "an incremental sync is never resumed",
    "force": "only a full sync compares everybody",
    "adopt_instance": "a table that changes to another instance needs a full sync",
}
#: What a read of some users by id cannot do, and why.
_NOT_BY_ID = {
    "no_deletes": "whoever is read by id and is gone is marked as deleted",
    "restart": "a read by id is never resumed",
}
#: What a read of those in doubt cannot do besides.
_NOT_PENDING = {
    "user": "--pending chooses whom it reads",
    "force": "of those in doubt every read is believed",
    **_NOT_BY_ID,
}


class Command(BaseCommand):
    """``manage.py sync_clerk_users``."""

    help = (
        "Read all users from Clerk and bring the table up to date. Exit status: 0 everything is in the table, "
        "1 something is missing, 2 wrong use or configuration, 3 another sync is at work, 4 refused, 130 Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("--dry-run", action="store_true", help="write nothing, and tell what would change")
        add("--user", action="append", default=[], metavar="ID", help="read this user only; repeatable")
        add("--incremental", action="store_true", help="read only who was changed since the last sync")
        add("--pending", action="store_true", help="read users in doubt only, whose time has come")
        add("--no-deletes", action="store_true", help="leave users alone whom Clerk no longer shows")
        add("--allow-deletes", type=positive, metavar="N", help="let up to N users be deleted")
        add("--restart", action="store_true", help="begin anew instead of resuming the last sync")
        add("--force", action="store_true", help="compare every column, not only the digest")
        add("--adopt-instance", action="store_true", help="let the table change to the instance of the key")
        add("--rate", type=positive, metavar="N", help="take at most N requests per 10 seconds")
        add("--format", choices=["text", "json"], default="text", help="of the summary")
        add("--no-progress", action="store_true", help="say nothing on the way")
        add("--show-values", action="store_true", help="do not mask personal data in the diff (-v 2)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Sync, tell, and end with the status of the report."""
        if options["incremental"]:
            _refuse_others(options, _NOT_INCREMENTAL, beside="--incremental")
        elif options["pending"]:
            _refuse_others(options, _NOT_PENDING, beside="--pending")
        elif options["user"]:
            _refuse_others(options, _NOT_BY_ID, beside="--user")
        with nullcontext() if options["dry_run"] else looked_at_afterwards():
            self._sync_and_tell(**options)

    def _sync_and_tell(self, *, rate: int | None, format: str, **options: Any) -> None:
        self.in_words = format == "text"
        with errors_as_exit_status(), ClerkClient(rate=rate) as client:
            report = self._sync(client, **options)
        if format == "json":
            self.stdout.write(json.dumps(report.as_dict(), indent=2))
        else:
            reports.write_summary(report, self.stdout)
        if report.exit_status:
            raise CommandError(reports.describe_problem(report), returncode=report.exit_status)

    def _sync(
        self,
        client: ClerkClient,
        *,
        user: list[str],
        incremental: bool,
        pending: bool,
        dry_run: bool,
        **options: Any,
    ) -> Report:
        shared = {name: options[name] for name in ("allow_deletes", "adopt_instance")}
        if pending:
            return refresh.sync_pending(client, dry_run=dry_run, on_page=self._diff(**options), **shared)
        if user:
            on_page, force = self._diff(**options), options["force"]
            return refresh.sync_users(
                client, user, compare_all=force, dry_run=dry_run, on_page=on_page, **shared
            )
        chosen = sync.Options(
            deletes=not options["no_deletes"],
            compare_all=options["force"],
            restart=options["restart"],
            dry_run=dry_run,
            **shared,
        )
        with reports.stop_on_interrupt(self.stderr) as stop:
            if incremental:
                return incremental_sync(
                    client,
                    allow_deletes=options["allow_deletes"],
                    dry_run=dry_run,
                    on_page=self._diff(**options),
                    stop=stop,
                    sleep=stop.wait,
                )
            if options["no_progress"]:
                return sync.full_sync(
                    client, chosen, on_page=self._diff(**options), stop=stop, sleep=stop.wait
                )
            total = client.count()
            with reports.progress(self.stdout, self.stderr, total=total) as show_progress:
                diff = self._diff(**options)

                def on_page(page: SweptPage, seen: int) -> None:
                    diff(page, seen)
                    show_progress(page, seen)

                return sync.full_sync(client, chosen, on_page=on_page, stop=stop, sleep=stop.wait)

    def _diff(self, *, verbosity: int, show_values: bool, **options: Any) -> reports.OnPage:
        """A callback that writes what would change."""

        def on_page(page: SweptPage, seen: int) -> None:
            if verbosity > 1 and self.in_words:
                reports.write_changes(page, self.stdout, values=show_values)

        return on_page


def _refuse_others(options: dict[str, Any], reasons: Mapping[str, str], *, beside: str) -> None:
    for name, why in reasons.items():
        if options[name]:
            option = "--" + name.replace("_", "-")
            raise CommandError(f"{beside} and {option} do not go together: {why}", returncode=2)
