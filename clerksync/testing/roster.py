"""The users that the fake Clerk holds: their JSON, what it filters by, and sorted indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from clerksync.testing.ordering import Ordering
from clerksync.testing.wire import Json


# A struct is made five times faster than a frozen dataclass, and the collector skips it.
class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One user: the JSON that is held, the bytes that are sent, and what lists go by."""

    clerk_id: str
    document: bytes
    wire: bytes
    #: Breaks ties of the order; drawn, so that it follows neither the ids nor the time of creation.
    tie: float
    created_at: int
    updated_at: int
    last_active_at: int | None
    last_sign_in_at: int | None
    banned: bool
    username: str | None
    first_name: str | None
    last_name: str | None
    external_id: str | None
    emails: tuple[str, ...]
    phones: tuple[str, ...]
    wallets: tuple[str, ...]
    organizations: tuple[str, ...]
    accounts: tuple[tuple[str, str], ...]


def record_of(user: Json, *, tie: float) -> Record:
    """Return the record of a user; ill-typed parts are sent as they are and match no filter."""
    document = msgspec.json.encode(user)
    return Record(
        clerk_id=user["id"],
        document=document,
        wire=document,
        tie=tie,
        created_at=_whole(user.get("created_at")) or 0,
        updated_at=_whole(user.get("updated_at")) or 0,
        last_active_at=_whole(user.get("last_active_at")),
        last_sign_in_at=_whole(user.get("last_sign_in_at")),
        banned=user.get("banned") is True,
        username=_text(user.get("username")),
        first_name=_text(user.get("first_name")),
        last_name=_text(user.get("last_name")),
        external_id=_text(user.get("external_id")),
        emails=_texts(user.get("email_addresses"), "email_address"),
        phones=_texts(user.get("phone_numbers"), "phone_number"),
        wallets=_texts(user.get("web3_wallets"), "web3_wallet"),
        organizations=tuple(
            part["organization"]["id"]
            for part in _parts(user.get("organization_memberships"))
            if isinstance(part.get("organization"), dict)
        ),
        accounts=tuple(
            (str(part.get("provider")), str(part.get("provider_user_id")))
            for part in _parts(user.get("external_accounts"))
        ),
    )


class Roster:
    """Records by id, with an index for each order that was asked for."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._orderings: dict[str, Ordering] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __getitem__(self, clerk_id: str) -> Record:
        return self._records[clerk_id]

    def find(self, clerk_id: str) -> Record | None:
        """Return the record with this id, if there is one."""
        return self._records.get(clerk_id)

    def put(self, record: Record) -> None:
        """Add a record, or replace the one with the same id but for bytes set by ``send``."""
        previous = self.remove(record.clerk_id)
        if previous is not None and previous.wire is not previous.document:
            record = replace(record, wire=previous.wire)
        self._records[record.clerk_id] = record
        for ordering in self._orderings.values():
            ordering.add(record)

    def put_all(self, records: Iterable[Record]) -> None:
        """Add many records with ids that are new; indexes are built when they are next needed."""
        self._records.update((record.clerk_id, record) for record in records)
        self._orderings.clear()

    def remove(self, clerk_id: str) -> Record | None:
        """Take a record out and return it."""
        record = self._records.pop(clerk_id, None)
        if record is not None:
            for ordering in self._orderings.values():
                ordering.discard(record)
        return record

    def send(self, clerk_id: str, wire: bytes | None) -> None:
        """Have other bytes than its JSON sent for a user (None: its JSON again)."""
        record = self._records[clerk_id]
        self._records[clerk_id] = replace(record, wire=record.document if wire is None else wire)

    def ordering(self, field: str) -> Ordering:
        """Return the index of a field, built at its first use and kept up to date."""
        if field not in self._orderings:
            self._orderings[field] = Ordering(field, self._records.values())
        return self._orderings[field]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _parts(value: Any) -> list[Json]:
    if not value or not isinstance(value, list):
        return []
    return [part for part in value if isinstance(part, dict)]


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not value:
        return ()
    return tuple([part[key] for part in _parts(value) if isinstance(part.get(key), str)])
