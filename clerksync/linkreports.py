"""What linking did, and what it left to people."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from msgspec import Struct, field

from clerksync.masking import mask


class ProblemKind(StrEnum):
    """Why something was left."""

    #: A rule fits several Django users, or one that fits several users of Clerk.
    AMBIGUOUS = "ambiguous"
    #: The Django user is linked to another user of Clerk, who is not gone.
    TAKEN = "taken"
    #: The Django user is staff, and the rule goes by e-mail.
    STAFF = "staff"
    #: No Django user could be created.
    NOT_CREATED = "not_created"
    #: A value that the Django user's table cannot hold.
    LEFT = "left"
    #: The database failed.
    FAILED = "failed"


def told(pk: object) -> str:
    """A primary key for people; one that is an e-mail address is masked."""
    text = str(pk)
    return mask(text) if "@" in text else text


class Problem(Struct, frozen=True):
    """One thing that was left; ``field`` is the Django user's, if it is about one. No personal data."""

    clerk_id: str
    kind: ProblemKind
    reason: str
    field: str = ""


class Report(Struct):
    """What became of the users; ``unmatched`` have no Django user, and get one at their first request."""

    seen: int = 0
    already: int = 0
    linked: int = 0
    created: int = 0
    updated: int = 0
    unmatched: int = 0
    problems: list[Problem] = field(default_factory=list)

    def counts(self) -> Counter[ProblemKind]:
        """The problems by kind."""
        return Counter(problem.kind for problem in self.problems)

    def add(self, other: Report) -> None:
        """Add what became of further users."""
        for name in ("seen", "already", "linked", "created", "updated", "unmatched"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.problems += other.problems
