"""The drain: reads users in doubt again, by id, and is the only judge of who is gone.

A filter that is ignored, an empty answer or another instance must not delete anybody:
every list call asks for a control as well, a user who is known to be there, and the
answer counts only if it holds the control and nobody who was not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence, Set
from datetime import datetime
from itertools import count, islice
from typing import NamedTuple

import msgspec
from django.db import transaction
from django.db.models import Case, When

from clerksync import mirror
from clerksync.breaker import check_deletes
from clerksync.client import ClerkClient
from clerksync.exceptions import DeletesRefused, FilterIgnored
from clerksync.managers import ClerkUserQuerySet
from clerksync.mirror import Change
from clerksync.models import ClerkUser
from clerksync.payloads import Kind, Observation, Parser, Source
from clerksync.reads import Reader, later_than
from clerksync.records import ACTIVE, Doubt, Outcome, Row
from clerksync.salvage import escape_text

#: One less than Clerk takes in a filter: the last place is the control's.
BATCH = 99
MAX_CONTROLS = 3
#: Whoever is this old is known to all replicas.
SETTLED_MS = 10 * 60_000
_PIECE = 100


class _Answer(NamedTuple):
    """Who came, and since when at the latest that is true, in ms of Clerk's clock."""

    found: list[Observation]
    observed_ms: int


