"""The audit: what is wrong with the mirror, by the placeholder rules and by Clerk. Writes nothing.

Clerk is walked as a sync walks it. What a page cannot tell for sure (who is missing from it, rows
that are newer than it, tombstones of users whom it shows) is read again by id at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from django.db.models import QuerySet

from clerksync import instances, mirror
from clerksync.client import ClerkClient
from clerksync.decisions import MIN_AGE_MS
from clerksync.exceptions import FilterIgnored, SyncIncomplete
from clerksync.models import ClerkUser
from clerksync.pages import Checkpoint, PageWriter, SweptPage
from clerksync.paging import count_is_plausible
from clerksync.payloads import Observation, Parser, Source
from clerksync.placeholders import PlaceholderRules, fold
from clerksync.records import ACTIVE, DELETED, INCOMPLETE, WATCHED, Row, watched
from clerksync.sweep import Sweep
from clerksync.tally import MAX_NAMED

#: Two less than Clerk takes in a filter: the other places are the controls'.
BATCH = 98

Values = Sequence[str | None]


class FindingKind(StrEnum):
    """What is wrong, and so what helps."""

    #: In Clerk and not in the table: a sync adds the user.
    MISSING = "missing"
    #: The table holds nothing, or something made up, where Clerk knows better: a sync mends it.
    STALE = "stale"
    #: In the table and not in Clerk: a sync buries the user.
    EXTRA = "extra"
    #: Clerk itself holds the placeholder: no sync mends it.
    REMOTE = "remote"
    #: The table holds a placeholder; whether Clerk knows better is not known.
    PLACEHOLDER = "placeholder"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    ``reason`` names the broken placeholder rules, or is ``empty``, ``incomplete``, ``tombstone``,
    ``not_in_table`` or ``not_in_clerk``. ``field`` is the column, or None where it is about the
    whole user; ``value`` is what the table holds there, or Clerk if the kind is ``remote``.
    """

    clerk_id: str
    kind: FindingKind
    reason: str
    field: str | None = None
    value: str | None = None


@dataclass(slots=True)
class Summary:
    """What an audit saw; right once its findings are used up, which sets ``complete``."""

    complete: bool = False
    instance: str | None = None
    users_in_clerk: int | None = None
    users_in_table: int = 0
    counts: dict[FindingKind, int] = field(default_factory=lambda: dict.fromkeys(FindingKind, 0))
    skipped: int = 0
    skipped_users: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    seconds: float = 0.0

    @property
    def findings(self) -> int:
        """How many."""
        return sum(self.counts.values())

    def skip(self, shown: Observation) -> None:
        """Note a user whom Clerk shows and who could not be read."""
        self.skipped += 1
        if len(self.skipped_users) < MAX_NAMED:
            self.skipped_users[shown.clerk_id or "?"] = "; ".join(shown.problems)


