from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from clerksync import answers
from clerksync.answers import Answer
from clerksync.exceptions import ClerkRejected, InvalidResponse

DATE = "Sun, 22 Nov 2026 10:00:00 GMT"
DATE_MS = 1_795_341_600_000


def answer(body: bytes, *, status: int = 200, **headers: str) -> Answer:
    return Answer("GET /v1/users", status, headers, body, 5)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 0 "}, 0),
        ({"Retry-After": "Sun, 22 Nov 2026 10:00:30 GMT", "Date": DATE}, 30),
        ({"Retry-After": "Sun, 22 Nov 2026 09:00:00 GMT", "Date": DATE}, 0),
        ({"Retry-After": "Sun, 22 Nov 2026 10:00:30 -0000", "Date": DATE}, 30),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "٣"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds or a date, by Clerk's own clock; anything else says nothing."""
    assert answers.retry_after(headers) == seconds


def test_retry_after__no_date() -> None:
    """Without Clerk's clock a date is compared with ours."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert answers.retry_after({"Retry-After": soon}) == pytest.approx(99, abs=3)


@pytest.mark.parametrize(
    ("headers", "started_ms"),
    [
        ({"Date": DATE}, DATE_MS - 250 - 1000),
        ({}, None),
        ({"Date": "today"}, None),
        ({"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}, None),
        ({"Date": "Tue, 31 Dec 2019 23:59:59 GMT"}, None),
        ({"Date": "Wed, 01 Jan 2020 00:00:00 GMT"}, 1_577_836_800_000 - 250 - 1000),
        ({"Date": "Thu, 31 Dec 2099 23:59:59 GMT"}, 4_102_444_799_000 - 250 - 1000),
        ({"Date": "Fri, 01 Jan 2100 00:00:00 GMT"}, None),
        ({"Date": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
        ({"Date": "Fri, 31 Dec 9999 23:59:59 -2359"}, None),
        ({"Date": "Mon, 01 Jan 0001 00:00:00 +2359"}, None),
    ],
)
def test_started_ms(headers: dict[str, str], started_ms: int | None) -> None:
    """The start is Clerk's date less what the request took, and less a second of rounding."""
    assert answers.started_ms(headers, elapsed=0.25) == started_ms


@pytest.mark.parametrize(
    ("body", "array"),
    [
        (b"[]", b"[]"),
        (b' \n[{"id": 1}] ', b'[{"id": 1}]'),
        (b'{"data": [1, 2], "total_count": 2}', b"[1, 2]"),
        (b'[{"id": "\\ud800"}]', b'[{"id": "\\ud800"}]'),
    ],
)
def test_read_array(body: bytes, array: bytes) -> None:
    """What is inside of an array is the parser's business."""
    assert answers.read_array(answer(body)) == answers.Page(array, 5)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"1", b'{"data": 1}', b'{"data": {}}', b'{"users": []}', b"<p>"]
)
def test_read_array__none(body: bytes) -> None:
    """Whatever is no array, wrapped or not, is refused."""
    with pytest.raises(InvalidResponse, match="GET /v1/users: "):
        answers.read_array(answer(body))


@pytest.mark.parametrize(
    ("body", "cut"), [(b'[{"a"', True), (b'{"a": [', True), (b"[] ", False), (b"x", False)]
)
def test_is_cut(body: bytes, cut: bool) -> None:  # noqa: FBT001  # a parameter of pytest
    """JSON that begins and does not end was cut on the way."""
    assert answer(body).is_cut is cut


def test_read_object__none() -> None:
    """A list is no object."""
    with pytest.raises(InvalidResponse, match="no JSON object"):
        answers.read_object(answer(b"[]"))


def test_read_as__deep_nesting() -> None:
    """JSON too deep for the decoder is an odd answer, no crash; the error does not quote it."""
    with pytest.raises(InvalidResponse) as caught:
        answers.read_as(answer(b'{"a": ' + b"[" * 100_000), dict[str, Any])
    assert caught.value.__context__ is None


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b'{"errors": 3}', b'{"errors": []}', b"[" * 100_000])
def test_rejection__odd_bodies(body: bytes) -> None:
    """An error's body may be anything."""
    with pytest.raises(ClerkRejected, match=r"GET /v1/users: status 400$") as caught:
        answers.read_object(answer(body, status=400))
    assert (caught.value.status, caught.value.code, caught.value.trace_id) == (400, "", "")
