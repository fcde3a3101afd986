"""What an audit finds, and what it sums up to. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct, field

#: How many users or values are named; the others are counted.
MAX_NAMED = 100


class FindingKind(StrEnum):
    """What is wrong, and so what helps."""

    #: In Clerk and not in the table: a sync adds the user.
    MISSING = "missing"
    #: The table holds nothing, or something made up, where Clerk knows better: a sync mends it.
    STALE = "stale"
    #: The table holds an older version, and has for a while: a sync mends it.
    BEHIND = "behind"
    #: The same version, other content: reading the user by id mends it.
    DIFFERS = "differs"
    #: The table holds a greater version than Clerk: two reads by id, a minute apart, mend it.
    LOCAL_AHEAD = "local-ahead"
    #: In the table and not in Clerk: a sync buries the user.
    EXTRA = "extra"
    #: Clerk itself holds the placeholder: no sync mends it.
    REMOTE = "remote"
    #: The table holds a placeholder; whether Clerk knows better is not known.
    PLACEHOLDER = "placeholder"


#: What reading the users concerned mends.
MENDABLE = frozenset(FindingKind) - {FindingKind.REMOTE, FindingKind.PLACEHOLDER}

#: Made up, or nothing where something should be.
PLACEHOLDERS = (FindingKind.STALE, FindingKind.REMOTE, FindingKind.PLACEHOLDER)


class Cause(StrEnum):
    """How it came about."""

    #: Events were being recorded, and none of this version was.
    MISSED_EVENT = "missed_event"
    #: The user was met by the id only, and was never read.
    NEVER_COMPLETED = "never_completed"
    #: Other code wrote the row.
    CHANGED_PAST_THE_MIRROR = "changed_past_the_mirror"
    #: The user was taken out of the table, or marked as deleted in it, and is in Clerk.
    DELETED_HERE = "deleted_here"
    #: The user was in Clerk, and has left.
    DELETED_THERE = "deleted_there"
    UNKNOWN = "unknown"


class Finding(Struct, frozen=True):
    """One thing that is wrong.

    ``reason`` names the broken placeholder rules, or is ``empty``, ``incomplete``, ``tombstone``,
    ``not_in_table``, ``not_in_clerk``, ``not_in_mirror``, ``older_than_clerk``, ``newer_than_clerk``,
    ``same_version``, ``content`` (the columns agree, the rest of the payload does not) or
    ``not_as_in_mirror``. ``field`` is the column, or None where it is about the whole user; ``value`` is
    what the table holds there, or Clerk if the kind is ``remote``. ``model`` and ``pk`` name the row if it
    is in another table than the mirror's.
    """

    clerk_id: str
    kind: FindingKind
    reason: str
    field: str | None = None
    value: str | None = None
    cause: Cause = Cause.UNKNOWN
    model: str | None = None
    pk: str | None = None


class Summary(Struct):
    """What an audit saw, and mended; right once its findings are used up, which sets ``complete``.

    ``repaired`` counts outcomes of reading the users concerned, ``filled`` the values that were
    put into other tables, ``left`` what is still wrong afterwards; None where nothing was to be repaired.
    """

    complete: bool = False
    instance: str | None = None
    users_in_clerk: int | None = None
    users_in_table: int | None = None
    rows_in_models: dict[str, int] = field(default_factory=dict)
    counts: dict[FindingKind, int] = field(default_factory=lambda: dict.fromkeys(FindingKind, 0))
    skipped: int = 0
    skipped_users: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False
    repaired: dict[str, int] | None = None
    filled: int | None = None
    not_filled: int = 0
    not_filled_values: dict[str, str] = field(default_factory=dict)
    left: dict[FindingKind, int] | None = None
    undo_file: str | None = None
    requests: int = 0
    seconds: float = 0.0

    @property
    def findings(self) -> int:
        """How many."""
        return sum(self.counts.values())

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong, or nothing any more."""
        wrong = self.counts if self.left is None else self.left
        return not any(wrong.values()) and not self.skipped

    def skip(self, clerk_id: str, problems: Iterable[str]) -> None:
        """Note a user whom Clerk shows and who could not be read."""
        self.skipped += 1
        if len(self.skipped_users) < MAX_NAMED:
            self.skipped_users[clerk_id or "?"] = "; ".join(problems)

    def leave(self, model: str, pk: str, name: str, reason: str) -> None:
        """Note a value that could not be put into another table."""
        self.not_filled += 1
        if len(self.not_filled_values) < MAX_NAMED:
            self.not_filled_values[f"{model} {pk} {name}"] = reason
