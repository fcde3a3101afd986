"""The work in the middle of which processes are killed: what all kinds of it have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import ANY

from clerksync.models import ClerkUser, SyncRun
from clerksync.testing import FakeClerk
from tests.crash.situations import clerk_settings, expire_leases
from tests.forked_syncs import Forks
from tests.syncing import differences

LINKED = {"CLERKSYNC_LINK_USERS": True, "CLERKSYNC_USER_FIELDS": {"first_name": "first_name"}}
#: Points on the way of whatever reads by id, and of whatever writes.
DRAIN = (
    "drain.listed",
    "drain.before-confirm",
    "drain.confirmed",
    "drain.buried",
    "drain.before-apply",
    "drain.applied",
    "drain.settled",
)
WRITER = ("writer.before-write", "writer.written", "writer.committed", "writer.told")


class Scene:
    """One kind of work; ``points`` are the fail points on its way.

    Args:
        clerk: This test's Clerk.
        forks: Starts the work in a process of its own.
        book: A file for what the children note.
    """

    points: ClassVar[tuple[str, ...]]
    #: Other settings than the tests', here and in the children.
    settings: ClassVar[Mapping[str, Any]] = {}
    command: ClassVar[tuple[str, ...]] = ()

    def __init__(self, clerk: FakeClerk, forks: Forks, book: Path) -> None:
        self.clerk = clerk
        self.forks = forks
        self.book = book

    def prepare(self) -> None:
        """Set the stage; called once."""
        raise NotImplementedError

    def start(self, **kill: Any) -> int:
        """Begin the work and return the process id; ``kill`` is for ``Forks.start``."""
        command, *arguments = self.command
        return self.forks.start(*arguments, command=command, settings=self.all_settings(), **kill)

    def run(self, **kill: Any) -> int:
        """Do the work, and return the exit status."""
        return self.forks.wait(self.start(**kill))

    def all_settings(self) -> dict[str, Any]:
        """Those of the children."""
        return {**clerk_settings(), **self.settings}

    def check_kept(self) -> None:
        """What holds right after a kill: the books say no more than what the table holds (I7, I12)."""
        # The first one is of the preparation.
        for run in SyncRun.objects.filter(kind=SyncRun.Kind.FULL).order_by("pk")[1:]:
            wrong, cursor_ms = differences(self.clerk), run.checkpoint.get("cursor_ms") or 0
            read = {user["id"] for user in self.clerk.users() if user["created_at"] < cursor_ms}
            assert read.isdisjoint(wrong), "the checkpoint is ahead of the data"

    def pass_time(self) -> None:
        """Let the time pass after which others go on."""
        expire_leases()

    def recover(self) -> None:
        """Do it again, as a restart does."""
        assert (self.run(), self.forks.said()) == (0, ANY)

    def check(self) -> None:
        """How it has to end."""
        wrong = differences(self.clerk)
        assert wrong == {}, (wrong, self.forks.said())
        assert not ClerkUser.objects.exclude(doubt_reason="").exists()
        assert not SyncRun.objects.filter(state=SyncRun.State.RUNNING).exists()