class Drain:
    """Reads users by id and brings the mirror up to date with what comes, and with what does not.

    Args:
        client: Clerk.
        parser: Under which settings users are read.
        max_deletes: How many users may be buried; None for the breaker's limit.
        judge_missing: Whether those who do not come are read one by one, and buried.
        compare_all: Compare every column, not only the digest.
        dry_run: Write nothing.
        before_read: Called before each request; raises an error to end it.
        before_write: Called first in each write's transaction: renews the lease.
        provenance: The id of the run.
        known_before: Only users who were in the table by then can be controls; None for all. If another
            instance answers, its users may have come into the table with this very run.
    """

    def __init__(
        self,
        client: ClerkClient,
        parser: Parser,
        *,
        max_deletes: int | None = None,
        judge_missing: bool = True,
        compare_all: bool = False,
        dry_run: bool = False,
        before_read: Callable[[], None] | None = None,
        before_write: Callable[[], None] | None = None,
        provenance: str = "",
        known_before: datetime | None = None,
    ) -> None:
        self.client = client
        self.parser = parser
        self.max_deletes = max_deletes
        self.judge_missing = judge_missing
        self.compare_all = compare_all
        self.dry_run = dry_run
        self.before_read = before_read or (lambda: None)
        self.before_write = before_write
        self.provenance = provenance
        self.known_before = known_before
        self._reader = Reader(client, parser, provenance=provenance)
        self._controls: list[str] = []
        self._candidates: Iterator[str] = iter(())

    def due(self, *, now_ms: int, batch: int = 10_000) -> list[str]:
        """The users in doubt whose time has come, longest waiting first; the missing last.

        Whom the breaker does not let go stays due, and must not keep the others waiting.
        """
        waiting = ClerkUser.objects.needs_refresh().filter(retry_ms__lte=now_ms)
        waiting = waiting.order_by(Case(When(doubt_reason=Doubt.ABSENT, then=1), default=0), "retry_ms", "pk")
        return list(waiting.values_list("pk", flat=True)[:batch])

    def next_due(self, *, after_ms: int, within_ms: int, done: Container[str]) -> int | None:
        """When the next user in doubt falls due, of those who are not yet done; None if not in time."""
        waiting = ClerkUser.objects.needs_refresh().filter(
            retry_ms__range=(after_ms + 1, after_ms + within_ms)
        )
        in_order = waiting.order_by("retry_ms").values_list("pk", "retry_ms").iterator(chunk_size=200)
        return next((retry_ms for clerk_id, retry_ms in in_order if clerk_id not in done), None)

    def settle(self, ids: Sequence[str]) -> dict[str, Change]:
        """Read these users and apply the answers.

        Returns:
            What happened, by Clerk id.

        Raises:
            FilterIgnored: Clerk's answers make no sense; nobody was buried.
            DeletesRefused: More users are gone than may be deleted; nobody was buried.
        """
        self._candidates = self._find_controls(set(ids))
        self._controls = list(islice(self._candidates, 1))
        changes = self._skip([clerk_id for clerk_id in ids if not _is_askable(clerk_id)])
        ids = [clerk_id for clerk_id in ids if _is_askable(clerk_id)]
        missing: dict[str, int] = {}
        for start in range(0, len(ids), BATCH):
            self.before_read()
            asked = ids[start : start + BATCH]
            rows = mirror.read(asked)
            answer = self._ask(asked)
            found = {observation.clerk_id for observation in answer.found}
            missing |= dict.fromkeys(
                (clerk_id for clerk_id in asked if clerk_id not in found), answer.observed_ms
            )
            changes |= self._apply([later_than(rows, observation) for observation in answer.found])
            # Where there was no control, those who were missed before and came are as good.
            back = [
                clerk_id for clerk_id in found & rows.keys() if rows[clerk_id].doubt_reason == Doubt.ABSENT
            ]
            self._controls = self._controls or sorted(back)[:MAX_CONTROLS]
        return changes | (self._judge_missing(missing) if self.judge_missing else {})

    def _judge_missing(self, missing: dict[str, int]) -> dict[str, Change]:
        """Read those who did not come, one by one; a 404 is a delete."""
        rows = mirror.read(missing)
        self._check_deletes(missing, rows)
        changes: dict[str, Change] = {}
        for clerk_id, observed_ms in missing.items():
            self.before_read()
            observation = later_than(rows, self._reader.read(clerk_id, observed_ms=observed_ms))
            change = self._apply([observation])
            changes |= change
            self._count_delete(change)
        return changes

    def _check_deletes(self, missing: dict[str, int], rows: dict[str, Row]) -> None:
        """Refuse before the first one is buried, not in the middle."""
        buried = [clerk_id for clerk_id in missing if clerk_id in rows and rows[clerk_id].state == ACTIVE]
        check_deletes(
            len(buried), now_ms=max(missing.values(), default=0), allowed=self.max_deletes, lock=False
        )
        if buried and not self._controls and self.max_deletes is None:
            raise DeletesRefused(
                f"none of the users in this table can be found in Clerk any more, so that nothing tells "
                f"whether Clerk's answers can be trusted. If {len(buried)} users are really gone, run: "
                f"manage.py sync_clerk_users --allow-deletes {len(buried)}",
                wanted=len(buried),
                allowed=0,
            )

    def _count_delete(self, changes: dict[str, Change]) -> None:
        if self.max_deletes is not None:
            self.max_deletes -= sum(change.outcome == "deleted" for change in changes.values())

    def _skip(self, ids: Sequence[str]) -> dict[str, Change]:
        """Users whom Clerk cannot be asked for stay in doubt; an id that no row has is nobody's."""
        known = mirror.read(clerk_id for clerk_id in ids if escape_text(clerk_id) == clerk_id)
        unknown = dict.fromkeys(ids, Change(Outcome.UNCHANGED))
        unreadable = [self._reader.unreadable(clerk_id, "not an id of Clerk's") for clerk_id in known]
        return unknown | self._apply([later_than(known, observation) for observation in unreadable])

    def _ask(self, asked: Sequence[str]) -> _Answer:
        """List these users and a control."""
        shown = False
        while self._controls:
            control = self._controls[0]
            answer = self._list([*asked, control])
            if any(observation.clerk_id == control for observation in answer.found):
                wanted = set(asked)
                return answer._replace(found=[seen for seen in answer.found if seen.clerk_id in wanted])
            shown = self._drop_control(control) or shown
            if shown and not self._controls:
                raise FilterIgnored(
                    "Clerk's list lacks users whom it shows by id; nobody was deleted. Try again later"
                )
            if not self._controls and self.max_deletes is None:
                raise FilterIgnored(
                    "Clerk's list lacks users who were there a moment ago; nobody was deleted. "
                    "Check the secret key, and try again later"
                )
        return self._list(asked)

    def _drop_control(self, control: str) -> bool:
        """A control that did not come may itself be gone, or unreadable; whether a read by id shows the user."""
        self._controls = self._controls[1:] or list(islice(self._candidates, 1))
        observation = self._reader.read(control)
        if observation.kind is not Kind.ABSENT:
            return True
        missed = msgspec.structs.replace(observation, source=Source.LIST, kind=Kind.MISSED)
        self._apply([later_than(mirror.read([control]), missed)])
        return False

    def _list(self, ids: Sequence[str]) -> _Answer:
        page, found = self.client.users_by_id(
            ids,
            decode=lambda page: self.parser.parse_page(
                page.body, source=Source.GET, observed_ms=page.observed_ms, provenance=self.provenance
            ),
        )
        observed_ms = self.client.now_ms() if page.observed_ms is None else page.observed_ms
        return _Answer([observation for observation in found if observation.clerk_id], observed_ms)

    def _find_controls(self, ids: set[str]) -> Iterator[str]:
        """A few users without a doubt who should be there, each another way, for no way is always right.

        Not every replica need know the newest user; the newest of those whom all know may have been thrown out
        with a crowd; and the oldest is not on the first page, if Clerk ignores how long it is to be.
        """
        trusted = ClerkUser.objects.active().filter(doubt_reason="", created_ms__isnull=False)
        if self.known_before is not None:
            trusted = trusted.filter(first_seen__lt=self.known_before)
        settled = trusted.filter(created_ms__lte=self.client.now_ms() - SETTLED_MS)
        chosen: set[str] = set()
        for users in (
            settled.order_by("-created_ms", "pk"),
            trusted.order_by("created_ms", "pk"),
            trusted.order_by("-created_ms", "pk"),
        ):
            clerk_id = _first_fit(users, unfit=ids | chosen)
            if clerk_id is not None:
                chosen.add(clerk_id)
                yield clerk_id

    def _apply(self, observations: list[Observation]) -> dict[str, Change]:
        if not observations:
            return {}
        with transaction.atomic(using=mirror.database()):
            if self.before_write is not None:
                self.before_write()
            return mirror.apply(
                observations,
                max_deletes=self.max_deletes,
                compare_all=self.compare_all,
                with_fields=self.dry_run,
                dry_run=self.dry_run,
            )


def _first_fit(users: ClerkUserQuerySet, *, unfit: Set[str]) -> str | None:
    """The first of these users who can be a control; read in pieces, and no cursor stays open meanwhile."""
    for start in count(step=_PIECE):
        piece = list(users.values_list("pk", flat=True)[start : start + _PIECE])
        for clerk_id in piece:
            if clerk_id not in unfit and _is_askable(clerk_id):
                return clerk_id
        if len(piece) < _PIECE:
            return None
    return None


def _is_askable(clerk_id: str) -> bool:
    """Whether an id has only the characters that Clerk's ids have."""
    return clerk_id.isascii() and clerk_id.replace("_", "").isalnum() and clerk_id != "count"