class Audit:
    """One audit; without a client the table is judged by the rules alone.

    ``on_page`` is told after each page of Clerk's how many users have been seen.
    """

    def __init__(self, client: ClerkClient | None, *, on_page: Callable[[int], object] | None = None) -> None:
        self.client = client
        self.on_page = on_page or (lambda seen: None)
        self.rules = PlaceholderRules.from_settings()
        self.parser = Parser.from_settings()
        self.summary = Summary()
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

    def _in_table(self) -> Iterator[Finding]:
        rows = _users().order_by("pk").values_list("pk", *WATCHED).iterator(chunk_size=1000)
        for clerk_id, *values in rows:
            yield from _compare(clerk_id, values, None, self.rules)

    def _at_clerk(self, client: ClerkClient) -> Iterator[Finding]:
        self.summary.instance = instances.check(client, dry_run=True).id
        checkpoint, missing = Checkpoint(), list[str]()
        for page in self._sweep(client, checkpoint):
            missing += page.missing
            for shown in page.shown:
                yield from self._judge_shown(shown, page.rows.get(shown.clerk_id))
            self.on_page(checkpoint.seen)
        self.summary.users_in_clerk = checkpoint.seen
        _check_count(seen=checkpoint.seen, counted=client.count())
        missing += _users().filter(created_ms=None).order_by("pk").values_list("pk", flat=True)
        absent = (clerk_id for clerk_id in missing if clerk_id not in self._misplaced)
        unsure = list(dict.fromkeys([*self._unsure, *absent]))
        for start in range(0, len(unsure), BATCH):
            yield from self._judge_by_id(client, unsure[start : start + BATCH])

    def _sweep(self, client: ClerkClient, checkpoint: Checkpoint) -> Iterator[SweptPage]:
        writer = PageWriter(
            parser=self.parser, before_write=lambda: None, after_write=lambda page: None, dry_run=True
        )
        return Sweep(client, checkpoint, writer, mark_missing=False).pages()

    def _judge_shown(self, shown: Observation, row: Row | None) -> Iterator[Finding]:
        if shown.clerk_id:
            self._controls = [*self._controls[:1], shown.clerk_id]
        if row is not None and (row.created_ms is None or row.created_ms != shown.created_ms):
            self._misplaced.add(shown.clerk_id)
        # The page was read before the row, which may have been written in between.
        if row is not None and shown.full and (row.state == DELETED or row.updated_ms > shown.updated_ms):
            self._unsure.append(shown.clerk_id)
        else:
            yield from self._judge(shown, row)

    def _judge_by_id(self, client: ClerkClient, ids: list[str]) -> Iterator[Finding]:
        rows, found = mirror.read(ids), self._read(client, ids)
        for clerk_id in ids:
            row = rows.get(clerk_id)
            if clerk_id in found:
                yield from self._judge(found[clerk_id], row)
            elif row and row.state != DELETED and "" not in found and _is_old(row, client.now_ms()):
                yield Finding(clerk_id, FindingKind.EXTRA, "not_in_clerk")

    def _read(self, client: ClerkClient, ids: list[str]) -> dict[str, Observation]:
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

    def _judge(self, shown: Observation, row: Row | None) -> Iterator[Finding]:
        clerk_id = shown.clerk_id
        if not shown.full or shown.fields is None:
            self.summary.skip(shown)
            if row is not None and row.state != DELETED:
                yield from _compare(clerk_id, row.watched, None, self.rules)
        elif row is None:
            yield Finding(clerk_id, FindingKind.MISSING, "not_in_table")
        elif row.state == ACTIVE:
            yield from _compare(clerk_id, row.watched, watched(shown.fields), self.rules)
        else:
            yield Finding(
                clerk_id, FindingKind.STALE, "incomplete" if row.state == INCOMPLETE else "tombstone"
            )


def _compare(clerk_id: str, here: Values, there: Values | None, rules: PlaceholderRules) -> Iterator[Finding]:
    """Judge the values of a row, beside Clerk's if they are known."""
    local = _broken_rules(clerk_id, here, rules)
    remote = local if there == here else _broken_rules(clerk_id, there or (), rules)
    for name, mine, theirs in zip(WATCHED, here, there or here, strict=True):
        if name in remote:
            yield Finding(clerk_id, FindingKind.REMOTE, remote[name], name, theirs)
        elif name in local:
            kind = FindingKind.PLACEHOLDER if there is None else FindingKind.STALE
            yield Finding(clerk_id, kind, local[name], name, mine)
        elif mine != theirs and not fold(mine or "") and fold(theirs or ""):
            yield Finding(clerk_id, FindingKind.STALE, "empty", name, mine)


def _broken_rules(clerk_id: str, values: Values, rules: PlaceholderRules) -> dict[str, str]:
    """The names of the rules that each column breaks."""
    broken: dict[str, str] = {}
    if any(values):
        for found in rules.find(clerk_id=clerk_id, **dict(zip(WATCHED, values, strict=True))):
            broken[found.field] = ", ".join(filter(None, (broken.get(found.field), found.rule)))
    return broken


def _is_old(row: Row, now_ms: int) -> bool:
    """Whether every replica of Clerk's must know the user: too early, absence means nothing."""
    return (row.doubt_ms if row.created_ms is None else row.created_ms) + MIN_AGE_MS <= now_ms


def _users() -> QuerySet[ClerkUser]:
    return ClerkUser.objects.using(mirror.database()).exclude(state=DELETED)


def _check_count(*, seen: int, counted: int) -> None:
    """A list that cannot be complete says nothing about who is gone."""
    if seen == 0 and _users().exists():
        raise SyncIncomplete(
            f"Clerk's list of users is empty (it counts {counted}), the table is not. Check the key"
        )
    if not count_is_plausible(seen=seen, counted=counted):
        raise SyncIncomplete(f"Clerk counts {counted} users, but its list showed {seen}. Run the audit again")
