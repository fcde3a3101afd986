"""What a decision makes of a row: its content taken, its tombstone, its doubts raised and settled. Pure."""

from __future__ import annotations

import msgspec

from clerksync.fields import WATCHED, watched
from clerksync.payloads import Observation
from clerksync.records import ACTIVE, DELETED, Decision, Doubt, Outcome, Row

#: How far apart two reads must be to overrule a greater version.
REGRESSION_MS = 60_000
#: Replicas need this long to agree.
SETTLE_MS = 5_000
MAX_BACKOFF_MS = 6 * 3_600_000

_DAY_MS = 86_400_000


def take(row: Row, observation: Observation, outcome: Outcome) -> Decision:
    """The row is active, with this content; a doubt stays."""
    new = msgspec.structs.replace(
        row,
        state=ACTIVE,
        updated_ms=observation.updated_ms,
        observed_ms=observation.observed_ms,
        created_ms=observation.created_ms,
        digest=observation.digest,
        seal=observation.seal,
        regressed_ms=None,
        watched=watched(observation.fields) if observation.fields else (),
        deleted_ms=None,
        deleted_by="",
    )
    return Decision(outcome, new, observation)


def taken_as(row: Row) -> Outcome:
    """What it is called when this row takes content."""
    match row.state:
        case "deleted":
            return Outcome.REVIVED
        case "incomplete":
            return Outcome.CREATED
        case _:
            return Outcome.UPDATED


def bury(row: Row, observation: Observation, *, by: str) -> Decision:
    """The tombstone keeps the version and takes the time of the delete."""
    tombstone = msgspec.structs.replace(
        row,
        state=DELETED,
        observed_ms=max(row.observed_ms, observation.observed_ms),
        regressed_ms=None,
        deleted_ms=observation.observed_ms,
        deleted_by=by,
    )
    return Decision(Outcome.DELETED, tombstone)


def doubt(row: Row, reason: Doubt, at_ms: int) -> Decision:
    """Raise a doubt, unless a later one is open; it falls due when replicas agree, an absence at once."""
    if row.doubt_reason and row.doubt_ms >= at_ms:
        return Decision(Outcome.DOUBTED)
    due = at_ms if reason is Doubt.ABSENT else at_ms + SETTLE_MS
    if row.doubt_reason and (row.doubt_tries == 0 or reason is Doubt.ABSENT):
        due = min(row.retry_ms, due)
    elif row.doubt_reason:
        due = row.retry_ms  # reads by id have not settled it: they keep their growing distance
    doubted = msgspec.structs.replace(row, doubt_reason=reason, doubt_ms=at_ms, retry_ms=due)
    return Decision(Outcome.DOUBTED, doubted)


def leave_open(row: Row, reason: Doubt, at_ms: int) -> Decision:
    """A read by id that settled nothing: try again later, and later each time.

    The distance grows with tries that Clerk did not answer, and not with readers who asked at the same time.
    """
    if row.doubt_reason and at_ms <= max(row.observed_ms, row.doubt_ms):
        return Decision(Outcome.DOUBTED)  # asked before this doubt arose, which is due its own read
    if row.doubt_tries and at_ms < row.retry_ms - SETTLE_MS:
        return Decision(Outcome.DOUBTED, row)  # one of pages, or of another sync: not the try that is due
    tries = row.doubt_tries + 1
    again = msgspec.structs.replace(
        row,
        doubt_reason=row.doubt_reason or reason,
        doubt_ms=row.doubt_ms if row.doubt_reason else at_ms,
        doubt_tries=tries,
        retry_ms=at_ms + min(REGRESSION_MS * 2 ** min(tries - 1, 10), MAX_BACKOFF_MS),
    )
    return Decision(Outcome.DOUBTED, again)


def settle(row: Row, at_ms: int) -> Row:
    """A read by id, of then, has ended all doubt."""
    return msgspec.structs.replace(
        row, doubt_reason="", doubt_ms=0, doubt_tries=0, retry_ms=0, regressed_ms=None, observed_ms=at_ms
    )


def wipe(row: Row, observation: Observation, *, digest: str) -> Decision:
    """A tombstone that keeps the version, and of the time when the user came to Clerk the day."""
    outcome = Outcome.TOUCHED if row.state == DELETED else Outcome.DELETED
    settled = settle(row, max(row.observed_ms, observation.observed_ms))
    blank = msgspec.structs.replace(
        settled,
        state=DELETED,
        digest=digest,
        seal="",
        created_ms=None if row.created_ms is None else row.created_ms - row.created_ms % _DAY_MS,
        watched=(None,) * len(WATCHED),
        deleted_ms=row.deleted_ms if row.state == DELETED else observation.observed_ms,
        deleted_by=row.deleted_by if row.state == DELETED else "operator",
    )
    return Decision(outcome, blank, observation)
