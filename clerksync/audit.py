"""The audit: what is wrong with the mirror, by the placeholder rules and by Clerk. Writes nothing.

Clerk is walked as a sync walks it. What a page cannot tell for sure (who is missing from it, rows
that are newer than it or of the same version with other content, tombstones of users whom it shows)
is read again by id at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

from django.db.models import QuerySet

from clerksync import instances, mirror
from clerksync.causes import Causes, Judged
from clerksync.client import ClerkClient
from clerksync.comparing import compare_content, compare_values
from clerksync.conf import settings
from clerksync.decisions import MIN_AGE_MS, stable
from clerksync.exceptions import FilterIgnored, SyncIncomplete
from clerksync.fields import WATCHED, watched
from clerksync.findings import Finding, FindingKind, Summary
from clerksync.models import ClerkUser
from clerksync.pages import Checkpoint, PageWriter, SweptPage
from clerksync.paging import count_is_plausible
from clerksync.payloads import Observation, Parser, Source
from clerksync.placeholders import PlaceholderRules
from clerksync.records import ACTIVE, DELETED, ERASED, INCOMPLETE, Row
from clerksync.sweep import Sweep
from clerksync.transitions import SETTLE_MS

#: Two less than Clerk takes in a filter: the other places are the controls'.
BATCH = 98
#: Rows that are judged at once where Clerk is not asked.
ROWS = 1000

Stored = Mapping[str, ClerkUser]


class Audit:
    """One audit; without a client the table is judged by the rules alone.

    ``on_page`` is told after each page of Clerk's, and each further answer, how many users have been seen.
    """

    def __init__(
        self,
        client: ClerkClient | None,
        *,
        summary: Summary | None = None,
        on_page: Callable[[int], object] | None = None,
    ) -> None:
        self.client = client
        self.on_page = on_page or (lambda seen: None)
        self.rules = PlaceholderRules.from_settings()
        self.parser = Parser.from_settings()
        self.causes = Causes(self.parser)
        self.summary = Summary() if summary is None else summary
        self._unsure: list[str] = []  # to be read by id at the end
        #: Shown by Clerk at another time of creation than the row's, so not missing.
        self._misplaced: set[str] = set()
        self._controls: list[str] = []  # the first and the last whom Clerk has shown

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong as it is found; can be used once.

        Raises:
            InstanceMismatch: The key is of another instance than the table.
            SyncIncomplete: Clerk's list cannot be complete.
            ClerkError: Clerk could not be asked; FilterIgnored if its answers make no sense.
        """
        started = time.monotonic()
        try:
            for finding in self._in_table() if self.client is None else self._at_clerk(self.client):
                self.summary.counts[finding.kind] += 1
                yield finding
            self.summary.users_in_table = _users().count()
            self.summary.complete = True
        finally:
            self.summary.requests = self.client.requests if self.client else 0
            self.summary.seconds = round(time.monotonic() - started, 3)

    def judge_again(self, ids: Sequence[str]) -> Iterator[Finding]:
        """What is wrong with these users now; once all findings are used up.

        Raises:
            ClerkError: As above.
        """
        if self.client is not None:
            for start in range(0, len(ids), BATCH):
                yield from self._judge_by_id(self.client, ids[start : start + BATCH])

    def _in_table(self) -> Iterator[Finding]:
        rows = _users().order_by("pk").values_list("pk", *WATCHED)
        batch = list(rows[:ROWS])
        while batch:
            found = {
                clerk_id: told
                for clerk_id, *values in batch
                if (told := list(compare_values(clerk_id, values, None, self.rules)))
            }
            known = mirror.read(found) if found else {}
            judged = [Judged(one, known.get(one.clerk_id), None) for told in found.values() for one in told]
            yield from self.causes.explain(judged, now_ms=0)
            batch = list(rows.filter(pk__gt=batch[-1][0])[:ROWS])

    def _at_clerk(self, client: ClerkClient) -> Iterator[Finding]:
        self.summary.instance = instances.check(client, dry_run=True).id
        checkpoint, missing = Checkpoint(), list[str]()
        for page in self._sweep(client, checkpoint):
            missing += page.missing
            judged = list(self._judge_page(page))
            yield from self.causes.explain(judged, now_ms=client.now_ms())
            self.on_page(checkpoint.seen)
        self.summary.users_in_clerk = checkpoint.seen
        _check_count(seen=checkpoint.seen, counted=client.count())
        missing += _users().filter(created_ms=None).order_by("pk").values_list("pk", flat=True)
        absent = (clerk_id for clerk_id in missing if clerk_id not in self._misplaced)
        unsure = list(dict.fromkeys([*self._unsure, *absent]))
        for start in range(0, len(unsure), BATCH):
            yield from self._judge_by_id(client, unsure[start : start + BATCH])
            self.on_page(checkpoint.seen)

    def _sweep(self, client: ClerkClient, checkpoint: Checkpoint) -> Iterator[SweptPage]:
        writer = PageWriter(
            parser=self.parser, before_write=lambda: None, after_write=lambda page: None, dry_run=True
        )
        return Sweep(client, checkpoint, writer, mark_missing=False).pages()

    def _judge_page(self, page: SweptPage) -> Iterator[Judged]:
        shown_ids = [shown.clerk_id for shown in page.shown if shown.clerk_id]
        self._controls = [*(self._controls or shown_ids)[:1], *(shown_ids or self._controls)[-1:]]
        stored = _stored(shown_ids)
        for shown in page.shown:
            row = page.rows.get(shown.clerk_id)
            if row is not None and (row.created_ms is None or row.created_ms != shown.created_ms):
                self._misplaced.add(shown.clerk_id)
            if row is not None and shown.full and _is_unsure(row, shown):
                self._unsure.append(shown.clerk_id)
            else:
                yield from self._judge(shown, row, stored)

    def _judge_by_id(self, client: ClerkClient, ids: Sequence[str]) -> Iterator[Finding]:
        yield from self.causes.explain(list(self._judge_read(client, ids)), now_ms=client.now_ms())

    def _judge_read(self, client: ClerkClient, ids: Sequence[str]) -> Iterator[Judged]:
        # The rows first: what Clerk shows is then as new as they are.
        rows, stored = mirror.read(ids), _stored(ids)
        found = self._read(client, ids)
        for clerk_id in ids:
            row = rows.get(clerk_id)
            if clerk_id in found:
                yield from self._judge(found[clerk_id], row, stored)
            elif row and row.state != DELETED and "" not in found and _is_old(row, client.now_ms()):
                yield Judged(Finding(clerk_id, FindingKind.EXTRA, "not_in_clerk"), row, None)

    def _read(self, client: ClerkClient, ids: Sequence[str]) -> dict[str, Observation]:
        """Those of these users whom Clerk knows, under "" those whose id cannot be read."""
        asked = [clerk_id for clerk_id in ids if clerk_id.isascii() and clerk_id.replace("_", "").isalnum()]
        if not asked:
            return {}
        parse = partial(self.parser.parse_page, source=Source.GET)
        _, items = client.users_by_id(
            {*asked, *self._controls}, decode=lambda page: parse(page.body, observed_ms=page.observed_ms)
        )
        found = {item.clerk_id: item for item in items}
        if found.keys().isdisjoint(self._controls):
            raise FilterIgnored("Clerk's list by id lacks users whom it showed a moment ago; try again later")
        return found

    def _judge(self, shown: Observation, row: Row | None, stored: Stored) -> Iterator[Judged]:
        for finding in self._compare(shown, row, stored):
            yield Judged(finding, row, shown)

    def _compare(self, shown: Observation, row: Row | None, stored: Stored) -> Iterator[Finding]:
        clerk_id = shown.clerk_id
        if not shown.full or shown.fields is None:
            self.summary.skip(clerk_id, shown.problems)
            if row is not None and row.state != DELETED:
                yield from compare_values(clerk_id, row.watched, None, self.rules)
        elif row is None:
            yield Finding(clerk_id, FindingKind.MISSING, "not_in_table")
        elif row.state == ACTIVE:
            is_older = bool(row.digest) and row.updated_ms < shown.updated_ms
            told = [
                finding
                for finding in compare_values(clerk_id, row.watched, watched(shown.fields), self.rules)
                if not (is_older and finding.reason == "empty")  # what is new in Clerk is not missing here
            ]
            yield from told
            yield from self._compare_versions(
                shown, row, stored.get(clerk_id), told={finding.field for finding in told}
            )
        elif row.digest != ERASED:  # of whom nothing is wanted here, whatever Clerk has
            yield Finding(
                clerk_id, FindingKind.STALE, "incomplete" if row.state == INCOMPLETE else "tombstone"
            )

    def _compare_versions(
        self, shown: Observation, row: Row, stored: ClerkUser | None, *, told: Collection[str | None]
    ) -> Iterator[Finding]:
        now_ms = self.client.now_ms() if self.client else 0
        if row.updated_ms == shown.updated_ms:
            yield from compare_content(stored, shown, told=told)
        elif row.updated_ms > shown.updated_ms:
            if row.observed_ms + SETTLE_MS <= now_ms:  # else not every replica need know it yet
                yield Finding(shown.clerk_id, FindingKind.LOCAL_AHEAD, "newer_than_clerk")
        elif shown.updated_ms + settings.MAX_STALENESS * 1000 <= now_ms:
            yield Finding(shown.clerk_id, FindingKind.BEHIND, "older_than_clerk")


