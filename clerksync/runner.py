"""What full and incremental syncs have in common: a lease, books that commit with the pages, and the drain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import ClassVar

from msgspec import Struct

from clerksync import misses, runs, signals, watermarks
from clerksync.client import ClerkClient, Instance
from clerksync.drain import Drain
from clerksync.exceptions import SyncInterrupted
from clerksync.leases import Lease
from clerksync.models import ClerkUser, SyncRun
from clerksync.pages import Checkpoint, PageWriter, SweptPage
from clerksync.payloads import Parser
from clerksync.placeholders import PlaceholderRules
from clerksync.records import Outcome
from clerksync.tally import Report, Tally, errors_into

#: Doubts that fall due within this time are waited for.
PATIENCE_MS = 10_000

#: Told after each page: what it did, and how many users have been seen.
OnPage = Callable[[SweptPage, int], None]


class Watch(Struct, frozen=True, kw_only=True):
    """How a sync is watched: told of pages, stopped after one, and made to wait."""

    on_page: OnPage | None = None
    stop: threading.Event | None = None
    sleep: Callable[[float], object] = time.sleep


def announce(run: SyncRun, report: Report) -> Report:
    """Tell the receivers how it ended; they may be slow, so the lease should be given back."""
    if report.error is None:
        signals.sync_completed.send_robust(SyncRun, run=run)
    else:
        signals.sync_failed.send_robust(SyncRun, run=run, error=report.error)
    return report


class Runner:
    """One run of a sync; a dry run has neither a lease nor a row in the books."""

    kind: ClassVar[SyncRun.Kind]

    def __init__(
        self,
        client: ClerkClient,
        watch: Watch,
        *,
        lease: Lease | None,
        run: SyncRun | None,
        allow_deletes: int | None = None,
        judge_missing: bool = True,
        compare_all: bool = False,
    ) -> None:
        self.client = client
        self.watch = watch
        self.lease = lease
        self.run = run
        self.allow_deletes = allow_deletes
        self.judge_missing = judge_missing
        self.instance = Instance(id="", environment_type="")
        self.known = watermarks.known()
        self.checkpoint = runs.read_checkpoint(run) if run else Checkpoint()
        self.tally = Tally(PlaceholderRules.from_settings(), run.counts if run else None)
        self.tally.skipped.update(run.skipped if run else {})
        self._next_tally = self.tally
        self.writer = PageWriter(
            parser=Parser.from_settings(),
            before_write=self._renew,
            after_write=self.save,
            compare_all=compare_all,
            dry_run=run is None,
            provenance=f"run {run.pk}" if run else "",
        )

    def work(self) -> None:
        """Do what this kind of sync does; an error ends it, and is kept."""
        raise NotImplementedError

    def report(self) -> Report:
        """Do it, keep the books, and tell."""
        started = time.monotonic()
        report = Report(self.kind.value, dry_run=self.run is None)
        with errors_into(report):
            self.work()
        report.instance_id, report.environment = self.instance.id, self.instance.environment_type
        self.tally.counts["seen"] = self.checkpoint.seen
        report.fill(
            self.tally, requests=self.client.requests, throttled=self.client.throttled, started=started
        )
        with errors_into(report):
            report.in_doubt = ClerkUser.objects.in_doubt().count()
            if self.run is not None:
                with self.writing():
                    runs.close_run(self.run, self.tally, self.checkpoint, report)
        return report

    def read(self, pages: Generator[SweptPage], *, advice: str) -> None:
        """Have pages read and written until there are no more, or somebody says stop."""
        with closing(pages):  # a thread may read ahead
            for page in pages:
                self.tally = self._next_tally
                self._tell(page)
                if self.watch.stop is not None and self.watch.stop.is_set():
                    raise SyncInterrupted(f"stopped after {self.checkpoint.seen} users; {advice}")

    def save(self, page: SweptPage) -> None:
        """Count the page and keep its checkpoint, in its transaction; the counts are ours once it is committed."""
        missing = set(page.missing)
        tally = self._next_tally = self.tally.copy()
        tally.add({clerk_id: change for clerk_id, change in page.changes.items() if clerk_id not in missing})
        tally.counts[Outcome.UNCHANGED.value] += len(
            {head.clerk_id for head in page.stored} - page.changes.keys()
        )
        tally.skip(page.skipped)
        tally.counts["missing"] += len(missing)
        if self.run is not None and page.checkpoint is not None:
            judged = misses.window(self.known, started_ms=page.checkpoint.started_ms)
            tally.counts.update(misses.judge((*page.shown, *page.stored), judged) if judged else {})
            runs.save_page(self.run, tally, page.checkpoint)

    def drain(self, also: Sequence[str] = ()) -> None:
        """Settle what is in doubt; wait a little for what is not yet due. A dry run does not wait.

        Args:
            also: Users whom a dry run would have put in doubt.
        """
        drain = Drain(
            self.client,
            self.writer.parser,
            max_deletes=self.allow_deletes,
            judge_missing=self.judge_missing,
            dry_run=self.writer.dry_run,
            before_read=self._heed_stop,
            before_write=self._renew,
            provenance=self.writer.provenance,
            known_before=self.run.started_at if self.run else None,
        )
        if self.writer.dry_run:
            due = drain.due(now_ms=self.client.now_ms())
            self._settle(drain, list(dict.fromkeys([*also, *due])))
            return
        for ids in self._due(drain):
            self._settle(drain, ids)

    def advance(self, *, updates_ms: int | None = None, deletes_ms: int | None = None) -> None:
        """Move the watermarks on, as far as Clerk told the time."""
        if self.lease is not None and (updates_ms, deletes_ms) != (None, None):
            with self.writing():
                watermarks.advance(now_ms=self.client.now_ms(), updates_ms=updates_ms, deletes_ms=deletes_ms)

    def _settle(self, drain: Drain, ids: Sequence[str]) -> None:
        changes = drain.settle(ids)
        self.tally.add(changes)
        self._tell(SweptPage((), {}, changes, {}))

    def _due(self, drain: Drain) -> Iterator[list[str]]:
        """Users in doubt, as they fall due; each once."""
        done: set[str] = set()
        while True:
            self._heed_stop()
            now_ms = self.client.now_ms()
            ids = [clerk_id for clerk_id in drain.due(now_ms=now_ms) if clerk_id not in done]
            if ids:
                done.update(ids)
                yield ids
                continue
            due_ms = drain.next_due(after_ms=now_ms, within_ms=PATIENCE_MS, done=done)
            if due_ms is None:
                return
            self.watch.sleep((due_ms - now_ms) / 1000)

    def _heed_stop(self) -> None:
        if self.watch.stop is not None and self.watch.stop.is_set():
            raise SyncInterrupted(
                "stopped while users in doubt were read by id; the next run reads the others"
            )

    def _tell(self, page: SweptPage) -> None:
        if self.watch.on_page is not None:
            self.watch.on_page(page, self.checkpoint.seen)

    def writing(self) -> AbstractContextManager[None]:
        """A transaction under the lease, if there is one."""
        return nullcontext() if self.lease is None else self.lease.writing()

    def _renew(self) -> None:
        if self.lease is not None:
            self.lease.renew()
