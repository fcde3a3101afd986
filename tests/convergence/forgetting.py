"""The machine of the apply rule, some of whose users are anonymized, removed or erased on the way."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from clerksync import forgotten, mirror, removal
from clerksync.fields import NOTHING, VOLATILE, UserFields
from clerksync.models import ClerkUser, ForgottenUser
from clerksync.payloads import Kind, Observation, Source, blank
from clerksync.records import ERASED
from tests.convergence.applying import Applying, databases
from tests.routers import use_database

CONTENT = tuple(name for name in UserFields.__struct_fields__ if name not in VOLATILE)


class Forgetful(Applying):
    """Deleted users are let go of at any time, while their events are still on their way."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: set[str] = set()
        self.erased: set[str] = set()

    @initialize()
    def empty_table(self) -> None:
        for alias in databases():
            ClerkUser.objects.using(alias).all().delete()
            ForgottenUser.objects.using(alias).all().delete()

    @rule()
    def scan(self) -> None:
        """As in the other machine, but for those of whom nothing is to be written."""
        self._scan()
        rows = ClerkUser.objects.in_bulk()
        for user in self.clerk.users():
            if user["id"] not in self.erased:
                row = rows[user["id"]]
                assert row.updated_ms >= user["updated_at"] or row.needs_refresh

    @rule()
    def anonymize(self) -> None:
        """What the prune does with ``anonymize``."""
        ids = list(ClerkUser.objects.deleted().order_by("pk").values_list("pk", flat=True))
        self._wish(ids, Kind.ANONYMIZED)

    @rule()
    def remove(self) -> None:
        """What the prune does with ``delete``."""
        later = timezone.now() + timedelta(hours=1)
        ids = list(ClerkUser.objects.deleted().values_list("pk", flat=True))
        for alias in databases():
            with use_database(alias):
                removed = removal.remove(ids, before=later)
        self.removed |= set(removed)

    @precondition(lambda self: ClerkUser.objects.exists())
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        """What the command does; with ``--force`` if Clerk still has the user."""
        ids = list(ClerkUser.objects.order_by("pk").values_list("pk", flat=True))
        clerk_id = data.draw(st.sampled_from(ids))
        self._wish([clerk_id], Kind.ERASED)
        self.erased.add(clerk_id)

    @precondition(lambda self: self.erased)
    @rule(data=st.data())
    def lift(self, data: st.DataObject) -> None:
        """What ``--lift`` does."""
        clerk_id = data.draw(st.sampled_from(sorted(self.erased)))
        self._wish([clerk_id], Kind.LIFTED)
        self.erased.discard(clerk_id)

    @invariant()
    def nothing_is_left_of_the_erased(self) -> None:
        """No source brings them back."""
        for user in ClerkUser.objects.filter(pk__in=self.erased):
            assert (user.state, user.digest, user.doubt_reason) == ("deleted", ERASED, "")
            assert_blank(user)

    @invariant()
    def nothing_is_left_of_the_anonymized(self) -> None:
        """A blank tombstone has no content, as long as it is one."""
        for user in ClerkUser.objects.deleted():
            if user.is_anonymized:
                assert_blank(user)

    def teardown(self) -> None:
        """Clerk still has some of the erased, of whom the table is to know nothing."""
        for user in self.clerk.users():
            if user["id"] in self.erased:
                self.clerk.delete_user(user["id"])
        super().teardown()

    def _wish(self, ids: list[str], kind: Kind) -> None:
        for alias in databases():
            with use_database(alias):
                mirror.apply([blank(clerk_id, kind, observed_ms=self.clock.now_ms()) for clerk_id in ids])

    def _apply(self, observations: list[Observation]) -> None:
        gone = self.removed - set(ClerkUser.objects.values_list("pk", flat=True))
        super()._apply(observations)
        for clerk_id in gone & set(ClerkUser.objects.active().values_list("pk", flat=True)):
            sources = {seen.source for seen in observations if seen.clerk_id == clerk_id}
            assert Source.GET in sources, "a removed user came back without a read by id"
            assert forgotten.find([clerk_id], using="default") == {}


def assert_blank(user: ClerkUser) -> None:
    """The row has nothing of a person."""
    assert user.payload_text is None
    for name in CONTENT:
        value = getattr(user, name)
        assert value == ({} if name.endswith("_metadata") else getattr(NOTHING, name)), name