def _is_unsure(row: Row, shown: Observation) -> bool:
    """Whether the page may be older than the row, which was read after it and may have been written since.

    Of the same version and the same content it cannot be.
    """
    if row.digest == ERASED:
        return False
    if row.state == DELETED or row.updated_ms > shown.updated_ms:
        return True
    same_version = row.state == ACTIVE and row.updated_ms == shown.updated_ms
    return same_version and stable(row.digest) != stable(shown.digest)


def _is_old(row: Row, now_ms: int) -> bool:
    """Whether every replica of Clerk's must know the user: too early, absence means nothing."""
    return (row.doubt_ms if row.created_ms is None else row.created_ms) + MIN_AGE_MS <= now_ms


def _users() -> QuerySet[ClerkUser]:
    return ClerkUser.objects.using(mirror.database()).exclude(state=DELETED)


def _stored(ids: Sequence[str]) -> Stored:
    """The rows of these users with all columns that are compared."""
    return _users().defer("payload_text").in_bulk(ids) if ids else {}


def _check_count(*, seen: int, counted: int) -> None:
    """A list that cannot be complete says nothing about who is gone."""
    if seen == 0 and _users().exists():
        raise SyncIncomplete(
            f"Clerk's list of users is empty (it counts {counted}), the table is not. Check the key"
        )
    if not count_is_plausible(seen=seen, counted=counted):
        raise SyncIncomplete(f"Clerk counts {counted} users, but its list showed {seen}. Run the audit again")
