"""The syncs: everybody, or some users; the only callers of the client that write."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.db import Error as DatabaseError
from django.utils import timezone

from clerksync import leases, signals
from clerksync.client import ClerkClient, Instance
from clerksync.drain import Drain
from clerksync.exceptions import (
    ClerkSyncError,
    DeletesRefused,
    InstanceMismatch,
    SyncError,
    SyncIncomplete,
    SyncInterrupted,
)
from clerksync.leases import Lease
from clerksync.models import ClerkUser, MirrorState, SyncRun
from clerksync.paging import count_is_plausible
from clerksync.payloads import Parser
from clerksync.placeholders import PlaceholderRules
from clerksync.sweep import Checkpoint, Sweep, SweptPage
from clerksync.tally import Report, Tally

#: A run that was cut is resumed within this time; later, what it has read is too old.
RESUME_WITHIN = timedelta(hours=24)
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
    instance = check_instance(client, adopt=options.adopt_instance, dry_run=options.dry_run)
    if options.dry_run:
        return _FullSync(client, options, instance, None, None, on_page, stop, sleep).report()
    with leases.hold("full") as lease:
        run, resumed = _open_run(instance, options)
        sync = _FullSync(client, options, instance, lease, run, on_page, stop, sleep)
        report = sync.report()
        report.resumed = resumed
    if report.error is not None:
        signals.sync_failed.send_robust(SyncRun, run=run, error=report.error)
    return report


def sync_users(
    client: ClerkClient,
    ids: Sequence[str],
    *,
    allow_deletes: int | None = None,
    adopt_instance: bool = False,
    dry_run: bool = False,
    on_page: OnPage | None = None,
) -> Report:
    """Read these users from Clerk and bring their rows up to date.

    Raises:
        InstanceMismatch: The key is of another instance.
        ClerkError: Clerk could not be asked for its instance.
    """
    instance = check_instance(client, adopt=adopt_instance, dry_run=dry_run)
    tally, started = Tally(PlaceholderRules.from_settings()), time.monotonic()
    report = Report("users", instance_id=instance.id, environment=instance.environment_type, dry_run=dry_run)
    drain = Drain(
        client, Parser.from_settings(), max_deletes=allow_deletes, dry_run=dry_run, provenance="users"
    )
    with _errors_into(report):
        changes = drain.settle(list(dict.fromkeys(ids)))
        tally.add(changes)
        tally.counts["seen"] = len(changes)
        unknown = set(ids).difference(_known(ids))
        if not dry_run:
            tally.skip(dict.fromkeys(sorted(unknown), ("neither in Clerk nor in the table",)))
        if on_page is not None:
            on_page(SweptPage((), {}, changes, {}), len(changes))
    _fill(report, tally, client, started)
    report.in_doubt = ClerkUser.objects.needs_refresh().filter(pk__in=ids).count()
    return report


def _known(ids: Sequence[str]) -> set[str]:
    return set(ClerkUser.objects.filter(pk__in=ids).values_list("pk", flat=True))


def check_instance(client: ClerkClient, *, adopt: bool = False, dry_run: bool = False) -> Instance:
    """Make sure that the key is of the instance whose users the table holds.

    The first sync decides which instance that is.

    Raises:
        InstanceMismatch: It is another one.
    """
    instance = client.instance()
    state, _ = MirrorState.objects.get_or_create(pk=1)
    if state.instance_id not in ("", instance.id) and not adopt:
        raise InstanceMismatch(
            f"the secret key opens {instance.id} ({instance.environment_type}), but this table holds the users "
            f"of {state.instance_id} ({state.environment}). Use the key of that instance; if the table is "
            f"meant to change sides, pass --adopt-instance"
        )
    if state.instance_id != instance.id and not dry_run:
        MirrorState.objects.filter(pk=1).update(
            instance_id=instance.id,
            environment=instance.environment_type,
            updates_as_of=None,
            deletes_as_of=None,
        )
    return instance


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
        self.checkpoint = msgspec.convert(run.checkpoint if run else {}, Checkpoint)
        self.tally = Tally(PlaceholderRules.from_settings(), run.counts if run else None)
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
        with _errors_into(report):
            self._sweep()
            self._check_count()
            self._finish_walk()
            self._drain()
        self.tally.counts["seen"] = self.checkpoint.seen
        _fill(report, self.tally, self.client, started)
        with _errors_into(report):
            report.in_doubt = ClerkUser.objects.needs_refresh().count()
            self._close_run(report)
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
        )
        if self.options.dry_run:
            self._settle(drain, self.missing)
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
            waiting = ClerkUser.objects.needs_refresh().filter(
                retry_ms__range=(now_ms + 1, now_ms + PATIENCE_MS)
            )
            due_ms = (
                waiting.exclude(pk__in=done).order_by("retry_ms").values_list("retry_ms", flat=True).first()
            )
            if due_ms is None:
                return
            self.sleep((due_ms - now_ms) / 1000)

    def _renew(self) -> None:
        if self.lease is not None:
            self.lease.renew()

    def _save(self, page: SweptPage) -> None:
        """Count the page and keep the checkpoint, in the page's transaction."""
        missing = set(page.missing)
        self.tally.add(
            {clerk_id: change for clerk_id, change in page.changes.items() if clerk_id not in missing}
        )
        self.tally.skip(page.skipped)
        self.tally.counts["missing"] += len(missing)
        if self.options.dry_run and self.options.deletes:
            self.missing += page.missing
        if self.run is not None:
            self._update_run(checkpoint=msgspec.to_builtins(self.checkpoint))

    def _update_run(self, **values: Any) -> None:
        if self.run is None:
            return
        SyncRun.objects.filter(pk=self.run.pk).update(
            progressed_at=timezone.now(),
            counts=dict(self.tally.counts, seen=self.checkpoint.seen),
            skipped=self.tally.skipped,
            **values,
        )

    def _update_state(self, **values: Any) -> None:
        if self.lease is not None:
            self.lease.renew()
            MirrorState.objects.filter(pk=1).update(**values)

    def _close_run(self, report: Report) -> None:
        if self.run is None:
            return
        self._update_run(
            state=_state(report, self.checkpoint),
            finished_at=timezone.now(),
            error=str(report.error or ""),
            api_calls=self.run.api_calls + report.requests,
            throttled=self.run.throttled + report.throttled,
            walk_started_ms=self.checkpoint.started_ms,
        )

    @property
    def _provenance(self) -> str:
        return f"run {self.run.pk}" if self.run is not None else ""


