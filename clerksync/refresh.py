"""Reads of some users: those that are named, or those in doubt."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from clerksync import instances, runs
from clerksync.client import ClerkClient
from clerksync.drain import Drain
from clerksync.mirror import Change
from clerksync.models import ClerkUser, SyncRun
from clerksync.pages import SweptPage
from clerksync.payloads import Parser
from clerksync.placeholders import PlaceholderRules
from clerksync.records import Outcome
from clerksync.salvage import escape_text
from clerksync.tally import Report, Tally, errors_into

OnPage = Callable[[SweptPage, int], None]


def sync_users(
    client: ClerkClient,
    ids: Sequence[str],
    *,
    allow_deletes: int | None = None,
    adopt_instance: bool = False,
    compare_all: bool = False,
    dry_run: bool = False,
    on_page: OnPage | None = None,
) -> Report:
    """Read these users from Clerk and bring their rows up to date.

    With ``compare_all`` every column is compared, also those that other code has written to.

    Raises:
        InstanceMismatch: The key is of another instance.
        ClerkError: Clerk could not be asked for its instance.
    """
    refresh = _Refresh(
        client,
        SyncRun.Kind.USERS,
        allow_deletes=allow_deletes,
        adopt_instance=adopt_instance,
        compare_all=compare_all,
        dry_run=dry_run,
    )
    return refresh.run(lambda drain: list(dict.fromkeys(ids)), on_page)


def sync_pending(
    client: ClerkClient,
    *,
    allow_deletes: int | None = None,
    adopt_instance: bool = False,
    dry_run: bool = False,
    on_page: OnPage | None = None,
) -> Report:
    """Read the users in doubt again whose time has come.

    Raises:
        InstanceMismatch: The key is of another instance.
        ClerkError: Clerk could not be asked for its instance.
    """
    refresh = _Refresh(
        client,
        SyncRun.Kind.PENDING,
        allow_deletes=allow_deletes,
        adopt_instance=adopt_instance,
        dry_run=dry_run,
    )
    return refresh.run(lambda drain: drain.due(now_ms=client.now_ms()), on_page)


class _Refresh:
    """One reading of some users."""

    def __init__(
        self,
        client: ClerkClient,
        kind: SyncRun.Kind,
        *,
        allow_deletes: int | None,
        adopt_instance: bool,
        compare_all: bool = False,
        dry_run: bool,
    ) -> None:
        self.client = client
        self.kind = kind
        self.dry_run = dry_run
        self.started = time.monotonic()
        self.instance = instances.check(client, adopt=adopt_instance, dry_run=dry_run)
        self.tally = Tally(PlaceholderRules.from_settings())
        self.drain = Drain(
            client,
            Parser.from_settings(),
            max_deletes=allow_deletes,
            compare_all=compare_all,
            dry_run=dry_run,
            provenance=kind.value,
        )

    def run(self, choose: Callable[[Drain], list[str]], on_page: OnPage | None) -> Report:
        """Read the chosen users, count, and keep the books."""
        report = Report(
            self.kind.value,
            instance_id=self.instance.id,
            environment=self.instance.environment_type,
            dry_run=self.dry_run,
        )
        with errors_into(report):
            changes = self.drain.settle(choose(self.drain))
            self._count(changes, report)
            if on_page is not None:
                on_page(SweptPage((), {}, changes, {}), len(changes))
        client = self.client
        report.fill(self.tally, requests=client.requests, throttled=client.throttled, started=self.started)
        if not self.dry_run:
            runs.record(report, kind=self.kind)
        return report

    def _count(self, changes: dict[str, Change], report: Report) -> None:
        self.tally.add(changes)
        self.tally.counts["seen"] = len(changes)
        unknown = [clerk_id for clerk_id, change in changes.items() if _is_unknown(change)]
        self.tally.skip(dict.fromkeys(map(escape_text, unknown), ("neither in Clerk nor in the table",)))
        known = changes.keys() - set(unknown)
        report.in_doubt = ClerkUser.objects.in_doubt().filter(pk__in=known).count()


def _is_unknown(change: Change) -> bool:
    """Whether there is such a user neither in Clerk nor in the table."""
    return change.outcome is Outcome.UNCHANGED and not change.before
