"""User objects in the shape that Clerk documents, as plain dicts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal

from clerksync.testing import identities
from clerksync.testing.people import People
from clerksync.testing.wire import Json

DAY_MS = 86_400_000


class Drawn(Enum):
    """Marks a value that the fake Clerk makes up."""

    DRAWN = "drawn"


DRAWN: Literal[Drawn.DRAWN] = Drawn.DRAWN

#: A text, nothing at all, or whatever the fake Clerk makes up.
Text = str | None | Literal[Drawn.DRAWN]


class UserBuilder:
    """Builds users and their parts with ids and names drawn from one seeded source."""

    def __init__(self, *, people: People) -> None:
        self.people = people

    def build(
        self,
        *,
        created_at: int,
        updated_at: int | None = None,
        clerk_id: str | None = None,
        email: Text = DRAWN,
        email_verified: bool = True,
        email_addresses: Sequence[str | Json] | None = None,
        first_name: Text = DRAWN,
        last_name: Text = DRAWN,
        username: str | None = None,
        phone_number: str | None = None,
        provider: str | None = None,
        **raw: Any,
    ) -> Json:
        """Return a user; ``raw`` replaces whole values of it, whatever they are."""
        person = self.people.draw_person()
        given = person.first_name if isinstance(first_name, Drawn) else first_name
        family = person.last_name if isinstance(last_name, Drawn) else last_name
        address = _primary_text(email, email_addresses, drawn=person.email)
        user = self._skeleton(clerk_id or self.people.draw_id("user"), at=created_at)
        user |= {"username": username, "first_name": given, "last_name": family}
        user["updated_at"] = created_at if updated_at is None else updated_at
        self._add_emails(user, address, email_addresses or (), verified=email_verified)
        if phone_number is not None:
            self.set_phone(user, phone_number, at=created_at)
        if provider is not None:
            self.link(user, provider, at=created_at)
        return user | raw

    def build_everyday(self, *, created_at: int, updated_at: int) -> Json:
        """Return a user as most are: one address, often Google, now and then a phone or no name."""
        chance = self.people.random.random
        unnamed = chance() < 0.1
        return self.build(
            created_at=created_at,
            updated_at=updated_at,
            first_name=None if unnamed else DRAWN,
            last_name=None if unnamed else DRAWN,
            phone_number=self.people.draw_phone() if chance() < 0.05 else None,
            provider="google" if chance() < 0.8 else None,
            external_id=self.people.draw_digits(9) if chance() < 0.5 else None,
            has_image=chance() < 0.5,
            public_metadata={"plan": "team", "seats": int(chance() * 40), "onboarding": "complete"},
            private_metadata={"customer": f"cus_{self.people.draw_digits(14)}", "region": "eu-central"},
            last_sign_in_at=updated_at,
            last_active_at=updated_at - updated_at % DAY_MS,
        )

    def set_email(self, user: Json, address: str | None, *, at: int, verified: bool = True) -> None:
        """Replace the primary e-mail address by another, with an id of its own."""
        entry = None if address is None else self.email(address, at=at, verified=verified)
        _replace_primary(user, "email_addresses", "primary_email_address_id", entry)

    def set_phone(self, user: Json, number: str | None, *, at: int) -> None:
        """Replace the primary phone number by another, with an id of its own."""
        entry = None if number is None else self.phone(number, at=at)
        _replace_primary(user, "phone_numbers", "primary_phone_number_id", entry)

    def link(self, user: Json, provider: str, *, at: int) -> None:
        """Add a verified OAuth account with the user's primary e-mail address."""
        emails = [item for item in user["email_addresses"] if item["id"] == user["primary_email_address_id"]]
        account = identities.external_account(
            provider,
            account_id=self.people.draw_id("eac"),
            identification_id=self.people.draw_id("idn"),
            provider_user_id=self.people.draw_digits(15),
            email=emails[0]["email_address"] if emails else "",
            first_name=user["first_name"] or "",
            last_name=user["last_name"] or "",
            at=at,
        )
        user["external_accounts"].append(account)
        for entry in emails:
            entry["linked_to"] = [{"type": f"oauth_{provider}", "id": account["identification_id"]}]
            entry["verification"] = identities.verification(
                "from_oauth", strategy=f"from_oauth_{provider}", attempts=None, expire_at=None
            )

    def email(self, address: str, *, at: int, verified: bool = True) -> Json:
        """Return an EmailAddress, verified by a code or waiting for it."""
        check = identities.verification(
            "otp",
            strategy="email_code",
            status="verified" if verified else "unverified",
            attempts=1 if verified else 0,
            expire_at=at + 600_000,
        )
        return identities.email_address(
            address, identification_id=self.people.draw_id("idn"), at=at, verification=check, linked_to=[]
        )

    def phone(self, number: str, *, at: int) -> Json:
        """Return a PhoneNumber, verified by a code."""
        check = identities.verification("otp", strategy="phone_code", expire_at=at + 600_000)
        return identities.phone_number(
            number, identification_id=self.people.draw_id("idn"), at=at, verification=check
        )

    def _add_emails(
        self, user: Json, primary: str | None, entries: Sequence[str | Json], *, verified: bool
    ) -> None:
        at = user["created_at"]
        emails = [
            self.email(entry, at=at, verified=verified) if isinstance(entry, str) else entry
            for entry in entries
        ]
        if primary is not None and all(entry.get("email_address") != primary for entry in emails):
            emails.insert(0, self.email(primary, at=at, verified=verified))
        user["email_addresses"] = emails
        user["primary_email_address_id"] = next(
            (entry.get("id") for entry in emails if primary and entry.get("email_address") == primary), None
        )

    def _skeleton(self, clerk_id: str, *, at: int) -> Json:
        image = self.people.draw_image_url()
        return {
            "id": clerk_id,
            "object": "user",
            "username": None,
            "first_name": None,
            "last_name": None,
            "locale": "en-GB",
            "image_url": image,
            "has_image": False,
            "primary_email_address_id": None,
            "primary_phone_number_id": None,
            "primary_web3_wallet_id": None,
            "password_enabled": False,
            "two_factor_enabled": False,
            "totp_enabled": False,
            "backup_code_enabled": False,
            "email_addresses": [],
            "phone_numbers": [],
            "web3_wallets": [],
            "passkeys": [],
            "external_accounts": [],
            "saml_accounts": [],
            "enterprise_accounts": [],
            "password_last_updated_at": None,
            "public_metadata": {},
            "private_metadata": {},
            "unsafe_metadata": {},
            "external_id": None,
            "last_sign_in_at": at,
            "banned": False,
            "locked": False,
            "deprovisioned": False,
            "lockout_expires_in_seconds": None,
            "verification_attempts_remaining": 100,
            "created_at": at,
            "updated_at": at,
            "delete_self_enabled": True,
            "create_organization_enabled": True,
            "create_organizations_limit": None,
            "last_active_at": at - at % DAY_MS,
            "mfa_enabled_at": None,
            "mfa_disabled_at": None,
            "legal_accepted_at": None,
            "profile_image_url": image,
            "bypass_client_trust": False,
        }


def _primary_text(email: Text, entries: Sequence[str | Json] | None, *, drawn: str) -> str | None:
    if not isinstance(email, Drawn):
        return email
    if entries is None:
        return drawn
    first = next(iter(entries), None)
    return first.get("email_address") if isinstance(first, dict) else first


def _replace_primary(user: Json, list_name: str, id_name: str, entry: Json | None) -> None:
    """Put the entry in the primary's place (or take the primary out, if there is no entry)."""
    entries = user[list_name]
    ids = [item.get("id") for item in entries]
    place = ids.index(user[id_name]) if user[id_name] in ids else len(entries)
    entries[place : place + 1] = [] if entry is None else [entry]
    user[id_name] = None if entry is None else entry["id"]
