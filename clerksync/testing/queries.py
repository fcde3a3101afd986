"""The query string of a list of users: what it asks for, and which of it Clerk refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clerksync.testing.ordering import FIELDS
from clerksync.testing.wire import Refusal

DEFAULT_LIMIT = 10
MAX_LIMIT = 500
MAX_ITEMS = 100

#: Repeated parameters; those with True take a leading + (include) or - (exclude).
LISTS = {
    "user_id": True,
    "external_id": True,
    "organization_id": True,
    "email_address": False,
    "phone_number": False,
    "username": False,
    "web3_wallet": False,
    "provider_user_id": False,
}
#: Parameters whose case does not count.
CASELESS = {"email_address", "username"}
SEARCHES = ("query", "email_address_query", "phone_number_query", "username_query", "name_query")
TIMES = ("created_at", "last_active_at", "last_sign_in_at")


@dataclass(frozen=True, slots=True)
class Members:
    """The values that a repeated parameter includes and excludes."""

    included: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a list of users (or their count) was asked for."""

    limit: int
    offset: int
    starting_after: str | None
    order_field: str
    descending: bool
    members: dict[str, Members]
    searches: dict[str, str]
    #: (strictly above, strictly below) by field.
    times: dict[str, tuple[int | None, int | None]]
    banned: bool | None


def parse_list_query(query: Sequence[tuple[str, str]]) -> ListQuery:
    """Return what the query string asks for; raise Refusal where Clerk answers 422."""
    first: dict[str, str] = {}
    for name, value in query:
        first.setdefault(name, value)
    order_field, descending = _order(first.get("order_by", "-created_at"))
    offset = _whole(first, "offset", default=0, low=0)
    starting_after = first.get("starting_after")
    _check_cursor(starting_after, order_field=order_field, offset=offset)
    return ListQuery(
        limit=_limit(first),
        offset=offset,
        starting_after=starting_after,
        order_field=order_field,
        descending=descending,
        members=_members(query, provider=_provider(first)),
        searches={name: first[name].casefold() for name in SEARCHES if name in first},
        times=_times(first),
        banned=_boolean(first, "banned"),
    )


def _limit(first: dict[str, str]) -> int:
    # A limit above 500 is no error: https://github.com/clerk/clerk-sdk-python/issues/166
    limit = _whole(first, "limit", default=DEFAULT_LIMIT, low=1)
    return limit if limit <= MAX_LIMIT else DEFAULT_LIMIT


def _order(value: str) -> tuple[str, bool]:
    field = value[1:] if value[:1] in {"+", "-"} else value
    if field not in FIELDS:
        raise _refuse("order_by", "form_param_value_invalid", f"{value} is not an order of users")
    return field, value.startswith("-")


def _check_cursor(starting_after: str | None, *, order_field: str, offset: int) -> None:
    if starting_after is None:
        return
    if order_field != "created_at":
        raise _refuse("starting_after", "form_param_value_invalid", "the cursor needs an order by created_at")
    if offset:
        raise _refuse("starting_after", "form_param_value_invalid", "the cursor cannot go with an offset")


def _members(query: Sequence[tuple[str, str]], *, provider: str) -> dict[str, Members]:
    members = {}
    for name, signed in LISTS.items():
        values = [value for key, value in query if key == name]
        if name in CASELESS:
            values = [value.casefold() for value in values]
        if name == "provider_user_id":
            values = [f"{provider}:{value}" for value in values]
        if len(values) > MAX_ITEMS:
            raise _refuse(name, "form_param_array_size_exceeded", f"at most {MAX_ITEMS} values are allowed")
        if values:
            members[name] = _split(values) if signed else Members(frozenset(values))
    return members


def _split(values: list[str]) -> Members:
    return Members(
        included=frozenset(value.removeprefix("+") for value in values if not value.startswith("-")),
        excluded=frozenset(value[1:] for value in values if value.startswith("-")),
    )


def _times(first: dict[str, str]) -> dict[str, tuple[int | None, int | None]]:
    times = {}
    for field in TIMES:
        above = _time(first, f"{field}_after")
        below = _time(first, f"{field}_before")
        if field == "last_active_at" and (since := _time(first, "last_active_at_since")) is not None:
            above = since - 1
        if above is not None or below is not None:
            times[field] = (above, below)
    return times


def _time(first: dict[str, str], name: str) -> int | None:
    if name not in first:
        return None
    if not first[name].isdecimal():
        raise _refuse(name, "form_param_invalid_date", "must be a Unix timestamp in milliseconds")
    return int(first[name])


def _whole(first: dict[str, str], name: str, *, default: int, low: int) -> int:
    text = first.get(name, str(default))
    if not text.isdecimal():
        raise _refuse(name, "form_param_type_invalid", "must be a whole number")
    if int(text) < low:
        raise _refuse(name, "form_param_value_invalid", f"must not be below {low}")
    return int(text)


def _boolean(first: dict[str, str], name: str) -> bool | None:
    values = {"true": True, "false": False}
    if name not in first:
        return None
    if first[name] not in values:
        raise _refuse(name, "form_param_type_invalid", "must be true or false")
    return values[first[name]]


def _provider(first: dict[str, str]) -> str:
    if ("provider" in first) != ("provider_user_id" in first):
        raise _refuse("provider", "form_param_missing", "provider and provider_user_id go together")
    return first.get("provider", "")


def _refuse(name: str, code: str, message: str) -> Refusal:
    return Refusal(422, code=code, message=message, meta={"param_name": name})
