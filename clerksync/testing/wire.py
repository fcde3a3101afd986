"""What goes over the wire: requests, responses and Clerk's error envelope."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import msgspec

Json = dict[str, Any]

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to the fake Clerk; ``path`` carries no query string."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the value of a header whatever the case of its name."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer of the fake Clerk.

    ``delay`` and ``abort`` are for the server: seconds to wait before it answers, and whether
    it resets or closes the connection instead of answering. A ``Content-Length`` header that
    is longer than the body makes a truncated answer.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    abort: Literal["reset", "close"] | None = None


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request that the fake Clerk has seen; ``status`` is 0 where the connection was cut."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    status: int
    at_ms: int
    headers: Mapping[str, str]

    @classmethod
    def of(cls, request: Request, *, status: int, at_ms: int) -> Self:
        """Return the record of a request, without its key."""
        headers = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
        return cls(request.method, request.path, tuple(request.query), status, at_ms, headers)


class Refusal(Exception):
    """A request that Clerk answers with an error envelope."""

    def __init__(
        self, status: int, *, code: str, message: str, long_message: str = "", meta: Json | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.long_message = long_message or message
        self.meta = meta or {}

    def response(self, *, trace_id: str) -> Response:
        """Return the refusal as the answer that Clerk would give."""
        error = {
            "message": self.message,
            "long_message": self.long_message,
            "code": self.code,
            "meta": self.meta,
        }
        response = json_response({"errors": [error], "clerk_trace_id": trace_id}, status=self.status)
        if "resets_in" not in self.meta:
            return response
        return replace(response, headers={**response.headers, "Retry-After": str(self.meta["resets_in"])})


def json_response(content: object, *, status: int = 200) -> Response:
    """Return an answer whose body is the content as JSON."""
    return raw_response(msgspec.json.encode(content), status=status)


def raw_response(body: bytes, *, status: int = 200) -> Response:
    """Return an answer that calls its body JSON, whatever it is."""
    return Response(status, {"Content-Type": JSON_TYPE}, body)


#: Answers a request.
Handler = Callable[[Request], Response]
