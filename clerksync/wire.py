"""The parts of Clerk's JSON that are read, as types for msgspec.

Everything may be missing or null: what the specification requires is not always
there in test events, and unknown keys are ignored.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

MAX_ID = 255


class Verification(msgspec.Struct, gc=False):
    """Only the status is read; the strategies are an open set."""

    status: str | None = None


class Email(msgspec.Struct, gc=False):
    """One e-mail address; ``id`` is not required by the specification."""

    id: str | None = None
    email_address: str | None = None
    verification: Verification | None = None


class Phone(msgspec.Struct, gc=False):
    """One phone number, E.164; ``backup_codes`` is read in order not to be stored."""

    id: str | None = None
    phone_number: str | None = None
    verification: Verification | None = None
    backup_codes: list[Any] | None = None


class Wallet(msgspec.Struct, gc=False):
    """One web3 wallet."""

    id: str | None = None
    web3_wallet: str | None = None
    verification: Verification | None = None


class Account(msgspec.Struct, gc=False):
    """One external or enterprise account; its ``id`` is not stable in kind."""

    provider: str | None = None
    provider_user_id: str | None = None
    email_address: str | None = None
    verification: Verification | None = None


class User(msgspec.Struct, gc=False):
    """One user; ``UNSET`` tells a key that is missing from one that is null."""

    id: str
    created_at: int | None = None
    updated_at: int | None = None
    primary_email_address_id: str | None = None
    primary_phone_number_id: str | None = None
    primary_web3_wallet_id: str | None = None
    email_addresses: list[Email] | UnsetType | None = UNSET
    phone_numbers: list[Phone] | None = None
    web3_wallets: list[Wallet] | None = None
    external_accounts: list[Account] | None = None
    enterprise_accounts: list[Account] | None = None
    username: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    image_url: str | None = None
    has_image: bool | UnsetType | None = UNSET
    external_id: str | None = None
    banned: bool | UnsetType | None = UNSET
    locked: bool | None = None
    deprovisioned: bool | None = None
    password_enabled: bool | None = None
    two_factor_enabled: bool | None = None
    totp_enabled: bool | None = None
    backup_code_enabled: bool | None = None
    last_sign_in_at: int | None = None
    last_active_at: int | None = None
    legal_accepted_at: int | None = None
    public_metadata: Any = None
    private_metadata: Any = None
    unsafe_metadata: Any = None


decode_user = msgspec.json.Decoder(User).decode
decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
