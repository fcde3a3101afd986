"""The records of the log, each with a name that stays: ``record.event``, and ids beside it. Never a person.

Messages may be worded anew; whoever searches or counts goes by these names.
"""

from __future__ import annotations

from enum import StrEnum
from types import TracebackType

_MAX = 500


class Log(StrEnum):
    """What is logged."""

    WEBHOOK_REJECTED = "webhook_rejected"
    WEBHOOK_PARKED = "webhook_parked"
    WEBHOOK_NOT_RECORDED = "webhook_not_recorded"
    WEBHOOK_NOT_COUNTED = "webhook_not_counted"
    HANDLER_FAILED = "handler_failed"
    API_RETRIED = "api_retried"
    KEYS_UNREADABLE = "keys_unreadable"
    TOKEN_REJECTED = "token_rejected"  # noqa: S105  # a name
    FIRST_SYNC = "first_sync"
    LEASE_KEPT = "lease_kept"
    READ_NOT_QUEUED = "read_not_queued"
    WORK_NOT_QUEUED = "work_not_queued"
    PART_ENDED = "part_ended"
    PART_FAILED = "part_failed"
    PART_WORKS_AGAIN = "part_works_again"
    PART_TAKEN_OVER = "part_taken_over"
    PART_HELD = "part_held"
    DATABASE_AWAY = "database_away"
    DATABASE_BACK = "database_back"
    ALARM_RAISED = "alarm_raised"
    ALARM_RESOLVED = "alarm_resolved"
    ALARM_NOT_TOLD = "alarm_not_told"
    ALARMS_UNSEEN = "alarms_unseen"
    STATUS_UNREADABLE = "status_unreadable"
    COUNTS_BEHIND = "counts_behind"
    METRICS_UNREADABLE = "metrics_unreadable"
    AUDIT_NOT_KEPT = "audit_not_kept"
    EXAMINATION_FAILED = "examination_failed"
    LINK_LEFT = "link_left"
    LINK_FAILED = "link_failed"
    ERASURE_FAILED = "erasure_failed"
    ROW_PROTECTED = "row_protected"
    PAGE_WITHOUT_TABLE = "page_without_table"
    READ_FAILED = "read_failed"
    CACHE_AWAY = "cache_away"


def told(log: Log, **ids: object) -> dict[str, object]:
    """What to give to a logger as ``extra``: the name, and ids that can be searched for."""
    return {"event": log.value, **ids}


class Failure(Exception):
    """Stands in a log for an error whose words may quote a row, and so a person."""


def where(error: BaseException) -> tuple[type[Failure], Failure, TracebackType | None]:
    """What to give to a logger as ``exc_info``: kind and place of an error, without its words."""
    return Failure, Failure(f"{type(error).__name__} (its words may hold personal data)"), error.__traceback__


def clean(value: object) -> str:
    """Something from outside in one line: a text that breaks lines could pass for other records."""
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in str(value)[:_MAX])


def first_line(error: BaseException) -> str:
    """What went wrong in a database; the lines after the first quote the row."""
    return f"{type(error).__name__}: {error}".partition("\n")[0]
