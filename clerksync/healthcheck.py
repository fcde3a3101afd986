"""A check for django-health-check, for sites that have one page for everything; the only user of it."""

from __future__ import annotations

import dataclasses

from asgiref.sync import sync_to_async
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable, ServiceWarning

from clerksync import alarms, status
from clerksync.status import State, Status


@dataclasses.dataclass
class ClerkMirror(HealthCheck):
    """The mirror is in step.

    ``fail_when`` is the state from which on the check fails, ``behind`` or ``broken``: a site whose mirror
    is behind can serve, so a page that takes processes out of service should ask for ``broken``.
    """

    fail_when: str = State.BEHIND.value

    async def run(self) -> None:
        """Raise what the status says, if that is bad enough; it holds nothing about a person."""
        # In the thread of the request, whose connection that is.
        found = await sync_to_async(_read)()
        order = list(State)
        if order.index(found.state) < order.index(State(self.fail_when)):
            return
        error = ServiceUnavailable if found.state is State.BROKEN else ServiceWarning
        raise error(found.sentence)


def _read() -> Status:
    found = status.read()
    if found.is_known:
        alarms.look_soon()
    return found
