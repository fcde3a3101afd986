"""The full sync: everybody is read, and whoever is gone is found out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from django.db.models import Min
from django.db.models.functions import Coalesce
from msgspec import Struct

from clerksync import census, instances, leases, mirror, misses, runs, watermarks
from clerksync.client import ClerkClient, Instance
from clerksync.exceptions import SyncIncomplete
from clerksync.leases import Lease
from clerksync.models import ClerkUser, SyncRun
from clerksync.pages import SweptPage
from clerksync.paging import count_is_plausible
from clerksync.payloads import Parser, Source, unlisted
from clerksync.records import ACTIVE, Doubt
from clerksync.runner import OnPage, Runner, Watch, announce
from clerksync.sweep import Sweep
from clerksync.tally import Report

#: Clerk's lists may show a user so much later than the user was created, by far.
_LAG_MS = 3_600_000


class Options(Struct, frozen=True, kw_only=True):
    """How a full sync is done; ``deletes`` and ``compare_all`` must be the same to resume one."""

    deletes: bool = True
    compare_all: bool = False
    allow_deletes: int | None = None
    restart: bool = False
    adopt_instance: bool = False
    dry_run: bool = False


def full_sync(
    client: ClerkClient,
    options: Options | None = None,
    *,
    on_page: OnPage | None = None,
    stop: threading.Event | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> Report:
    """Bring the whole table up to date: a sweep, then the drain.

    Args:
        client: Clerk.
        options: What to do otherwise than usual.
        on_page: Progress; with ``dry_run`` the pages hold old and new values.
        stop: Once set, the sync ends after the current page and can be resumed, or after the current user in doubt.
        sleep: Waits for doubts that are not yet due.

    Returns:
        What was done; an error on the way, with everything before it kept, is in ``error``.

    Raises:
        LeaseHeld: Another full sync is at work.
        InstanceMismatch: The key is of another instance.
        ClerkError: Clerk could not be asked for its instance.
    """
    options = options or Options()
    watch = Watch(on_page=on_page, stop=stop, sleep=sleep)
    instance = instances.check(client, adopt=options.adopt_instance, dry_run=options.dry_run)
    if options.dry_run:
        return _FullSync(client, options, instance, watch).report()
    with leases.hold("full") as lease:
        with lease.writing():
            run, resumed = runs.open_run(instance, options=_kept(options), restart=options.restart)
        report = _FullSync(client, options, instance, watch, lease, run).report()
        report.resumed = resumed
    return announce(run, report)


def _kept(options: Options) -> dict[str, Any]:
    """The options under which a run must have been begun to be resumed."""
    return {
        "deletes": options.deletes,
        "compare_all": options.compare_all,
        "shape": Parser.from_settings().shape,
    }


class _FullSync(Runner):
    """One run of a full sync."""

    kind = SyncRun.Kind.FULL

    def __init__(
        self,
        client: ClerkClient,
        options: Options,
        instance: Instance,
        watch: Watch,
        lease: Lease | None = None,
        run: SyncRun | None = None,
    ) -> None:
        super().__init__(
            client,
            watch,
            lease=lease,
            run=run,
            allow_deletes=options.allow_deletes,
            judge_missing=options.deletes,
            compare_all=options.compare_all,
        )
        self.deletes = options.deletes
        self.instance = instance
        self.missing: list[str] = []

    def work(self) -> None:
        """Walk over everybody, make sure that it was everybody, and read by id who is in doubt."""
        sweep = Sweep(self.client, self.checkpoint, self.writer, mark_missing=self.deletes)
        self.read(sweep.pages(), advice="run the same command again to go on from there")
        self._check_count()
        self._finish_walk()
        deleted = self.tally.counts["deleted"]
        if self.deletes:
            self._doubt_latecomers()
        self.drain(also=self.missing)
        if self.deletes and self.run is not None:
            self._finish_deletes(self.tally.counts["deleted"] - deleted)

    def save(self, page: SweptPage) -> None:
        """Note who is missing as well: a dry run puts nobody in doubt."""
        super().save(page)
        if self.writer.dry_run and self.deletes:
            self.missing += page.missing

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
        if watermarks.known() != self.known:
            # A scan was at work meanwhile, and has judged the same changes.
            self.tally.counts["missed"] = self.tally.counts["delivered"] = 0
        self.advance(updates_ms=self.checkpoint.started_ms)

    def _finish_deletes(self, found: int) -> None:
        self.tally.counts.update(misses.judge_deletes(found, self.known, now_ms=self.client.now_ms()))
        self._doubt_latecomers()  # those of the drain's own time
        missing = ClerkUser.objects.needs_refresh().filter(state=ACTIVE, doubt_reason=Doubt.ABSENT)
        # Some of the missing may be gone, and could not be judged; but nobody is deleted before being created.
        first_ms = missing.aggregate(first_ms=Min(Coalesce("created_ms", 0)))["first_ms"]
        started_ms = self.checkpoint.started_ms
        if started_ms is not None:
            self.advance(deletes_ms=started_ms if first_ms is None else min(started_ms, first_ms))
        census.take()

    def _doubt_latecomers(self) -> None:
        """Doubt whom an event has brought that is older than the walk, which may have passed their place before.

        Such users may have been gone when it began, and then no list of this walk could miss them.
        """
        started_ms = self.checkpoint.started_ms
        if self.run is None or started_ms is None:
            return
        late = ClerkUser.objects.active().filter(doubt_reason="", source=Source.WEBHOOK.value)
        late = late.filter(first_seen__gte=self.run.started_at, observed_ms__lte=started_ms)
        if self.known.deletes_ms is not None:
            # Whoever is older was there when deletes were known, or is doubted by the event itself; by index.
            late = late.filter(created_ms__gte=self.known.deletes_ms - _LAG_MS)
        if ids := list(late.values_list("pk", flat=True)):
            with self.writing():
                by = self.writer.provenance
                mirror.apply([unlisted(one, observed_ms=started_ms, provenance=by) for one in ids])
