"""What a project does with events: handlers by type, called after the commit."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct

from clerksync.logs import Log, clean, told

logger = logging.getLogger(__name__)


class ClerkEvent(Struct, frozen=True):
    """One event as a handler receives it.

    ``svix_id`` is the same for every delivery; a handler may be called more than once for
    it. ``data`` is the object of the event, without CLERKSYNC_EXCLUDE_FIELDS.
    """

    type: str
    svix_id: str
    object_id: str
    instance_id: str
    occurred_at: datetime | None
    data: dict[str, Any]


Handler = Callable[[ClerkEvent], object]
HandlerT = TypeVar("HandlerT", bound=Handler)

_handlers: dict[str, list[Handler]] = defaultdict(list)


def on(*types: str) -> Callable[[HandlerT], HandlerT]:
    """Register a handler: ``@on("organization.created")``; the order of registration is kept."""

    def register(handler: HandlerT) -> HandlerT:
        for event_type in types:
            _handlers[event_type].append(handler)
        return handler

    return register


def off(handler: Handler) -> None:
    """Forget a handler."""
    for registered in _handlers.values():
        while handler in registered:
            registered.remove(handler)


def has_handlers(event_type: str) -> bool:
    """Whether anybody waits for events of this type."""
    return bool(_handlers.get(event_type))


def call_handlers(event: ClerkEvent) -> list[str]:
    """Call every handler of the type; a failure of one does not keep the event from the others.

    Returns:
        What failed, for the record; the log has the tracebacks.
    """
    failures = []
    for handler in tuple(_handlers.get(event.type, ())):
        try:
            handler(event)
        except Exception as error:  # the project's own code may raise anything
            name = f"{handler.__module__}.{handler.__qualname__}"
            logger.exception(
                "handler %s failed for %s %s",
                name,
                event.type,
                clean(event.svix_id),
                extra=told(Log.HANDLER_FAILED, handler=name, type=event.type, svix_id=clean(event.svix_id)),
            )
            failures.append(f"{name}: {type(error).__name__}")
    return failures
