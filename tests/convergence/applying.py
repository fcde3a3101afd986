"""The writer against the fake Clerk, under any order, duplication, delay and loss (I1 to I4, I15).

Observations are made by hand, without HTTP and without views: a step takes a millisecond, and arrives later
than any real read could.
"""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings as django_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from clerksync import mirror
from clerksync.answers import Page
from clerksync.differences import compare_fields
from clerksync.fields import UserFields
from clerksync.head import read_head
from clerksync.models import ClerkUser
from clerksync.payloads import Kind, Observation, Parser, Source
from clerksync.records import Outcome
from clerksync.testing import FakeClerk, VirtualClock
from tests.figures import tell
from tests.routers import use_database

PARSER = Parser()
COMPARED = ("clerk_id", *UserFields.__struct_fields__)
BOOKKEEPING = ("state", "updated_ms", "observed_ms", "doubt_reason", "digest", "revision", "payload_text")


def databases() -> list[str]:
    """The aliases that every history is played on."""
    return list(django_settings.DATABASES)


class Applying(RuleBasedStateMachine):
    """Clerk changes, tells or does not tell, and is read; whatever arrives, the mirror follows."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.clerk = FakeClerk(seed=1, clock=self.clock)
        self.pending: list[Observation] = []
        #: Lost updates are found by the next scan, lost deletes and silent changes by a sweep.
        self.needs_scan = False
        self.needs_sweep = False
        self.watermark = 0
        self.versions: dict[str, int] = {}
        self.dead: set[str] = set()

    @initialize()
    def empty_table(self) -> None:
        for alias in databases():
            ClerkUser.objects.using(alias).all().delete()

    # Clerk -------------------------------------------------------------------------

    @rule(ms=st.sampled_from([0, 1, 7, 900, 5_000, 61_000]))
    def pass_time(self, ms: int) -> None:
        self.clock.advance(ms=ms)

    @precondition(lambda self: len(self.clerk.users()) < 5)
    @rule(told=st.booleans())
    def create(self, *, told: bool) -> None:
        user = self.clerk.create_user(email="one@harbour-works.io")
        self._tell(user, told=told)

    @precondition(lambda self: self.clerk.users())
    @rule(data=st.data(), told=st.booleans(), name=st.sampled_from("ABC"))
    def change(self, *, data: st.DataObject, told: bool, name: str) -> None:
        self._tell(self.clerk.update_user(self._any_user(data), first_name=name), told=told)

    @precondition(lambda self: self.clerk.users())
    @rule(data=st.data(), name=st.sampled_from("ABC"))
    def change_silently(self, data: st.DataObject, name: str) -> None:
        self.clerk.update_user(self._any_user(data), silent=True, last_name=name)
        self.needs_sweep = True

    @precondition(lambda self: self.clerk.users())
    @rule(data=st.data(), told=st.booleans())
    def ban(self, *, data: st.DataObject, told: bool) -> None:
        self._tell(self.clerk.ban_user(self._any_user(data)), told=told)

    @precondition(lambda self: self.clerk.users())
    @rule(data=st.data(), told=st.booleans())
    def delete(self, *, data: st.DataObject, told: bool) -> None:
        self._delete(self._any_user(data), told=told)

    def _delete(self, clerk_id: str, *, told: bool) -> None:
        self.clerk.delete_user(clerk_id)
        event = Observation(
            clerk_id=clerk_id, source=Source.WEBHOOK, kind=Kind.DELETED, observed_ms=self.clock.now_ms()
        )
        self._announce(event, told=told)

    @precondition(lambda self: self.clerk.users())
    @rule(data=st.data(), name=st.sampled_from("ABC"))
    def change_and_delete(self, data: st.DataObject, name: str) -> None:
        """Both are told, and arrive in any order."""
        clerk_id = self._any_user(data)
        self._tell(self.clerk.update_user(clerk_id, first_name=name), told=True)
        self._delete(clerk_id, told=True)

    # Reads, which may arrive much later than they were made --------------------------

    @rule()
    def read_list(self) -> None:
        s = self.clock.now_ms() - 1_500
        self.pending += [self._observe(user, Source.LIST, s) for user in self.clerk.users()]

    @precondition(lambda self: self.clerk.users())
    @rule(data=st.data())
    def read_one(self, data: st.DataObject) -> None:
        clerk_id = self._any_user(data)
        self.pending.append(self._read_by_id(clerk_id))

    # Arrivals ------------------------------------------------------------------------

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, *, data: st.DataObject, again: bool) -> None:
        number = data.draw(st.integers(0, len(self.pending) - 1))
        observation = self.pending[number] if again else self.pending.pop(number)
        self._apply([observation])

    @precondition(lambda self: len(self.pending) > 1)
    @rule(count=st.integers(2, 6))
    def deliver_a_batch(self, count: int) -> None:
        batch, self.pending = self.pending[:count], self.pending[count:]
        self._apply(batch)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self._miss(self.pending.pop(data.draw(st.integers(0, len(self.pending) - 1))))

    @rule()
    def scan(self) -> None:
        """I2: one scan brings in every change that was ever lost, or puts its user in doubt."""
        self._scan()
        rows = ClerkUser.objects.in_bulk()
        for user in self.clerk.users():
            row = rows[user["id"]]
            assert row.updated_ms >= user["updated_at"] or row.needs_refresh

    @rule()
    def drain(self) -> None:
        self._drain()

    @invariant()
    def both_databases_agree(self) -> None:
        """I15."""
        tell("convergence: steps of the apply rule's machine")
        tables = [
            list(ClerkUser.objects.using(alias).order_by("pk").values_list(*COMPARED, *BOOKKEEPING))
            for alias in databases()
        ]
        assert all(table == tables[0] for table in tables)

    def teardown(self) -> None:
        """I1 and I2: when everything has arrived, the table is what Clerk holds."""
        self._apply(self.pending)
        if self.needs_sweep:
            self._sweep()
        elif self.needs_scan:
            self._scan()
        for _ in range(10):  # a lower version needs two reads, a minute apart
            self._wait_for_the_next_doubt()
            self._drain()
        s = self.clock.now_ms()
        expected = {user["id"]: self._observe(user, Source.GET, s).fields for user in self.clerk.users()}
        active = {user.clerk_id: user for user in ClerkUser.objects.active()}
        assert active.keys() == expected.keys()
        for clerk_id, fields in expected.items():
            assert fields is not None
            assert compare_fields(active[clerk_id], fields) == {}
        assert not ClerkUser.objects.needs_refresh().exists()
        tell("convergence: examples of the apply rule's machine")

    # ---------------------------------------------------------------------------------

    def _any_user(self, data: st.DataObject) -> str:
        clerk_id: str = data.draw(st.sampled_from(sorted(user["id"] for user in self.clerk.users())))
        return clerk_id

    def _observe(self, user: dict[str, Any], source: Source, s: int) -> Observation:
        return PARSER.parse_user(json.dumps(user).encode(), source=source, observed_ms=s)

    def _tell(self, user: dict[str, Any], *, told: bool) -> None:
        self._announce(self._observe(user, Source.WEBHOOK, self.clock.now_ms()), told=told)

    def _announce(self, event: Observation, *, told: bool) -> None:
        if told:
            self.pending.append(event)
        else:
            self._miss(event)

    def _miss(self, lost: Observation) -> None:
        if lost.kind is Kind.DELETED:
            self.needs_sweep = True
        else:
            self.needs_scan = True

    def _read_by_id(self, clerk_id: str, *, later_than: int = 0) -> Observation:
        s = max(self.clock.now_ms() - 1_500, later_than + 1)  # as the drain knows
        users = {user["id"]: user for user in self.clerk.users()}
        if clerk_id not in users:
            return Observation(clerk_id=clerk_id, source=Source.GET, kind=Kind.ABSENT, observed_ms=s)
        return self._observe(users[clerk_id], Source.GET, s)

    def _apply(self, observations: list[Observation]) -> None:
        before = set(ClerkUser.objects.deleted().values_list("clerk_id", flat=True))
        for alias in databases():
            with use_database(alias):
                changes = mirror.apply(observations, max_deletes=1_000)
        self._check_versions(changes)
        for clerk_id in before - set(ClerkUser.objects.deleted().values_list("clerk_id", flat=True)):
            sources = {seen.source for seen in observations if seen.clerk_id == clerk_id}
            assert Source.GET in sources, "I3: a deleted user came back without a later read by id"
            assert changes[clerk_id].outcome is Outcome.REVIVED

    def _check_versions(self, changes: dict[str, mirror.Change]) -> None:
        """I4: the version of a row never decreases, but for a recorded correction."""
        for clerk_id, updated_ms in ClerkUser.objects.values_list("clerk_id", "updated_ms"):
            corrected = clerk_id in changes and changes[clerk_id].outcome is Outcome.CORRECTED
            assert updated_ms >= self.versions.get(clerk_id, 0) or corrected
            self.versions[clerk_id] = updated_ms

    def _scan(self) -> None:
        s = self.clock.now_ms() - 1_500
        until_ms = self.watermark - 120_000
        for page in read_head(
            fetch=self._head, decode=self._decode, count=lambda: len(self.clerk), until_ms=until_ms
        ):
            self._apply(list(page.items))
        self.watermark, self.needs_scan = s, False

    def _head(self, *, limit: int, order_by: str, offset: int) -> Page:
        changed = sorted(self.clerk.users(), key=lambda user: -user["updated_at"])
        body = json.dumps(changed[offset : offset + limit]).encode()
        return Page(body, self.clock.now_ms() - 1_500)

    def _decode(self, page: Page) -> list[Observation]:
        return PARSER.parse_page(page.body, source=Source.LIST, observed_ms=page.observed_ms)

    def _sweep(self) -> None:
        s = self.clock.now_ms() - 1_500
        shown = [self._observe(user, Source.LIST, s) for user in self.clerk.users()]
        ids = {observation.clerk_id for observation in shown}
        missing = ClerkUser.objects.exclude(state="deleted").exclude(clerk_id__in=ids)
        self._apply(
            shown
            + [
                Observation(clerk_id=pk, source=Source.LIST, kind=Kind.MISSED, observed_ms=s)
                for pk in missing.values_list("pk", flat=True)
            ]
        )

    def _wait_for_the_next_doubt(self) -> None:
        due = (
            ClerkUser.objects.needs_refresh().order_by("retry_ms").values_list("retry_ms", flat=True).first()
        )
        self.clock.advance(ms=max(0, (due or 0) - self.clock.now_ms()))

    def _drain(self) -> None:
        due = ClerkUser.objects.needs_refresh().filter(retry_ms__lte=self.clock.now_ms())
        self._apply(
            [
                self._read_by_id(clerk_id, later_than=max(observed_ms, doubt_ms))
                for clerk_id, observed_ms, doubt_ms in due.values_list("pk", "observed_ms", "doubt_ms")
            ]
        )
