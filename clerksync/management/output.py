"""What our commands have in common: how they end, and what they may show of a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from clerksync.exceptions import ClerkSyncError
from clerksync.freshness import stored
from clerksync.masking import PERSONAL, mask
from clerksync.times import aware


@contextmanager
def errors_as_exit_status() -> Iterator[None]:
    """End the command with the status of the error: see the table in the README."""
    try:
        yield
    except ImproperlyConfigured as error:
        raise CommandError(str(error), returncode=2) from error
    except ClerkSyncError as error:
        raise CommandError(str(error), returncode=error.exit_status) from error
    except DatabaseError as error:
        # The first line alone: those after it quote the row, and so a person.
        why = str(error).partition("\n")[0]
        raise CommandError(f"the database failed: {why}", returncode=1) from error


def show(name: str, value: Any, *, values: bool) -> str:
    """A column's value for people; personal ones masked unless ``values`` is set."""
    if value is None:
        return "-"
    text = str(value)
    return printable(mask(text) if name in PERSONAL and not values and text else text)


def printable(text: str) -> str:
    """The text without characters that move a terminal's cursor or break a line."""
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


def positive(text: str) -> int:
    """A whole number above 0, as an argument."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def moment(text: str) -> datetime:
    """A time in ISO 8601, as an argument; in the project's time zone if it names none."""
    parsed = datetime.fromisoformat(text)
    return stored(aware(parsed))
