"""The apply rule: what one more observation of a user does to its row. Pure.

A greater version replaces; an equal version with other content is a doubt; every
contradiction is a doubt. Only a read by id that is later than everything known
settles a doubt. The order of arrival decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from clerksync.fields import watched
from clerksync.payloads import Kind, Observation, Source
from clerksync.records import (
    ACTIVE,
    DELETED,
    ERASED,
    INCOMPLETE,
    Decision,
    Doubt,
    Outcome,
    Row,
    is_blank,
)
from clerksync.seals import Head, seal
from clerksync.transitions import (
    REGRESSION_MS,
    SETTLE_MS,
    bury,
    doubt,
    leave_open,
    settle,
    take,
    taken_as,
    wipe,
)

#: A version this much later than its own snapshot is not believed.
MAX_AHEAD_MS = 5 * 60_000
#: A user this young may not be known to every replica yet.
MIN_AGE_MS = 60_000

_UNCHANGED = Decision(Outcome.UNCHANGED)


def decide(row: Row | None, observation: Observation) -> Decision:
    """Decide about one observation of one user."""
    if row is not None and row.digest == ERASED and observation.kind is not Kind.LIFTED:
        return _UNCHANGED
    match observation.kind:
        case Kind.USER if _is_believed(observation):
            return _decide_user(row, observation)
        case Kind.USER:
            return _decide_partial(row, observation)
        case Kind.DELETED:
            return _decide_deleted(row, observation)
        case Kind.ABSENT:
            return _decide_absent(row, observation)
        case Kind.MISSED:
            return _decide_missed(row, observation)
        case Kind.ANONYMIZED | Kind.ERASED | Kind.LIFTED:
            return _decide_wish(row, observation)


def fold(row: Row | None, observations: Sequence[Observation]) -> Decision:
    """Decide about several observations of one user, as one decision."""
    if len(observations) == 1:
        if row is not None and _is_as_stored(row, observations[0]):
            return _UNCHANGED
        outcome, current, content = decide(row, observations[0])
        return Decision(outcome, _revised(row, current), content)
    outcome, current, content, changed = Outcome.UNCHANGED, row, None, False
    for observation in sorted(observations, key=_fold_order):
        decision = decide(current, observation)
        outcome = _joined(outcome, decision.outcome)
        if decision.row is not None:
            current, changed = decision.row, True
        content = decision.content or content
    return Decision(outcome, _revised(row, current) if changed else None, content)


def _revised(row: Row | None, new: Row | None) -> Row | None:
    """The new row, if there is one, as the next revision of the one that is stored."""
    if new is None:
        return None
    return msgspec.structs.replace(new, revision=1 if row is None else row.revision + 1)


def _is_as_stored(row: Row, observation: Observation) -> bool:
    """Whether all the rules come to nothing, as for nearly everybody in nearly every sync."""
    return (
        observation.digest == row.digest
        and observation.updated_ms == row.updated_ms
        and row.state == ACTIVE
        and not row.doubt_reason
        and observation.fields is not None
        and row.watched == watched(observation.fields)
        and _is_believed(observation)
    )


def is_sealed(row: Row | None, head: Head, *, shaped: str) -> bool:
    """Whether the same holds for a user of a list of whom only the head was read.

    Args:
        row: As it is stored now.
        head: What was read.
        shaped: The shape of a digest under the settings of now.
    """
    return (
        row is not None
        and row.updated_ms == head.updated_ms
        and row.created_ms == head.created_ms
        and row.state == ACTIVE
        and not row.doubt_reason
        and head.updated_ms <= head.observed_ms + MAX_AHEAD_MS
        and shape(row.digest) == shaped
        and row.seal == seal(head.hashed, digest=row.digest, watched=row.watched)
    )


def _fold_order(observation: Observation) -> tuple[int, int, str]:
    return observation.updated_ms, observation.observed_ms, observation.digest


def _joined(before: Outcome, after: Outcome) -> Outcome:
    if after in (Outcome.UNCHANGED, Outcome.LATE) and before is not Outcome.UNCHANGED:
        return before
    if before is Outcome.CREATED and after in (Outcome.UPDATED, Outcome.TOUCHED, Outcome.DOUBTED):
        return before
    return after


def _is_believed(observation: Observation) -> bool:
    return observation.full and observation.updated_ms <= observation.observed_ms + MAX_AHEAD_MS


def _is_judgement(row: Row, observation: Observation) -> bool:
    """Whether this is a read by id, later than the row and than its doubt."""
    return observation.source is Source.GET and observation.observed_ms > max(row.observed_ms, row.doubt_ms)


def _decide_user(row: Row | None, observation: Observation) -> Decision:
    if row is None:
        return take(Row(), observation, Outcome.CREATED)
    if _is_judgement(row, observation):
        return _judge(row, observation)
    if row.state == DELETED:
        return _decide_after_delete(row, observation)
    if observation.updated_ms > row.updated_ms or row.state == INCOMPLETE:
        return take(row, observation, taken_as(row))
    if observation.updated_ms < row.updated_ms:
        return _decide_older(row, observation)
    return _decide_same_version(row, observation)


def _decide_older(row: Row, observation: Observation) -> Decision:
    """An older version is late, unless a list that is clearly newer than the row shows it."""
    listed = observation.source is Source.LIST
    if listed and observation.observed_ms > max(row.observed_ms, row.doubt_ms) + SETTLE_MS:
        return doubt(row, Doubt.REGRESSED, observation.observed_ms)
    return Decision(Outcome.LATE)


def _decide_after_delete(row: Row, observation: Observation) -> Decision:
    """A tombstone keeps out every observation; some of them raise a doubt."""
    told_later = observation.source is Source.WEBHOOK and observation.updated_ms > row.observed_ms
    if told_later or observation.source in (Source.LIST, Source.CLAIMS):
        return doubt(row, Doubt.SEEN_AFTER_DELETE, observation.observed_ms)
    return Decision(Outcome.LATE)


def _decide_same_version(row: Row, observation: Observation) -> Decision:
    same = _compare(row, observation)
    if same is not None:
        return same
    at = max(row.observed_ms, observation.observed_ms)
    if shape(row.digest) != shape(observation.digest):
        if observation.observed_ms >= row.observed_ms:
            return take(row, observation, Outcome.TOUCHED)
        return doubt(row, Doubt.RESHAPED, at)
    doubted = doubt(row, Doubt.TIE, at).row or row
    if (observation.observed_ms, observation.digest) > (row.observed_ms, row.digest):
        return take(doubted, observation, Outcome.UPDATED)
    return Decision(Outcome.DOUBTED, doubted if doubted is not row else None)


def _compare(row: Row, observation: Observation) -> Decision | None:
    """The decision for an equal version with equal stable content; None if it differs."""
    if stable(row.digest) != stable(observation.digest):
        return None
    if observation.fields is not None and row.watched != watched(observation.fields):
        newest = msgspec.structs.replace(
            observation, observed_ms=max(row.observed_ms, observation.observed_ms)
        )
        return take(row, newest, Outcome.UPDATED)  # changed past the mirror
    if row.digest != observation.digest and observation.observed_ms > row.observed_ms:
        return take(row, observation, Outcome.TOUCHED)
    return Decision(Outcome.UNCHANGED)


def _judge(row: Row, observation: Observation) -> Decision:
    """A read by id that is later than all that is known has the last word."""
    if observation.updated_ms < row.updated_ms:
        return _judge_regression(row, observation)
    settled = settle(row, observation.observed_ms)
    if row.state != ACTIVE or observation.updated_ms > row.updated_ms:
        return take(settled, observation, taken_as(row))
    if stable(row.digest) != stable(observation.digest):
        reshaped = shape(row.digest) != shape(observation.digest)
        return take(settled, observation, Outcome.TOUCHED if reshaped else Outcome.UPDATED)
    decision = _compare(settled, observation) or Decision(Outcome.UNCHANGED)
    if decision.row is None and row.doubt_reason:
        return Decision(decision.outcome, settled)
    return decision


def _judge_regression(row: Row, observation: Observation) -> Decision:
    """A version lower than the row's is believed when two reads, a minute apart, show it."""
    first = row.regressed_ms
    if first is not None and observation.observed_ms >= first + REGRESSION_MS:
        return take(settle(row, observation.observed_ms), observation, Outcome.CORRECTED)
    noted = msgspec.structs.replace(row, regressed_ms=first or observation.observed_ms)
    return leave_open(noted, Doubt.REGRESSED, observation.observed_ms)


