"""The typed columns of a user, and the digest that tells whether two snapshots agree: pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from msgspec import UnsetType

from clerksync.wire import Account, Email, Phone, User, Wallet

#: No time is later than the last but one day that Python's datetime knows: a zone may add some hours.
MAX_MS = 253_402_214_399_999
#: Indexed columns hold no more characters than PostgreSQL's B-tree takes (2,704 bytes).
MAX_INDEXED = 512
#: Metadata that is nested deeper stays in the payload only.
MAX_DEPTH = 100

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Stored and kept fresh, but a difference in these alone is no change.
VOLATILE = frozenset({"updated_at", "last_sign_in_at", "last_active_at", "locked"})

#: In every number with an exponent, as encoders write it; and in some texts.
_EXPONENT = re.compile(r"[0-9]e")

Identification = TypeVar("Identification", Email, Phone)


class UserFields(msgspec.Struct, frozen=True, gc=False):
    """The typed columns of a user; times in ms since 1970, metadata as canonical JSON."""

    email: str | None
    email_verified: bool
    phone_number: str | None
    phone_verified: bool
    username: str | None
    first_name: str | None
    last_name: str | None
    image_url: str | None
    has_image: bool
    external_id: str | None
    banned: bool
    locked: bool
    deprovisioned: bool
    password_enabled: bool
    two_factor_enabled: bool
    created_at: int | None
    updated_at: int | None
    last_sign_in_at: int | None
    last_active_at: int | None
    legal_accepted_at: int | None
    public_metadata: str
    private_metadata: str
    unsafe_metadata: str


#: The columns in which placeholder data is looked for; they tell a row that was changed past the mirror.
WATCHED = ("email", "phone_number", "username", "first_name", "last_name")
#: The columns that are times, in the order of the struct.
TIMES = ("created_at", "updated_at", "last_sign_in_at", "last_active_at", "legal_accepted_at")

_times_of = attrgetter(*TIMES)
_stable_fields = attrgetter(*(name for name in UserFields.__struct_fields__ if name not in VOLATILE))


def build_fields(user: User) -> tuple[UserFields, tuple[str, ...]]:
    """The typed columns of a user, and what had to be left out of them."""
    dropped: list[str] = []
    times = _times_of(user)
    known = [time for time in times if time]
    if known and (min(known) < 0 or max(known) > MAX_MS):
        times = tuple(_time(name, time, dropped) for name, time in zip(TIMES, times, strict=True))
    email = _primary(user.email_addresses, user.primary_email_address_id)
    phone = _primary(user.phone_numbers, user.primary_phone_number_id)
    # In the order of the struct: names would cost as much again as everything else here.
    fields = UserFields(
        _indexed("email", email.email_address, dropped) if email else None,
        email is not None and _is_verified(email),
        _indexed("phone_number", phone.phone_number, dropped) if phone else None,
        phone is not None and _is_verified(phone),
        _indexed("username", user.username, dropped) if user.username else None,
        user.first_name,
        user.last_name,
        user.image_url,
        user.has_image is True,
        _indexed("external_id", user.external_id, dropped) if user.external_id else None,
        user.banned is True,
        user.locked is True,
        user.deprovisioned is True,
        user.password_enabled is True,
        user.two_factor_enabled is True,
        times[0],
        times[1],
        times[2],
        times[3],
        times[4],
        _metadata("public_metadata", user.public_metadata, dropped) if user.public_metadata else "{}",
        _metadata("private_metadata", user.private_metadata, dropped) if user.private_metadata else "{}",
        _metadata("unsafe_metadata", user.unsafe_metadata, dropped) if user.unsafe_metadata else "{}",
    )
    return fields, tuple(dropped)


def watched(fields: UserFields) -> tuple[str | None, ...]:
    """The columns of ``WATCHED``, in order."""
    return fields.email, fields.phone_number, fields.username, fields.first_name, fields.last_name


def digest(user: User, fields: UserFields) -> str:
    """A hash of the stable content, and the volatile fields: ``stable:volatile``.

    Only what lists, single reads and webhooks all carry is covered, with null, empty
    and absent made the same; ``updated_at`` is compared by itself.
    """
    stable = (
        _stable_fields(fields),
        user.totp_enabled is True,
        user.backup_code_enabled is True,
        _identifications(user.email_addresses, "email_address"),
        _identifications(user.phone_numbers, "phone_number"),
        _identifications(user.web3_wallets, "web3_wallet"),
        [_account(item) for item in user.external_accounts] if user.external_accounts else (),
        [_account(item) for item in user.enterprise_accounts] if user.enterprise_accounts else (),
    )
    hashed = hashlib.blake2b(msgspec.json.encode(stable), digest_size=12).hexdigest()
    return f"{hashed}:{fields.last_sign_in_at or ''}.{fields.last_active_at or ''}.{fields.locked:d}"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, and with numbers that both databases give back as they are."""
    text = _sorted_json(value)
    # Looking for more than may be there takes a quarter of the time.
    may_be_odd = "-0.0" in text or _EXPONENT.search(text)
    return _sorted_json(_with_whole_numbers(value)) if may_be_odd else text


def _sorted_json(value: Any) -> str:
    try:
        return msgspec.json.encode(value, order="sorted").decode()
    except OverflowError:  # integers of more than 64 bits
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _with_whole_numbers(value: Any) -> Any:
    """Large floats as the integers that they are: PostgreSQL's jsonb would give back others."""
    match value:
        case float() if value.is_integer() and (abs(value) >= 1e15 or value == 0):
            return int(value)
        case list():
            return [_with_whole_numbers(item) for item in value]
        case dict():
            return {key: _with_whole_numbers(item) for key, item in value.items()}
        case _:
            return value


def _primary(
    items: Sequence[Identification] | UnsetType | None, primary_id: str | None
) -> Identification | None:
    if items and primary_id:
        for item in items:
            if item.id == primary_id:
                return item
    return None


def _identifications(items: Any, value: str) -> Sequence[tuple[str | None, bool]]:
    """Addresses with whether they are verified, by id: two sources may list them in different orders."""
    if not items:
        return ()
    if len(items) > 1:
        items = sorted(items, key=lambda item: item.id or "")
    return [(getattr(item, value), _is_verified(item)) for item in items]


def _is_verified(item: Email | Phone | Wallet | Account) -> bool:
    return item.verification is not None and item.verification.status == "verified"


def _account(item: Account) -> tuple[str | None, str | None, str | None, bool]:
    return item.provider, item.provider_user_id, item.email_address, _is_verified(item)


def _indexed(name: str, value: str | None, dropped: list[str]) -> str | None:
    if value is not None and len(value) > MAX_INDEXED:
        dropped.append(f"{name}: longer than {MAX_INDEXED} characters")
        return None
    return value or None


def _time(name: str, value: int | None, dropped: list[str]) -> int | None:
    if value is None or 0 <= value <= MAX_MS:
        return value
    dropped.append(f"{name}: not a time in ms")
    return None


def _metadata(name: str, value: Any, dropped: list[str]) -> str:
    if not value:
        return "{}"
    try:
        text = canonical_json(value)
    except RecursionError:
        text = None
    if text is None or (text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH):
        dropped.append(f"{name}: nested deeper than {MAX_DEPTH} levels")
        return "{}"
    return text


def _depth(value: Any) -> int:
    """How deep lists and objects are nested; level by level, not recursive."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


#: The columns of a user of whom nothing is known.
NOTHING = build_fields(User(id=""))[0]
