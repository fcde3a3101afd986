"""Faults on demand: which of them are armed, and which of them a request meets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from clerksync.testing import faultkinds
from clerksync.testing.wire import Request

ANYWHERE = "*"


@dataclass(slots=True)
class Fault:
    """One armed fault; ``fired`` counts the answers that it has spoilt."""

    kind: str | int
    times: int | None
    on: str
    after: int
    options: dict[str, Any] = field(default_factory=dict)
    fired: int = 0

    @property
    def spent(self) -> bool:
        """Whether it has fired as often as it was told to."""
        return self.times is not None and self.fired >= self.times

    def concerns(self, request: Request, *, route: str | None) -> bool:
        """Tell whether it was armed for requests like this one."""
        return self.on in {ANYWHERE, route, f"{request.method} {request.path}"}


class FaultBook:
    """The armed faults in the order in which they were armed; its owner locks it."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []

    def arm(
        self, kind: str | int, *, times: int | None, on: str, after: int, options: dict[str, Any]
    ) -> Fault:
        """Arm a fault; raise ValueError for a kind or an option that does not exist."""
        faultkinds.check(kind, options=options)
        fault = Fault(kind=kind, times=times, on=_canonical(on), after=after, options=options)
        self._armed.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm all faults."""
        self._armed.clear()

    def take(self, request: Request, *, route: str | None) -> list[Fault]:
        """Return the faults that this request meets, and count them as fired.

        Of the faults that replace the whole answer only the first fires; the others wait
        for the next request. All others add up.
        """
        taken = list(self._due(request, route=route))
        self._armed = [fault for fault in self._armed if not fault.spent]
        return taken

    def _due(self, request: Request, *, route: str | None) -> Iterator[Fault]:
        replaced = False
        for fault in self._armed:
            if not fault.concerns(request, route=route):
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            if faultkinds.replaces(fault.kind):
                if replaced:
                    continue
                replaced = True
            fault.fired += 1
            yield fault


def _canonical(on: str) -> str:
    """Return a route with its placeholder named as the endpoints name it."""
    head, brace, rest = on.partition("{")
    return f"{head}{{user_id}}{rest.partition('}')[2]}" if brace else on
