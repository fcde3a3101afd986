"""The kinds of faults: what each does to a request or to its answer."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from functools import lru_cache
from typing import Any

import msgspec

from clerksync.testing.wire import Refusal, Request, Response, json_response

Options = dict[str, Any]

#: The parameters that narrow a list; ``filter_ignored`` drops them.
FILTERS = (
    "user_id", "external_id", "organization_id", "email_address", "phone_number", "username", "web3_wallet",
    "query", "email_address_query", "phone_number_query", "username_query", "name_query", "banned",
    "created_at_before", "created_at_after", "last_active_at_before", "last_active_at_after",
    "last_active_at_since", "last_sign_in_at_before", "last_sign_in_at_after",
    "provider", "provider_user_id",
)  # fmt: skip

STATUS_OPTIONS = {"code", "message", "retry_after", "retry_after_date"}
STATUS_CODES = {
    400: "bad_request",
    401: "clerk_key_invalid",
    403: "authorization_invalid",
    404: "resource_not_found",
    409: "conflict",
    410: "operation_deprecated",
    422: "form_param_value_invalid",
    429: "too_many_requests",
    503: "service_unavailable",
    504: "gateway_timeout",
}


def check(kind: str | int, *, options: Options) -> None:
    """Raise ValueError for a kind that does not exist or an option that it does not take."""
    known = STATUS_OPTIONS if isinstance(kind, int) else OPTIONS.get(kind)
    if known is None:
        raise ValueError(f"no fault is called {kind!r}; there are {', '.join(sorted(OPTIONS))} and statuses")
    if unknown := options.keys() - known:
        raise ValueError(f"{kind!r} takes no {', '.join(sorted(unknown))}")


def replaces(kind: str | int) -> bool:
    """Tell whether the fault stands in for the whole answer."""
    return isinstance(kind, int) or kind in REPLACEMENTS


def replacement(kind: str | int, *, options: Options, now_ms: int, trace_id: str) -> Response:
    """Return the answer that stands in for the true one."""
    if isinstance(kind, int):
        return _status(kind, options, now_ms=now_ms, trace_id=trace_id)
    return REPLACEMENTS[kind](options)


def rewrite(kind: str | int, request: Request, *, options: Options) -> Request:
    """Return the request as an edge understands it that ignores a part of it."""
    dropped = IGNORED.get(str(kind), ())
    if kind == "filter_ignored" and "name" in options:
        dropped = (options["name"],)
    return replace(request, query=[pair for pair in request.query if pair[0] not in dropped])


def alter(kind: str | int, response: Response, *, options: Options) -> Response:
    """Return the answer as it arrives; errors are altered only in what is not their body."""
    if kind == "slow":
        return replace(response, delay=response.delay + options.get("seconds", 1.0))
    change = ALTERATIONS.get(str(kind))
    if change is None or response.status != 200:
        return response
    return change(response, options)


def _status(status: int, options: Options, *, now_ms: int, trace_id: str) -> Response:
    code = options.get("code", STATUS_CODES.get(status, "internal_clerk_error"))
    message = options.get("message", "The request could not be processed")
    response = Refusal(status, code=code, message=message).response(trace_id=trace_id)
    headers = dict(response.headers)
    if "retry_after" in options:
        headers["Retry-After"] = str(options["retry_after"])
    if "retry_after_date" in options:
        headers["Retry-After"] = formatdate(now_ms / 1000 + options["retry_after_date"], usegmt=True)
    return replace(response, headers=headers)


def _redirect(options: Options) -> Response:
    return Response(options.get("status", 302), {"Location": options["to"]})


def _truncated(response: Response, options: Options) -> Response:
    keep = options.get("keep", len(response.body) // 2)
    headers = {**response.headers, "Content-Length": str(len(response.body))}
    return replace(response, headers=headers, body=response.body[:keep])


def _half_page(response: Response, options: Options) -> Response:
    users = msgspec.json.decode(response.body, type=list[msgspec.Raw])
    return replace(response, body=msgspec.json.encode(users[: len(users) // 2]))


def _wrapped(response: Response, options: Options) -> Response:
    total = len(msgspec.json.decode(response.body, type=list[msgspec.Raw]))
    return replace(response, body=b'{"data":%b,"total_count":%d}' % (response.body, total))


def _count_wrong(response: Response, options: Options) -> Response:
    answer = msgspec.json.decode(response.body)
    total = max(0, answer["total_count"] + options.get("by", 1000))
    return replace(response, body=msgspec.json.encode(answer | {"total_count": total}))


def _wrong_instance(response: Response, options: Options) -> Response:
    answer = msgspec.json.decode(response.body)
    other = options.get("instance_id", "ins_2mXbLrPqYdWv8kTzJcNhG4sAeUo")
    return replace(response, body=msgspec.json.encode(answer | {"id": other}))


def _wrong_date(response: Response, options: Options) -> Response:
    value = options.get("value", "Fri, 31 Dec 9999 23:59:59 GMT")
    return replace(response, headers={**response.headers, "Date": value})


def _gzipped(response: Response, options: Options) -> Response:
    return _encoded(response, gzip.compress(response.body, compresslevel=1, mtime=0))


def _gzip_bomb(response: Response, options: Options) -> Response:
    return _encoded(response, _bomb(options.get("size", 100_000_000)))


def _encoded(response: Response, body: bytes) -> Response:
    return replace(response, headers={**response.headers, "Content-Encoding": "gzip"}, body=body)


@lru_cache(maxsize=2)
def _bomb(size: int) -> bytes:
    """Return a JSON list of nothing but blanks, packed to a thousandth of its size."""
    return gzip.compress(b"[" + b" " * (size - 2) + b"]", compresslevel=6, mtime=0)


#: Kinds that stand in for the answer; the connection is cut after ``reset`` and ``close``.
REPLACEMENTS: dict[str, Callable[[Options], Response]] = {
    "reset": lambda _: Response(0, abort="reset"),
    "close": lambda _: Response(0, abort="close"),
    "html": lambda _: Response(
        200, {"Content-Type": "text/html; charset=utf-8"}, b"<!DOCTYPE html><title>Just a moment...</title>"
    ),
    "not_json": lambda _: Response(200, {"Content-Type": "application/json"}, b"upstream connect error"),
    "json_null": lambda _: json_response(None),
    "redirect": _redirect,
}

#: Kinds that make Clerk overlook parameters.
IGNORED: dict[str, tuple[str, ...]] = {
    "limit_ignored": ("limit",),
    "cursor_ignored": ("starting_after",),
    "offset_ignored": ("offset",),
    "order_ignored": ("order_by",),
    "filter_ignored": FILTERS,
}

#: Kinds that spoil a good answer.
ALTERATIONS: dict[str, Callable[[Response, Options], Response]] = {
    "truncated": _truncated,
    "empty_list": lambda response, _: replace(response, body=b"[]"),
    "half_page": _half_page,
    "wrapped": _wrapped,
    "count_wrong": _count_wrong,
    "wrong_date": _wrong_date,
    "wrong_instance": _wrong_instance,
    "gzip": _gzipped,
    "gzip_bomb": _gzip_bomb,
}

#: All kinds but the statuses, with the options that each takes.
OPTIONS: dict[str, set[str]] = {
    **{kind: set[str]() for kind in (*REPLACEMENTS, *IGNORED, *ALTERATIONS)},
    "callback": {"call"},
    "count_wrong": {"by"},
    "filter_ignored": {"name"},
    "gzip_bomb": {"size"},
    "no_date": set(),
    "redirect": {"to", "status"},
    "shuffle_ties": set(),
    "slow": {"seconds"},
    "truncated": {"keep"},
    "wrong_date": {"value"},
    "wrong_instance": {"instance_id"},
}
