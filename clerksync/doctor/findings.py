"""What the doctor says: findings with stable names, in groups."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct


class State(StrEnum):
    """From good to bad."""

    OK = "ok"
    #: Could not be looked at, or does not apply; the sentence says why.
    SKIPPED = "skipped"
    #: Works, and yet something is lost or risked.
    WARNING = "warning"
    #: Does not work.
    PROBLEM = "problem"


#: Every name of a finding, under the heading that it is shown with.
GROUPS = {
    "Settings": ("settings", "keys", "api_url", "jwt_key", "issuer", "authorized_parties", "middleware"),
    "Web": (
        "webhook_secret",
        "webhook_url",
        "webhook_answer",
        "proxy",
        "csrf",
        "cookies",
        "cache",
    ),
    "Database": (
        "database",
        "database_mode",
        "database_pool",
        "database_clock",
        "migrations",
        "linking",
        "new_users",
    ),
    "Clerk": ("clerk", "key_accepted", "clock", "instance", "signing_key"),
    "Webhooks": ("last_event", "event_instance", "endpoint", "rejected", "events"),
    "Runs": ("full_sync", "incremental_sync", "scheduler", "mirror"),
    "On request": ("probe", "test_alert"),
    "Examination": ("failed_part",),
}
GROUP_OF = {id: group for group, ids in GROUPS.items() for id in ids}


class Finding(Struct, frozen=True):
    """One thing that was looked at.

    ``id`` is one of ``GROUPS``, ``sentence`` says what was found and ``advice`` what to do about it. No
    value of a setting that may be secret is in them, and nothing about a person.
    """

    id: str
    state: State
    sentence: str
    advice: str = ""

    @property
    def group(self) -> str:
        """The heading."""
        return GROUP_OF[self.id]

    @property
    def is_wrong(self) -> bool:
        """Whether somebody has to look."""
        return self.state in (State.WARNING, State.PROBLEM)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.id,
            "group": self.group,
            "state": self.state.value,
            "sentence": self.sentence,
            "advice": self.advice,
        }


def ok(id: str, sentence: str) -> Finding:
    """Nothing to do."""
    return Finding(id, State.OK, sentence)


def skipped(id: str, sentence: str, advice: str = "") -> Finding:
    """Not looked at, with the reason."""
    return Finding(id, State.SKIPPED, sentence, advice)


def warning(id: str, sentence: str, advice: str) -> Finding:
    """Works, with a loss or a risk."""
    return Finding(id, State.WARNING, sentence, advice)


def problem(id: str, sentence: str, advice: str) -> Finding:
    """Does not work."""
    return Finding(id, State.PROBLEM, sentence, advice)
