"""The least that a full sync can cost: by hand, without Django and without promises.

One connection is kept alive, the JSON is decoded with types straight into rows, and the
database writes on a thread of its own: COPY and a guarded upsert on PostgreSQL, a guarded
executemany on SQLite.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import urllib3
from django.db import connection, transaction

from tests.benchmarks.world import World

COLUMNS = (
    "id",
    "updated_at",
    "created_at",
    "email",
    "email_verified",
    "phone",
    "phone_verified",
    "username",
    "first_name",
    "last_name",
    "image_url",
    "has_image",
    "external_id",
    "banned",
    "locked",
    "deprovisioned",
    "password_enabled",
    "two_factor_enabled",
    "last_sign_in_at",
    "last_active_at",
    "legal_accepted_at",
    "public_metadata",
    "private_metadata",
    "unsafe_metadata",
)
_TYPES = {
    "id": "text primary key",
    **dict.fromkeys((name for name in COLUMNS if name.endswith("_at")), "bigint"),
    **dict.fromkeys(("email_verified", "phone_verified", "has_image", "banned", "locked"), "boolean"),
    **dict.fromkeys(("deprovisioned", "password_enabled", "two_factor_enabled"), "boolean"),
    **dict.fromkeys((name for name in COLUMNS if name.endswith("_metadata")), "jsonb"),
}
#: What lists and searches of a million users cannot do without.
_INDEXES = ("email", "username", "external_id", "first_name, last_name", "created_at, banned, email_verified")


class _Verification(msgspec.Struct, gc=False):
    status: str | None = None


class _Email(msgspec.Struct, gc=False):
    id: str | None = None
    email_address: str | None = None
    verification: _Verification | None = None


class _Phone(msgspec.Struct, gc=False):
    id: str | None = None
    phone_number: str | None = None
    verification: _Verification | None = None


class _User(msgspec.Struct, gc=False):
    id: str
    updated_at: int
    created_at: int
    primary_email_address_id: str | None
    primary_phone_number_id: str | None
    email_addresses: list[_Email]
    phone_numbers: list[_Phone]
    username: str | None
    first_name: str | None
    last_name: str | None
    image_url: str
    has_image: bool
    external_id: str | None
    banned: bool
    locked: bool
    deprovisioned: bool
    password_enabled: bool
    two_factor_enabled: bool
    last_sign_in_at: int | None
    last_active_at: int | None
    legal_accepted_at: int | None
    public_metadata: msgspec.Raw
    private_metadata: msgspec.Raw
    unsafe_metadata: msgspec.Raw


_decode = msgspec.json.Decoder(list[_User]).decode


def create_table(*, indexed: bool = False) -> None:
    """A table of typed columns, empty; with no index but the key's, or with those of lists and searches."""
    columns = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS floor_users")
        cursor.execute(f"CREATE TABLE floor_users ({columns})")
        for number, names in enumerate(_INDEXES if indexed else ()):
            cursor.execute(f"CREATE INDEX floor_{number} ON floor_users ({names})")


def sync(world: World) -> int:
    """Read and write everybody; return how many."""
    pages: queue.Queue[list[tuple[Any, ...]] | None] = queue.Queue(maxsize=2)
    writer = threading.Thread(target=_write_all, args=(pages,))
    writer.start()
    seen = 0
    for page in _fetch_all(world):
        rows = [_row(user) for user in page]
        seen += len(rows)
        pages.put(rows)
    pages.put(None)
    writer.join()
    return seen


def scan(world: World) -> int:
    """Read everybody and compare ids and versions with the table; nothing differs, so nothing is written."""
    seen = 0
    for page in _fetch_all(world):
        ids = [user.id for user in page]
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT id, updated_at FROM floor_users WHERE id = ANY(%s)", [ids])
            else:
                marks = ", ".join(["%s"] * len(ids))
                cursor.execute(f"SELECT id, updated_at FROM floor_users WHERE id IN ({marks})", ids)  # noqa: S608
            known = dict(cursor.fetchall())
        changed = [user for user in page if known.get(user.id) != user.updated_at]
        if changed:
            raise AssertionError(f"{len(changed)} users differ")
        seen += len(page)
    return seen


def _fetch_all(world: World) -> Iterator[list[_User]]:
    """Every page, by cursor."""
    headers = {"Authorization": f"Bearer {world.secret_key}", "Clerk-API-Version": "2026-05-12"}
    cursor = ""
    with urllib3.PoolManager(1) as pool:
        while True:
            url = f"{world.url}/v1/users?limit=500&order_by=%2Bcreated_at{cursor}"
            page = _decode(pool.request("GET", url, headers=headers).data)
            if not page:
                return
            yield page
            cursor = f"&starting_after={page[-1].id}"


def _row(user: _User) -> tuple[Any, ...]:
    email = next((one for one in user.email_addresses if one.id == user.primary_email_address_id), None)
    phone = next((one for one in user.phone_numbers if one.id == user.primary_phone_number_id), None)
    return (
        user.id,
        user.updated_at,
        user.created_at,
        email.email_address if email else None,
        bool(email and email.verification and email.verification.status == "verified"),
        phone.phone_number if phone else None,
        bool(phone and phone.verification and phone.verification.status == "verified"),
        user.username,
        user.first_name,
        user.last_name,
        user.image_url,
        user.has_image,
        user.external_id,
        user.banned,
        user.locked,
        user.deprovisioned,
        user.password_enabled,
        user.two_factor_enabled,
        user.last_sign_in_at,
        user.last_active_at,
        user.legal_accepted_at,
        str(user.public_metadata, "utf-8"),
        str(user.private_metadata, "utf-8"),
        str(user.unsafe_metadata, "utf-8"),
    )


def _write_all(pages: queue.Queue[list[tuple[Any, ...]] | None]) -> None:
    """Write pages until None comes, on a connection of this thread's own."""
    names = ", ".join(COLUMNS)
    sets = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
    guard = f"ON CONFLICT (id) DO UPDATE SET {sets} WHERE floor_users.updated_at < excluded.updated_at"
    try:
        while (rows := pages.get()) is not None:
            _write(rows, names=names, guard=guard)
    finally:
        connection.close()


def _write(rows: list[tuple[Any, ...]], *, names: str, guard: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            values = ", ".join(["%s"] * len(COLUMNS))
            cursor.executemany(f"INSERT INTO floor_users ({names}) VALUES ({values}) {guard}", rows)  # noqa: S608
            return
        cursor.execute("CREATE TEMP TABLE floor_page (LIKE floor_users) ON COMMIT DROP")
        with cursor.copy(f"COPY floor_page ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(f"INSERT INTO floor_users SELECT {names} FROM floor_page {guard}")  # noqa: S608