def _decide_partial(row: Row | None, observation: Observation) -> Decision:
    """Too little to write, enough to doubt; never overwrites and never blanks a field."""
    reason = Doubt.FUTURE if observation.full else Doubt.UNPARSABLE
    if observation.source is Source.CLAIMS:
        reason = Doubt.SESSION
    if row is not None and row.state == DELETED:
        if observation.source is Source.WEBHOOK:
            return Decision(Outcome.LATE)
        reason = Doubt.SEEN_AFTER_DELETE
    if observation.source is Source.GET:
        return leave_open(row or Row(), reason, observation.observed_ms)
    return doubt(row or Row(), reason, observation.observed_ms)


def _decide_deleted(row: Row | None, observation: Observation) -> Decision:
    if row is None:
        return bury(Row(), observation, by="event")
    if row.state == DELETED:
        if observation.observed_ms <= row.observed_ms:
            return Decision(Outcome.UNCHANGED)
        later = msgspec.structs.replace(row, observed_ms=observation.observed_ms)
        return Decision(Outcome.UNCHANGED, later)
    if observation.observed_ms > row.observed_ms:
        # A list without the user said so first: in the other order it raises no doubt.
        agreed = row.doubt_reason == Doubt.ABSENT
        return bury(settle(row, row.observed_ms) if agreed else row, observation, by="event")
    return doubt(row, Doubt.LATE_DELETE, row.observed_ms)


