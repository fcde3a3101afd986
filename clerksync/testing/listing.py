"""Lists of users: which of them a query finds, in which order, and which page of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from clerksync.testing.ordering import Key, Ordering, Tie
from clerksync.testing.queries import ListQuery, Members
from clerksync.testing.roster import Record, Roster
from clerksync.testing.wire import Refusal

UnknownCursor = Literal["error", "ignored", "empty"]

#: The values of a record that a repeated parameter names.
_VALUES: dict[str, Callable[[Record], Iterable[str | None]]] = {
    "user_id": lambda record: (record.clerk_id,),
    "external_id": lambda record: (record.external_id,),
    "organization_id": lambda record: record.organizations,
    "email_address": lambda record: map(str.casefold, record.emails),
    "phone_number": lambda record: record.phones,
    "username": lambda record: (record.username and record.username.casefold(),),
    "web3_wallet": lambda record: record.wallets,
    "provider_user_id": lambda record: map(":".join, record.accounts),
}

#: The values of a record that a partial search looks at.
_TEXTS: dict[str, Callable[[Record], Iterable[str | None]]] = {
    "query": lambda record: (
        record.clerk_id, record.username, record.first_name, record.last_name,
        *record.emails, *record.phones, *record.wallets,
    ),
    "email_address_query": lambda record: record.emails,
    "phone_number_query": lambda record: record.phones,
    "username_query": lambda record: (record.username,),
    "name_query": lambda record: (
        record.first_name, record.last_name, f"{record.first_name} {record.last_name}",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listing:
    """Answers list queries from a roster; ``tie`` replaces the tie-breakers of the records."""

    roster: Roster
    unknown_cursor: UnknownCursor = "error"
    tie: Tie | None = None

    def page(self, query: ListQuery) -> list[Record]:
        """Return the users of one page."""
        ordering = self._ordering(query)
        low, high = self._bounds(query, ordering)
        places = range(high - 1, low - 1, -1) if query.descending else range(low, high)
        stop = query.offset + query.limit
        if not _needs_scan(query):
            return [self._record(ordering.keys[place]) for place in places[query.offset : stop]]
        records = (self._record(ordering.keys[place]) for place in places)
        return list(islice((record for record in records if matches(record, query)), query.offset, stop))

    def count(self, query: ListQuery) -> int:
        """Return how many users the query finds, whatever its page."""
        if not query.times and not _needs_scan(query):
            return len(self.roster)
        ordering = self._ordering(query)
        low, high = self._bounds(query, ordering)
        return sum(matches(self._record(key), query) for key in ordering.keys[low:high])

    def _ordering(self, query: ListQuery) -> Ordering:
        wanted = query.members.get("user_id")
        if wanted is not None and wanted.included:
            found = [record for clerk_id in wanted.included if (record := self.roster.find(clerk_id))]
            return Ordering(query.order_field, found, tie=self.tie)
        if self.tie is not None:
            return Ordering(query.order_field, self.roster, tie=self.tie)
        return self.roster.ordering(query.order_field)

    def _bounds(self, query: ListQuery, ordering: Ordering) -> tuple[int, int]:
        """Return the part of the order that can match and that the cursor has not passed."""
        above, below = query.times.get(query.order_field, (None, None))
        low, high = ordering.bounds(above=above, below=below)
        if query.starting_after is None:
            return low, high
        record = self.roster.find(query.starting_after)
        if record is None:
            return self._after_unknown_cursor(query.starting_after, low, high)
        before, after = ordering.around(record)
        return (low, min(high, before)) if query.descending else (max(low, after), high)

    def _after_unknown_cursor(self, cursor: str, low: int, high: int) -> tuple[int, int]:
        if self.unknown_cursor == "ignored":
            return low, high
        if self.unknown_cursor == "empty":
            return low, low
        raise Refusal(
            404,
            code="resource_not_found",
            message="not found",
            long_message=f"No user was found with id {cursor}",
            meta={"param_name": "starting_after"},
        )

    def _record(self, key: Key) -> Record:
        return self.roster[key[3]]


def matches(record: Record, query: ListQuery) -> bool:
    """Tell whether a user is among those that the query asks for."""
    return (
        (query.banned is None or record.banned == query.banned)
        and all(_is_member(record, name, members) for name, members in query.members.items())
        and all(_contains(_TEXTS[name](record), text) for name, text in query.searches.items())
        and all(_is_between(getattr(record, field), span) for field, span in query.times.items())
    )


def _needs_scan(query: ListQuery) -> bool:
    narrowed = query.banned is not None or bool(query.members) or bool(query.searches)
    return narrowed or any(field != query.order_field for field in query.times)


def _is_member(record: Record, name: str, members: Members) -> bool:
    values = frozenset(_VALUES[name](record))
    if members.excluded & values:
        return False
    return not members.included or bool(members.included & values)


def _contains(texts: Iterable[str | None], wanted: str) -> bool:
    return any(wanted in text.casefold() for text in texts if text is not None)


def _is_between(value: int | None, span: tuple[int | None, int | None]) -> bool:
    above, below = span
    if value is None:
        return False
    return (above is None or value > above) and (below is None or value < below)
