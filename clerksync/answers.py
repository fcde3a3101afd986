"""What an answer of Clerk's Backend API says, whoever fetched it: pure reading of status, headers and body."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from clerksync.exceptions import ClerkRejected, InvalidResponse, KeyRejected, NotFound

T = TypeVar("T")

#: Of a clock that can be right; ours is not asked, for it may be hours off.
_EARLIEST, _LATEST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

#: Worth another try: timeout, busy object, rate limit; every 5xx is as well.
TEMPORARY = frozenset({408, 409, 429})


class Page(Struct, frozen=True):
    """JSON as it came, and when its request started, in ms of Clerk's clock (None: not known)."""

    body: bytes
    observed_ms: int | None


class Answer(Struct, frozen=True):
    """One answer, whatever its status; ``request`` names the request in errors."""

    request: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    observed_ms: int | None = None

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may get another answer soon."""
        return self.status in TEMPORARY or self.status >= 500

    @property
    def is_cut(self) -> bool:
        """Whether JSON begins here that does not end."""
        body = self.body.strip()
        return self.status == 200 and (body[:1], body[-1:]) not in _WHOLE and body[:1] in {b"[", b"{"}

    def describe(self) -> str:
        """Return status, code and trace id, for errors and logs."""
        problem = _problem(self)
        words = (
            f"status {self.status}",
            problem.code,
            f"(trace {problem.trace_id})" * bool(problem.trace_id),
        )
        return " ".join(filter(None, words))


_WHOLE = {(b"[", b"]"), (b"{", b"}")}


def read_array(answer: Answer) -> Page:
    """Return the JSON array of a list, out of its ``data`` if it is wrapped; what is in it is not checked."""
    body = _successful(answer).strip()
    if body.startswith(b"{"):
        body = bytes(_decode(answer, _Wrapped).data)
    if not body.startswith(b"["):
        raise InvalidResponse(f"{answer.request}: no JSON array ({answer.describe()})")
    return Page(body, answer.observed_ms)


def read_object(answer: Answer) -> Page:
    """Return the JSON object of a read; what is in it is not checked."""
    body = _successful(answer).strip()
    if not body.startswith(b"{"):
        raise InvalidResponse(f"{answer.request}: no JSON object ({answer.describe()})")
    return Page(body, answer.observed_ms)


def read_as(answer: Answer, shape: type[T]) -> T:
    """Return the answer in the given shape."""
    _successful(answer)
    return _decode(answer, shape)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of ``Retry-After``, a number or a date; None if it says nothing."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal() and value.isascii():
        return float(value)
    until = _http_date(value)
    if until is None:
        return None
    # The local clock may be hours off, so the date is compared with Clerk's own.
    now = _http_date(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def one_line(text: str, longest: int) -> str:
    """Text of a server as a part of one line: for logs and terminals, which obey control characters."""
    return "".join(char if char.isprintable() else "?" for char in text[:longest])


def started_ms(headers: Mapping[str, str], *, elapsed: float) -> int | None:
    """Return when a request started by Clerk's clock, at the latest; ``elapsed`` in seconds.

    ``Date`` has whole seconds, rounded nobody knows how: one more is taken off. None if it tells no time, or
    one at which there was no Clerk: it would stamp rows and watermarks.
    """
    date = _http_date(headers.get("Date", ""))
    if date is None or not _EARLIEST <= date < _LATEST:
        return None
    return round(date.timestamp() * 1000) - round(elapsed * 1000) - 1000


class _Wrapped(msgspec.Struct):
    data: msgspec.Raw


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""
    long_message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []
    clerk_trace_id: str = ""


class _Problem(Struct, frozen=True):
    code: str
    message: str
    trace_id: str


def _successful(answer: Answer) -> bytes:
    """Return the body of an answer with status 200 that is no web page."""
    status = answer.status
    if 300 <= status < 400:
        where = _host(answer.headers.get("Location", ""))
        raise InvalidResponse(f"{answer.request}: {answer.describe()}: a redirect to {where}, not followed")
    if status >= 400:
        raise _rejection(answer)
    if answer.body.lstrip()[:1] == b"<":
        raise InvalidResponse(f"{answer.request}: an HTML page, not JSON ({answer.describe()})")
    if status != 200:
        raise InvalidResponse(f"{answer.request}: {answer.describe()}, 200 was expected")
    return answer.body


def _rejection(answer: Answer) -> ClerkRejected:
    problem = _problem(answer)
    if answer.status == 404 and not problem.code:
        # Of a proxy, perhaps; whoever believes it takes users for deleted.
        raise InvalidResponse(
            f"{answer.request}: {answer.describe()}, and not as Clerk says that somebody is gone"
        )
    kind = {401: KeyRejected, 404: NotFound}.get(answer.status, ClerkRejected)
    message = f": {problem.message}" if problem.message else ""
    return kind(
        f"{answer.request}: {answer.describe()}{message}",
        status=answer.status,
        code=problem.code,
        trace_id=problem.trace_id,
        observed_ms=answer.observed_ms,
    )


def _problem(answer: Answer) -> _Problem:
    """Read the error envelope, which may be missing, or be anything but JSON."""
    try:
        envelope = msgspec.json.decode(answer.body, type=_Errors) if answer.status >= 400 else _Errors()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        envelope = _Errors()
    first = envelope.errors[0] if envelope.errors else _Error()
    trace_id = envelope.clerk_trace_id or answer.headers.get("cf-ray", "")
    return _Problem(
        one_line(first.code, 60), one_line(first.long_message or first.message, 300), one_line(trace_id, 60)
    )


def _host(location: str) -> str:
    """Where a redirect points."""
    try:
        return one_line(urlsplit(location).hostname or "the same host", 100)
    except ValueError:
        return "no URL"


def _decode(answer: Answer, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        # Without the cause: its message can quote the body.
        problem = InvalidResponse(
            f"{answer.request}: not the JSON that the API documents ({answer.describe()})"
        )
    raise problem


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter of a year, or a zone, of many digits
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