def _decide_absent(row: Row | None, observation: Observation) -> Decision:
    """A 404 is a delete only for a user who is old enough to be known everywhere."""
    if row is None:
        return Decision(Outcome.UNCHANGED)
    later = observation.observed_ms > max(row.observed_ms, row.doubt_ms)
    if row.state == DELETED:
        settles = later and row.doubt_reason
        return Decision(Outcome.UNCHANGED, settle(row, observation.observed_ms) if settles else None)
    if row.state == INCOMPLETE:
        # Nobody knows how old it is: a replica may not know the user yet.
        return leave_open(
            msgspec.structs.replace(row, doubt_reason=Doubt.ABSENT), Doubt.ABSENT, observation.observed_ms
        )
    old_enough = (row.created_ms or 0) + MIN_AGE_MS <= observation.observed_ms
    if row.state == ACTIVE and later and old_enough:
        return bury(settle(row, observation.observed_ms), observation, by="absence")
    return leave_open(row, Doubt.ABSENT, observation.observed_ms)


def _decide_missed(row: Row | None, observation: Observation) -> Decision:
    """A list without the user raises a doubt, even a list that may be older than the row."""
    if row is None or row.state == DELETED:
        return Decision(Outcome.UNCHANGED)
    return doubt(row, Doubt.ABSENT, max(row.observed_ms, observation.observed_ms))


def _decide_wish(row: Row | None, observation: Observation) -> Decision:
    """What an operator, or the settings, want to be kept of a user."""
    if observation.kind is Kind.ERASED:
        return wipe(row or Row(), observation, digest=ERASED)
    if row is None or row.state != DELETED:
        return _UNCHANGED  # came back meanwhile, or was never there
    if observation.kind is Kind.LIFTED:
        return _lift(row, observation)
    if is_blank(row) or row.doubt_reason:
        return _UNCHANGED  # a tombstone in doubt may be a mistake
    return wipe(row, observation, digest="")


def _lift(row: Row, observation: Observation) -> Decision:
    """A tombstone like others, in doubt; written with its content, of which the digest is a part."""
    lifted = doubt(row, Doubt.SEEN_AFTER_DELETE, max(row.observed_ms, observation.observed_ms))
    if row.digest != ERASED or lifted.row is None:
        return lifted
    return Decision(lifted.outcome, msgspec.structs.replace(lifted.row, digest=""), observation)


def shape(digest: str) -> str:
    """Under which version of the digest, and which settings, it was made."""
    return digest.partition(":")[0]


def stable(digest: str) -> str:
    """The part that is not about volatile fields."""
    return digest.rpartition(":")[0]
