"""What happens at Clerk, and past the mirror, in the whole machine."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, ClassVar

from django.test import override_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from clerksync.models import ClerkUser
from tests.convergence import changes, checks
from tests.convergence.entrances import Entrances
from tests.convergence.twins import SmallPages, Twins
from tests.convergence.world import Change, Happened, Kind, World

WHO = st.integers(0, 20)
EVENTS = st.sampled_from(sorted(changes.OF_A_USER))


class Living(RuleBasedStateMachine):
    """Users come, change and go; of some of it nobody is told."""

    twins: ClassVar[Twins]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.world = World(self.twins)
        self.run = Entrances(self.twins)
        self.before: checks.Rows = {}

    @initialize(
        people=st.sampled_from([0, 2, 14]),
        cursor=st.sampled_from(["error", "ignored", "empty"]),
        refresh=st.sampled_from(["inline", "mark"]),
    )
    def begin(self, people: int, cursor: Any, refresh: str) -> None:
        """Users who were there before the mirror was."""
        self.stack.enter_context(override_settings(CLERKSYNC_REFRESH=refresh))
        self.twins.begin(unknown_cursor=cursor)
        for number in range(people):
            created_at = self.world.now_ms - 3_600_000 + 1_000 * (number // 3)  # three share a millisecond
            self.world.do(changes.create(created_at=created_at), told=False)

    # Clerk -------------------------------------------------------------------------

    @rule(ms=st.sampled_from([0, 1, 7, 900, 5_000, 61_000, 400_000]))
    def pass_time(self, ms: int) -> None:
        self.world.pass_time(ms)

    @precondition(lambda self: len(self.world.present) < 18)
    @rule(told=st.booleans())
    def create(self, *, told: bool) -> None:
        self.world.do(changes.create(email="shared@harbour-works.io"), told=told)

    @precondition(lambda self: self.world.present)
    @rule(what=EVENTS, who=WHO, told=st.booleans())
    def change(self, *, what: str, who: int, told: bool) -> None:
        self.world.do(self._change(what, who), told=told)

    @precondition(lambda self: self.world.present)
    @rule(who=WHO)
    def change_and_delete(self, who: int) -> None:
        """Both are told, and arrive in any order."""
        clerk_id = self._someone(who)
        self.world.do(changes.update(clerk_id, first_name="C"), told=True)
        self.world.do(changes.delete(clerk_id), told=True)

    @precondition(lambda self: self.world.present)
    @rule(who=WHO, name=st.sampled_from("AB"))
    def change_before_replicas_know(self, who: int, name: str) -> None:
        self.world.lag(self._someone(who), name)

    @precondition(lambda self: self.world.present)
    @rule(who=WHO)
    def change_past_the_mirror(self, who: int) -> None:
        """Somebody's script puts a placeholder where the mirror writes; the next walk mends it."""
        clerk_id = self._someone(who)

        def spoil(clerk: SmallPages) -> int:
            return ClerkUser.objects.filter(pk=clerk_id, state="active").update(email="user@example.com")

        if self.twins.each(spoil):
            self.world.lost.append(Happened(Kind.SILENT, clerk_id, self.world.now_ms))

    # ---------------------------------------------------------------------------------

    def _someone(self, who: int) -> str:
        """A user of Clerk's, of whom everybody knows everything."""
        present = self.world.present
        self.world.catch_up(present[who % len(present)])
        return present[who % len(present)]

    def _anyone(self, who: int) -> str:
        """A user who was there once."""
        known = self.world.known
        return known[who % len(known)]

    def _change(self, what: str, who: int) -> Change:
        return changes.OF_A_USER[what](self._someone(who))
