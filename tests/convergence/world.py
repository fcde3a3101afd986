"""What really happened: changes at Clerk, the events that tell of them, and which of those were lost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from clerksync.testing import Request
from clerksync.testing.deliveries import Delivery, event_body, sign
from tests.convergence.twins import SmallPages, Twins
from tests.syncing import LISTS

Json = dict[str, Any]

#: A replica may show a change so much later than its event tells it; CLERKSYNC_OVERLAP is twice that.
LAG_MS = 60_000
#: So long some replicas may not know a user who was created.
NEW_MS = 50_000


class Kind(StrEnum):
    """What sort of reading finds out about a change that no event told."""

    #: The scan does.
    UPDATE = "update"
    #: Only a walk does: the version has not moved, or the user is gone.
    SILENT = "silent"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Happened:
    """One change at Clerk, at a time of its clock; ``event`` is empty if Clerk tells nothing of it."""

    kind: Kind
    clerk_id: str
    at_ms: int
    version: int = 0
    event: str = ""
    data: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """An event on its way, with what was true when it happened."""

    svix_id: str
    body: bytes
    happened: Happened

    def delivery(self) -> Delivery:
        """The message, signed anew, as each attempt is."""
        return sign(self.body, svix_id=self.svix_id)


#: Changes one side.
Change = Callable[[SmallPages], Happened]


class World:
    """The history so far, and what follows from it."""

    def __init__(self, twins: Twins) -> None:
        self.twins = twins
        self.pending: list[Message] = []
        self.sent: list[Message] = []
        #: Changes of which no event will come any more.
        self.lost: list[Happened] = []
        #: By user: since when Clerk's lists show which version.
        self.listed: dict[str, list[tuple[int, int]]] = {}
        self.deleted: dict[str, int] = {}
        #: Changes that replicas do not show yet: told, but neither listed nor read.
        self.unlisted: dict[str, Json] = {}
        self.lagged: set[str] = set()
        #: Users of whom there was a tombstone, and of whom there is not even that any more.
        self.buried: set[str] = set()
        self.removed: set[str] = set()
        self._messages = 0

    @property
    def clerk(self) -> SmallPages:
        """One of the twins, to look at."""
        return next(iter(self.twins.clerks.values()))

    @property
    def now_ms(self) -> int:
        """Clerk's time."""
        return self.clerk.clock.now_ms()

    @property
    def present(self) -> list[str]:
        """The ids of the users that Clerk holds, in the order of their creation."""
        return [user["id"] for user in self.clerk.users()]

    @property
    def known(self) -> list[str]:
        """The ids of all users that there ever were."""
        return list(self.listed)

    def is_new(self, clerk_id: str) -> bool:
        """Whether not every replica need know the user yet."""
        return clerk_id in self.clerk and self.clerk.get(clerk_id)["created_at"] + NEW_MS > self.now_ms

    def do(self, change: Change, *, told: bool) -> None:
        """Make a change."""
        self.record(self.twins.each(change), told=told)

    def do_during(self, work: Callable[[], object], change: Change, *, after: int) -> None:
        """Work on both sides; after so many requests for lists, or else when it is done, make a change."""
        happened: list[Happened] = []

        def act(clerk: SmallPages) -> object:
            def call(request: Request) -> None:
                clerk.advance(ms=1_500)
                happened.append(change(clerk))

            fault = clerk.fail("callback", call=call, on=LISTS, after=after)
            result = work()
            clerk.clear_faults()
            if not fault.fired:
                happened.append(change(clerk))
            return result

        self.twins.each(act)
        assert happened[0] == happened[1]
        self.record(happened[0], told=True)

    def record(self, happened: Happened, *, told: bool) -> None:
        """Note a change that was made on both sides, and send its event or lose it."""
        self._note(happened)
        if not happened.event:
            self.lost.append(happened)
            return
        self.pending.append(self._message(happened))
        if not told:
            self.lose(len(self.pending) - 1)

    def lose(self, number: int) -> None:
        """Let a message never arrive (again)."""
        self.lost.append(self.pending.pop(number).happened)

    def take(self, number: int, *, keep: bool) -> Message:
        """A message that arrives; one that is kept arrives again."""
        message = self.pending[number] if keep else self.pending.pop(number)
        self.sent.append(message)
        return message

    def lag(self, clerk_id: str, name: str) -> None:
        """Change a user, and tell it, while all that can be read of Clerk still shows the user as before."""
        user = self.clerk.get(clerk_id)
        user |= {"first_name": name, "updated_at": max(user["updated_at"] + 1, self.now_ms)}
        happened = Happened(Kind.UPDATE, clerk_id, self.now_ms, user["updated_at"], "user.updated", user)
        self.pending.append(self._message(happened))
        self.unlisted[clerk_id] = user
        self.lagged.add(clerk_id)

    def catch_up(self, clerk_id: str) -> None:
        """Let the replicas show what they have not shown of a user."""
        user = self.unlisted.pop(clerk_id, None)
        if user is not None:
            self.twins.each(lambda clerk: clerk.put_user(user))
            self.listed[clerk_id].append((self.now_ms, user["updated_at"]))

    def pass_time(self, ms: int) -> None:
        """Let time pass, in which no replica lags behind for longer than LAG_MS."""
        for clerk_id, user in list(self.unlisted.items()):
            if user["updated_at"] + LAG_MS < self.now_ms + ms:
                self.catch_up(clerk_id)
        self.twins.each(lambda clerk: clerk.advance(ms=ms))

    def settle(self, *, updates_ms: float, deletes_ms: float) -> None:
        """Forget losses that have been found out about, if the watermarks are true."""
        self.lost = [
            one
            for one in self.lost
            if self._shown_at(one) > (updates_ms if one.kind is Kind.UPDATE else deletes_ms)
        ]

    def lost_kinds(self) -> set[Kind]:
        """What has to be found out by reading."""
        return {one.kind for one in self.lost}

    def _shown_at(self, happened: Happened) -> float:
        """Since when Clerk's lists show a change."""
        if happened.kind is not Kind.UPDATE or happened.clerk_id in self.deleted:
            return happened.at_ms
        shown = (at for at, version in self.listed[happened.clerk_id] if version >= happened.version)
        return min(shown, default=math.inf)

    def _note(self, happened: Happened) -> None:
        match happened.kind:
            case Kind.UPDATE:
                self.listed.setdefault(happened.clerk_id, []).append((happened.at_ms, happened.version))
            case Kind.DELETE:
                self.deleted[happened.clerk_id] = happened.at_ms
                self.unlisted.pop(happened.clerk_id, None)

    def _message(self, happened: Happened) -> Message:
        self._messages += 1
        body = event_body(
            happened.event,
            happened.data,
            timestamp_ms=happened.at_ms,
            instance_id=self.clerk.instance_id,
        )
        return Message(f"msg_{self._messages}", body, happened)
