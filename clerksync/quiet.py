"""Warnings that every page of every visitor may cause: each kind is logged once in a while."""

from __future__ import annotations

import logging
import time

from clerksync.logs import Log, told

#: Seconds for which the same trouble is not logged again.
SILENCE = 60.0

_warned: dict[tuple[str, str], float] = {}


def warn(logger: logging.Logger, log: Log, message: str, error: Exception) -> None:
    """Log a warning, unless the same one with the same kind of error was logged a moment ago.

    Args:
        logger: Of the module that warns.
        log: The name of the record.
        message: With one ``%s``, for the error.
        error: What happened.
    """
    kind = message, type(error).__name__
    now = time.monotonic()
    if now - _warned.get(kind, -SILENCE) >= SILENCE:
        _warned[kind] = now
        # The first line alone: in a database's words those after it quote the row, and so a person.
        logger.warning(message, str(error).partition("\n")[0], extra=told(log))
