"""System checks of the schedule: parts that exist, and expressions that cron would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from clerksync import schedule
from clerksync.conf import Settings, settings
from clerksync.schedule import Part


def check_schedule(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Each part of CLERKSYNC_SCHEDULE is known, and its expression can be understood."""
    if Settings.SCHEDULE.problem(settings.SCHEDULE) is not None:
        return []  # ``check_types`` says so
    return [
        Error(
            f"CLERKSYNC_SCHEDULE[{part!r}] {problem}.",
            hint='For instance "*/5 * * * *" or "0 3 * * *"; None turns a part off.',
            id="clerksync.E041",
        )
        for part, expression in settings.SCHEDULE.items()
        if (problem := _problem(part, expression))
    ]


def _problem(part: str, expression: str | None) -> str | None:
    if part not in set(Part):
        return f"is no part; there are {', '.join(Part)}"
    if expression is None:
        return None
    problem = schedule.problem(expression)
    return problem and f"is no cron expression: {problem[0].lower()}{problem[1:]}"
