"""What is known of a row, and what may be decided about it: the words of the apply rule."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

from clerksync.payloads import Observation

ACTIVE, DELETED, INCOMPLETE = "active", "deleted", "incomplete"
#: In place of the digest of a tombstone: somebody has anonymized the user, and whatever is observed
#: changes nothing.
ERASED = "erased"
#: The digests of a tombstone of which nothing is left to blank.
BLANK = ("", ERASED)


class Outcome(StrEnum):
    """What an observation did to a row."""

    CREATED = "created"
    UPDATED = "updated"
    #: Volatile fields only (last sign-in and the like), or the stored shape.
    TOUCHED = "touched"
    UNCHANGED = "unchanged"
    #: Older than what is known; kept out.
    LATE = "late"
    DELETED = "deleted"
    REVIVED = "revived"
    #: A lower version, confirmed by two reads by id, replaced the row.
    CORRECTED = "corrected"
    #: The row stays, and will be read again.
    DOUBTED = "doubted"


class Doubt(StrEnum):
    """Why a row may not be what Clerk holds."""

    TIE = "same version, other content"
    ABSENT = "not in Clerk's list"
    LATE_DELETE = "delete older than the row"
    SEEN_AFTER_DELETE = "seen after its delete"
    UNPARSABLE = "not readable in full"
    FUTURE = "version from the future"
    REGRESSED = "Clerk shows an older version"
    RESHAPED = "stored under other settings"
    SESSION = "to be read for a session"


class Row(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What the rule must know of a stored row, and all that it may set besides content.

    ``watched`` are the columns of ``fields.WATCHED``. ``deleted_ms`` is set only by a decision.
    """

    digest: str = ""
    seal: str = ""
    state: str = INCOMPLETE
    updated_ms: int = 0
    observed_ms: int = 0
    created_ms: int | None = None
    doubt_reason: str = ""
    doubt_ms: int = 0
    doubt_tries: int = 0
    retry_ms: int = 0
    regressed_ms: int | None = None
    revision: int = 0
    watched: tuple[str | None, ...] = ()
    deleted_ms: int | None = None
    deleted_by: str = ""


class Decision(NamedTuple):
    """What happens: the new row, and the observation whose content it takes, if any."""

    outcome: Outcome
    row: Row | None = None
    content: Observation | None = None


def is_blank(row: Row | None) -> bool:
    """Whether this is a tombstone that holds nothing of a person; a row of other code may have no digest, either."""
    return row is not None and row.state == DELETED and row.digest in BLANK and not any(row.watched)