def _state(report: Report, checkpoint: Checkpoint) -> SyncRun.State:
    match report.error:
        case None:
            return SyncRun.State.COMPLETED
        case DeletesRefused():
            return SyncRun.State.REFUSED
        case SyncIncomplete():
            return SyncRun.State.FAILED
        case _:
            return SyncRun.State.INTERRUPTED if checkpoint.seen else SyncRun.State.FAILED


def _open_run(instance: Instance, options: Options) -> tuple[SyncRun, bool]:
    """The run to go on with, or a new one."""
    kept = {"deletes": options.deletes, "compare_all": options.compare_all}
    last = SyncRun.objects.filter(kind=SyncRun.Kind.FULL).order_by("-started_at", "-pk").first()
    now = timezone.now()
    if last is not None and not options.restart and _is_resumable(last, instance, kept, now):
        SyncRun.objects.filter(pk=last.pk).update(
            state=SyncRun.State.RUNNING, finished_at=None, error="", progressed_at=now
        )
        last.refresh_from_db()
        return last, True
    SyncRun.objects.filter(kind=SyncRun.Kind.FULL, state=SyncRun.State.RUNNING).update(
        state=SyncRun.State.INTERRUPTED, finished_at=now, error="the process ended"
    )
    run = SyncRun.objects.create(
        kind=SyncRun.Kind.FULL, instance_id=instance.id, options=kept, started_at=now, progressed_at=now
    )
    return run, False


def _is_resumable(run: SyncRun, instance: Instance, kept: dict[str, bool], now: datetime) -> bool:
    return (
        run.state in (SyncRun.State.RUNNING, SyncRun.State.INTERRUPTED)
        and bool(run.checkpoint.get("cursor"))
        and run.instance_id == instance.id
        and run.options == kept
        and run.progressed_at > now - RESUME_WITHIN
    )


@contextmanager
def _errors_into(report: Report) -> Iterator[None]:
    """Keep what went wrong; the first error counts."""
    try:
        yield
    except ClerkSyncError as error:
        report.error = report.error or error
    except DatabaseError as error:
        failed = SyncError(f"the database failed: {error}; run the same command again to go on")
        failed.__cause__ = error
        report.error = report.error or failed


def _fill(report: Report, tally: Tally, client: ClerkClient, started: float) -> None:
    report.counts = dict(tally.counts)
    report.skipped = dict(tally.skipped)
    report.requests = client.requests
    report.throttled = client.throttled
    report.seconds = time.monotonic() - started
