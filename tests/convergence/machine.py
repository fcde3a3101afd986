"""The whole product against the fake Clerk: everything that may happen, in any order, on both databases.

Each rule goes through a real entrance: HTTP to the fake, signed webhooks and pages through the views, the
functions behind the commands. After each, both databases hold the same and nothing promised is broken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import F
from django.test import override_settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from clerksync import erasure, replay
from clerksync.models import ClerkUser
from tests.convergence import checks
from tests.convergence.entrances import ANY
from tests.convergence.living import EVENTS, WHO, Living
from tests.convergence.twins import SmallPages, load_page
from tests.convergence.world import Kind
from tests.deliveries import post
from tests.figures import tell
from tests.syncing import table, written

#: Right before which request for a list something happens, and what, to whom.
MEANWHILE = st.none() | st.tuples(st.integers(0, 6), EVENTS, WHO)
ALLOWED = st.sampled_from([None, ANY])


class Whole(Living):
    """Clerk changes, tells or does not tell, and is read; whatever arrives, the mirror follows."""

    # Webhooks ------------------------------------------------------------------------

    @precondition(lambda self: self.world.pending)
    @rule(number=WHO, again=st.booleans())
    def deliver(self, *, number: int, again: bool) -> None:
        """In any order; what is delivered ``again`` comes again later as well."""
        self._deliver(number, again=again)

    @precondition(lambda self: self.world.sent)
    @rule(number=WHO)
    def redeliver(self, number: int) -> None:
        """A message that arrived before is a duplicate."""
        message = self.world.sent[number % len(self.world.sent)]
        is_forgotten = message.happened.clerk_id in self.world.removed
        assert self._post(message.delivery()) == "duplicate" or is_forgotten

    @precondition(lambda self: self.world.pending)
    @rule(number=WHO)
    def lose(self, number: int) -> None:
        self.world.lose(number % len(self.world.pending))

    @precondition(lambda self: self.world.sent)
    @rule(states=st.sampled_from([("failed", "parked"), ("applied", "superseded")]))
    def replay(self, states: tuple[str, ...]) -> None:
        self.twins.each(
            lambda clerk: [told[1:] for told in replay.replay(replay.select_events(states=states))]
        )

    # Reads -----------------------------------------------------------------------------

    @rule(pages=st.none() | st.integers(1, 4), meanwhile=MEANWHILE, allow=ALLOWED)
    def sweep(self, pages: int | None, meanwhile: tuple[int, str, int] | None, allow: int | None) -> None:
        """A full sync, begun or resumed; cut after so many pages. What happens meanwhile does so before that."""
        if pages is not None and meanwhile is not None:
            meanwhile = (min(meanwhile[0], pages - 1), *meanwhile[1:])
        self._sync(lambda: self.run.sync_all(pages=pages, allow=allow), meanwhile)

    @rule(meanwhile=MEANWHILE, allow=ALLOWED)
    def scan(self, meanwhile: tuple[int, str, int] | None, allow: int | None) -> None:
        self._sync(lambda: self.run.sync_changed(allow=allow), meanwhile)

    @rule(allow=ALLOWED)
    def drain(self, allow: int | None) -> None:
        self._sync(lambda: self.run.sync_pending(allow=allow), None)

    @precondition(lambda self: self.world.known)
    @rule(who=WHO, allow=ALLOWED)
    def refresh(self, who: int, allow: int | None) -> None:
        clerk_id = self._anyone(who)
        self._sync(lambda: self.run.sync_users(clerk_id, allow=allow), None)

    @precondition(lambda self: self.world.known)
    @rule(
        who=WHO,
        claim=st.sampled_from(["none", "A", "B"]),
        after=st.sampled_from([0, 300, None]),
        later=st.booleans(),
        unknown=st.booleans(),
    )
    def load_page(self, *, who: int, claim: str, after: int | None, later: bool, unknown: bool) -> None:
        """With a token of anybody's.

        ``later`` than the last read for a session, so that another may follow; ``unknown`` to the replica
        that answers, if the user is new.
        """
        clerk_id = self._anyone(who)
        unknown = unknown and self.world.is_new(clerk_id)

        def load(clerk: SmallPages) -> Any:
            if later:
                ClerkUser.objects.update(checked_at=None)
            if unknown:
                clerk.fail(404, on=f"GET /v1/users/{clerk_id}")
            told = load_page(clerk, clerk_id, {"first": None if claim == "none" else claim})
            clerk.clear_faults()
            return told

        was = self.before.get(clerk_id)
        with override_settings(CLERKSYNC_REFRESH_AFTER=after):
            told = self.twins.each(load)
        if was is None and clerk_id in self.world.clerk and not unknown:
            assert not told["is_none"]
            assert table()[clerk_id]["state"] == "active"

    @rule(fix=st.booleans())
    def audit(self, *, fix: bool) -> None:
        """An audit writes nothing unless it is told to mend what it finds."""
        rows = [written(alias) for alias in self.twins.clerks]
        self.twins.each(lambda clerk: self.run.audit(fix=fix))
        assert fix or [written(alias) for alias in self.twins.clerks] == rows

    @rule(what=st.sampled_from(["anonymize", "delete"]))
    def let_go(self, what: str) -> None:
        """An hour later nothing, or nobody, is left of deleted users."""

        def prune(clerk: SmallPages) -> Any:
            ClerkUser.objects.update(last_written=F("last_written") - timedelta(hours=2))
            return erasure.prune()

        with override_settings(CLERKSYNC_ON_DELETE=what, CLERKSYNC_ANONYMIZE_AFTER_DAYS=0):
            self.twins.each(prune)

    # What must hold ------------------------------------------------------------------

    @invariant()
    def nothing_promised_is_broken(self) -> None:
        if not self.twins.clerks:
            return
        first, *others = [checks.everything(alias) for alias in self.twins.clerks]
        for other in others:
            assert first == other, f"I15: the databases differ: {checks.difference(first, other)}"
        rows, (updates_ms, deletes_ms) = first[:2]
        checks.check_rows(self.world, self.before, rows)
        checks.check_watermarks(self.world, rows, updates_ms, deletes_ms)
        self.world.settle(updates_ms=updates_ms, deletes_ms=deletes_ms)
        self.before = rows
        tell("convergence: steps of the whole machine")

    def teardown(self) -> None:
        """When everything has arrived, a scan finds what was lost, a sweep who is gone; then the table is Clerk."""
        with self.stack:
            if self.twins.clerks and sys.exception() is None:
                self._end()
        tell("convergence: examples of the whole machine")

    def _end(self) -> None:
        for clerk_id in list(self.world.unlisted):
            self.world.catch_up(clerk_id)
        while self.world.pending:
            self._deliver(len(self.world.pending) - 1, again=False)
        self.nothing_promised_is_broken()
        self._find_out()
        self._settle_doubts()
        self.twins.each(lambda clerk: checks.check_end(self.world))
        if self.world.present:
            self.twins.each(lambda clerk: self.run.find_nothing())

    def _find_out(self) -> None:
        """Read whatever no event will tell; a walk that was cut is resumed, and only the next one sees all.

        Later than everything else: Clerk's clock is believed to be up to 2 s earlier than it is, and what was
        signed in at within that time is only written by a read that is later for sure.
        """
        self.world.pass_time(2_000)
        for _ in range(2):
            kinds = self.world.lost_kinds()
            if kinds - {Kind.UPDATE}:
                self.twins.each(lambda clerk: self._read_everybody())
            elif kinds:
                self.twins.each(lambda clerk: self.run.sync_changed())
            self.nothing_promised_is_broken()

    def _settle_doubts(self) -> None:
        """What a replica has shown needs two reads, a minute apart."""
        for _ in range(20):
            if not ClerkUser.objects.needs_refresh().exists():
                return
            self.twins.each(lambda clerk: self.run.wait_for_doubts())
            self.twins.each(lambda clerk: self.run.sync_pending())
            self.nothing_promised_is_broken()

    # ---------------------------------------------------------------------------------

    def _read_everybody(self) -> Any:
        """A walk; but nobody believes the empty list of an empty Clerk."""
        if self.world.present:
            return self.run.sync_all()
        return self.run.sync_users(*ClerkUser.objects.order_by("pk").values_list("pk", flat=True))

    def _deliver(self, number: int, *, again: bool) -> None:
        message = self.world.take(number % len(self.world.pending), keep=again)
        is_new = self.world.sent.count(message) == 1
        is_forgotten = message.happened.clerk_id in self.world.removed
        assert (self._post(message.delivery()) != "duplicate") == is_new or is_forgotten

    def _post(self, delivery: Any) -> Any:
        return self.twins.each(lambda clerk: post(delivery).json()["status"])

    def _sync(self, sync: Callable[[], Any], meanwhile: tuple[int, str, int] | None) -> None:
        """Sync both sides while something happens to both; at the latest when they are done."""
        if meanwhile is None or not self.world.present:
            self.twins.each(lambda clerk: sync())
            return
        after, what, who = meanwhile
        self.world.do_during(sync, self._change(what, who), after=after)
