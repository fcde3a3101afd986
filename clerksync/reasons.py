"""Why the mirror is not as it should be: each reason with a name, in words, and with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct

#: Every reason that there is, by its name; metrics have a series for each.
CODES = (
    "never_synced",
    "stale",
    "deletes_overdue",
    "sync_failed",
    "sync_cut",
    "deletes_refused",
    "instance_mismatch",
    "webhooks_silent",
    "webhooks_missed",
    "scheduler_dead",
    "part_overdue",
    "part_failed",
    "doubts",
    "placeholders",
    "events_parked",
    "events_failed",
    "clock",
    "database_unreachable",
    "tables_unreadable",
)


class State(StrEnum):
    """The answer, from good to bad."""

    IN_STEP = "in_step"
    #: Something is late or missing; the next syncs may mend it.
    BEHIND = "behind"
    #: Somebody has to do something.
    BROKEN = "broken"

    @property
    def label(self) -> str:
        """For people."""
        return self.value.replace("_", " ")


class Reason(Struct, frozen=True):
    """One thing that is not as it should be.

    ``code`` is for machines, ``state`` what it makes of the mirror (``in_step``: a remark), ``text`` a
    sentence or two, ``command`` what to run next and ``hint`` what to do after that.
    """

    code: str
    state: State
    text: str
    command: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {
            "code": self.code,
            "state": self.state.value,
            "text": self.text,
            "command": self.command,
            "hint": self.hint,
        }

    @property
    def advice(self) -> str:
        """What to do."""
        return " ".join(filter(None, (f"Run: {self.command}.", self.hint)))


def describe(state: State, reasons: Sequence[Reason], *, right_up_to: datetime | None, now: datetime) -> str:
    """The answer in one line."""
    known = f"Users are right up to {clock(right_up_to, now=now)}." if right_up_to else ""
    if state is State.IN_STEP:
        first, others = f"In step. {known}", reasons
    else:
        first, others = " ".join(filter(None, (reasons[0].text, known, reasons[0].advice))), reasons[1:]
    return " ".join([first, *(f"Also: {reason.text} {reason.advice}" for reason in others)])


def clock(moment: datetime, *, now: datetime) -> str:
    """A time in UTC, with the day unless it is today's."""
    moment, today = moment.astimezone(UTC), now.astimezone(UTC).date()
    return f"{moment:%H:%M} UTC" if moment.date() == today else f"{moment:%Y-%m-%d %H:%M} UTC"
