"""The full sync: everybody is read, and whoever is gone is found out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from clerksync import instances, leases, mirror, runs, signals
from clerksync.client import ClerkClient, Instance
from clerksync.drain import Drain
from clerksync.exceptions import (
    SyncIncomplete,
    SyncInterrupted,
)
from clerksync.leases import Lease
from clerksync.models import ClerkUser, MirrorState, SyncRun
from clerksync.paging import count_is_plausible
from clerksync.payloads import Parser
from clerksync.placeholders import PlaceholderRules
from clerksync.sweep import Checkpoint, Sweep, SweptPage
from clerksync.tally import Report, Tally, errors_into

#: Doubts that fall due within this time are waited for.
PATIENCE_MS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a full sync is done; ``deletes`` and ``compare_all`` must be the same to resume one."""

    deletes: bool = True
    compare_all: bool = False
    allow_deletes: int | None = None
    restart: bool = False
    adopt_instance: bool = False
    dry_run: bool = False


#: Told after each page: what it did, and how many users have been seen.
OnPage = Callable[[SweptPage, int], None]


def full_sync(
    client: ClerkClient,
    options: Options | None = None,
    *,
    on_page: OnPage | None = None,
    stop: threading.Event | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Bring the whole table up to date: a sweep, then the drain.

    Args:
        client: Clerk.
        options: What to do otherwise than usual.
        on_page: Progress; with ``dry_run`` the pages hold old and new values.
        stop: Once set, the sync ends after the current page and can be resumed.
        sleep: Waits for doubts that are not yet due.

    Returns:
        What was done; an error on the way, with everything before it kept, is in ``error``.

    Raises:
        LeaseHeld: Another full sync is at work.
        InstanceMismatch: The key is of another instance.
        ClerkError: Clerk could not be asked for its instance.
    """
    options = options or Options()
    instance = instances.check(client, adopt=options.adopt_instance, dry_run=options.dry_run)
    if options.dry_run:
        return _FullSync(client, options, instance, None, None, on_page, stop, sleep).report()
    with leases.hold("full") as lease:
        with _under(lease):
            run, resumed = runs.open_run(instance, options=_kept(options), restart=options.restart)
        sync = _FullSync(client, options, instance, lease, run, on_page, stop, sleep)
        report = sync.report()
        report.resumed = resumed
    if report.error is not None:
        signals.sync_failed.send_robust(SyncRun, run=run, error=report.error)
    return report


def _kept(options: Options) -> dict[str, Any]:
    """The options under which a run must have been begun to be resumed."""
    return {
        "deletes": options.deletes,
        "compare_all": options.compare_all,
        "shape": Parser.from_settings().shape,
    }


@contextmanager
def _under(lease: Lease) -> Iterator[None]:
    """Write something else than users, unless another sync has taken over."""
    with transaction.atomic(using=mirror.database()):
        lease.renew()
        yield


class _FullSync:
    """One run of a full sync."""

    def __init__(
        self,
        client: ClerkClient,
        options: Options,
        instance: Instance,
        lease: Lease | None,
        run: SyncRun | None,
        on_page: OnPage | None,
        stop: threading.Event | None,
        sleep: Callable[[float], None],
    ) -> None:
        self.client = client
        self.options = options
        self.instance = instance
        self.lease = lease
        self.run = run
        self.on_page = on_page
        self.stop = stop
        self.sleep = sleep
        self.parser = Parser.from_settings()
        self.checkpoint = runs.read_checkpoint(run) if run else Checkpoint()
        self.tally = Tally(PlaceholderRules.from_settings(), run.counts if run else None)
        self.tally.skipped.update(run.skipped if run else {})
        self._next_tally = self.tally
        self.missing: list[str] = []

    def report(self) -> Report:
        """Do it, keep the books, and tell."""
        started = time.monotonic()
        report = Report(
            "full",
            instance_id=self.instance.id,
            environment=self.instance.environment_type,
            dry_run=self.options.dry_run,
        )
        with errors_into(report):
            self._sweep()
            self._check_count()
            self._finish_walk()
            self._drain()
        self.tally.counts["seen"] = self.checkpoint.seen
        report.fill(
            self.tally, requests=self.client.requests, throttled=self.client.throttled, started=started
        )
        with errors_into(report):
            report.in_doubt = ClerkUser.objects.in_doubt().count()
            if self.run is not None and self.lease is not None:
                with _under(self.lease):
                    runs.close_run(self.run, self.tally, self.checkpoint, report)
        return report

    def _sweep(self) -> None:
        sweep = Sweep(
            self.client,
            self.parser,
            self.checkpoint,
            before_write=self._renew,
            after_write=self._save,
            mark_missing=self.options.deletes,
            compare_all=self.options.compare_all,
            dry_run=self.options.dry_run,
            provenance=self._provenance,
        )
        for page in sweep.pages():
            self.tally = self._next_tally
            if self.on_page is not None:
                self.on_page(page, self.checkpoint.seen)
            if self.stop is not None and self.stop.is_set():
                raise SyncInterrupted(
                    f"stopped after {self.checkpoint.seen} users; run the same command again to go on from there"
                )

    def _check_count(self) -> None:
        """A walk that saw clearly fewer users than Clerk counts decides nothing about deletes."""
        counted = self.client.count()
        if self.checkpoint.seen == 0 and ClerkUser.objects.active().exists():
            raise SyncIncomplete(
                f"Clerk's list of users is empty (and Clerk counts {counted}), but this table holds users; "
                f"nobody was deleted. Check the secret key. If all users were really deleted, remove them "
                f"one by one: sync_clerk_users --user ID --allow-deletes N"
            )
        if not count_is_plausible(seen=self.checkpoint.seen, counted=counted):
            raise SyncIncomplete(
                f"Clerk counts {counted} users, but its list showed {self.checkpoint.seen}; nobody was deleted. "
                f"Run the sync again"
            )

    def _finish_walk(self) -> None:
        if self.run is None or self.checkpoint.started_ms is None:
            return
        as_of = datetime.fromtimestamp(self.checkpoint.started_ms / 1000, UTC)
        self._update_state(updates_as_of=as_of)

    def _drain(self) -> None:
        """Settle what is in doubt; wait a little for what is not yet due."""
        drain = Drain(
            self.client,
            self.parser,
            max_deletes=self.options.allow_deletes,
            judge_missing=self.options.deletes,
            dry_run=self.options.dry_run,
            before_write=self._renew,
            provenance=self._provenance,
            known_before=self.run.started_at if self.run else None,
        )
        if self.options.dry_run:
            due = drain.due(now_ms=self.client.now_ms())
            self._settle(drain, list(dict.fromkeys([*self.missing, *due])))
            return
        for ids in self._due(drain):
            self._settle(drain, ids)
        if self.options.deletes and self.checkpoint.started_ms is not None:
            self._update_state(deletes_as_of=datetime.fromtimestamp(self.checkpoint.started_ms / 1000, UTC))

    def _settle(self, drain: Drain, ids: Sequence[str]) -> None:
        changes = drain.settle(ids)
        self.tally.add(changes)
        if self.on_page is not None:
            self.on_page(SweptPage((), {}, changes, {}), self.checkpoint.seen)

    def _due(self, drain: Drain) -> Iterator[list[str]]:
        """Users in doubt, as they fall due; each once."""
        done: set[str] = set()
        while True:
            now_ms = self.client.now_ms()
            ids = [clerk_id for clerk_id in drain.due(now_ms=now_ms) if clerk_id not in done]
            if ids:
                done.update(ids)
                yield ids
                continue
            due_ms = drain.next_due(after_ms=now_ms, within_ms=PATIENCE_MS, done=done)
            if due_ms is None:
                return
            self.sleep((due_ms - now_ms) / 1000)

    def _renew(self) -> None:
        if self.lease is not None:
            self.lease.renew()

    def _save(self, page: SweptPage) -> None:
        """Count the page and keep its checkpoint, in its transaction; the counts are ours once it is committed."""
        missing = set(page.missing)
        tally = self._next_tally = self.tally.copy()
        tally.add({clerk_id: change for clerk_id, change in page.changes.items() if clerk_id not in missing})
        tally.skip(page.skipped)
        tally.counts["missing"] += len(missing)
        if self.options.dry_run and self.options.deletes:
            self.missing += page.missing
        if self.run is not None and page.checkpoint is not None:
            runs.save_run(self.run, tally, page.checkpoint)

    def _update_state(self, **values: Any) -> None:
        if self.lease is not None:
            with _under(self.lease):
                MirrorState.objects.filter(pk=1).update(**values)

    @property
    def _provenance(self) -> str:
        return f"run {self.run.pk}" if self.run is not None else ""
