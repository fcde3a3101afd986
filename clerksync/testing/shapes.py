"""Users of every shape that Clerk is known to send, each under a name that says what is odd."""

from __future__ import annotations

from collections.abc import Iterator

from clerksync.testing import identities
from clerksync.testing.population import Population
from clerksync.testing.users import DAY_MS
from clerksync.testing.wire import Json

#: A name, and what ``create_user`` takes to make the user.
Shape = tuple[str, Json]

#: The keys that Clerk's specification lets a user lack.
OPTIONAL_KEYS = (
    "locale", "profile_image_url", "image_url", "private_metadata", "unsafe_metadata",
    "password_last_updated_at", "organization_memberships", "deprovisioned",
    "create_organizations_limit", "bypass_client_trust", "scim",
)  # fmt: skip

DOMAIN = "harbour-works.io"


def every_shape(clerk: Population) -> dict[str, str]:
    """Add 54 users, no two of one shape, created a day apart; return their ids by shape."""
    parts = Parts(clerk)
    shapes = [
        *_addresses(parts),
        *_other_identifiers(parts),
        *_names(),
        *_states(parts),
        *_accounts(parts),
        *_contents(parts),
        *_times(parts),
    ]
    clerk_ids = {}
    for number, (name, fields) in enumerate(shapes):
        created_at = parts.now - (len(shapes) - number) * DAY_MS
        clerk_ids[name] = clerk.create_user(**{"created_at": created_at, **fields})["id"]
    bare = clerk.get(clerk_ids["required_keys_only"])
    clerk.put_user({key: value for key, value in bare.items() if key not in OPTIONAL_KEYS})
    return clerk_ids


class Parts:
    """Makes the parts of the shapes, with ids of the clerk that they are for."""

    def __init__(self, clerk: Population) -> None:
        self.now = clerk.clock.now_ms()
        self.people = clerk.people
        self.builder = clerk.builder

    def email(self, name: str, *, check: Json | None, domain: str = DOMAIN, **changes: object) -> Json:
        """Return an address with this verification."""
        return self.builder.email(f"{name}@{domain}", at=self.now) | {"verification": check} | changes

    def account(self, provider: str, *, email: str, status: str = "verified") -> Json:
        """Return the account of an OAuth provider."""
        return identities.external_account(
            provider,
            account_id=self.people.draw_id("eac"),
            identification_id=self.people.draw_id("idn"),
            provider_user_id=self.people.draw_digits(15),
            email=email,
            first_name="Yara",
            last_name="Haddad",
            at=self.now,
            status=status,
        )


def _addresses(parts: Parts) -> Iterator[Shape]:
    verified = identities.verification("otp", strategy="email_code")
    expired = identities.verification("otp", strategy="email_code", status="expired", expire_at=parts.now)
    by_admin = identities.verification("admin", strategy="admin", attempts=None)
    by_link = identities.verification("email_link", strategy="email_link")
    pair = [f"ines.caruso@{DOMAIN}", f"ines@{DOMAIN}", "i.caruso@tidegate-press.com"]
    dangling = parts.people.draw_id("idn")
    yield "everyday", {}
    yield "email_without_names", {"first_name": None, "last_name": None}
    yield "primary_email_first", {"email_addresses": [f"otto@{DOMAIN}", "otto@tidegate-press.com"]}
    yield "primary_email_last", {"email": pair[-1], "email_addresses": pair}
    yield "emails_without_primary", {"email": None, "email_addresses": ["leila@tidegate-press.com"]}
    yield "unverified_email", {"email_verified": False}
    yield "expired_email", _only(parts.email("hana.kimura", check=expired))
    yield "email_without_verification", _only(parts.email("kofi.nwosu", check=None))
    yield "email_by_admin", _only(parts.email("elif.uzun", check=by_admin))
    yield "email_by_link", _only(parts.email("jakub.novak", check=by_link))
    yield "reserved_email", _only(parts.email("sanne.weiss", check=None, reserved=True))
    yield (
        "mixed_verification",
        {
            "email": f"dalia.rahimi@{DOMAIN}",
            "email_addresses": [
                parts.email("dalia", check=None),
                parts.email("dalia.rahimi", check=verified),
            ],
        },
    )
    yield "dangling_primary_email", {"email": None, "primary_email_address_id": dangling}
    yield "dangling_beside_emails", {"primary_email_address_id": dangling}
    yield "email_in_capitals", {"email": f"Freya.LINDQVIST@{DOMAIN.title()}"}
    yield "email_with_plus", {"email": f"roisin.gallagher+newsletter@{DOMAIN}"}
    yield "email_beyond_ascii", {"email": f"sørén.ærø@{DOMAIN}"}
    yield "longest_email", {"email": f"{'delphine' * 8}@{'harbour' * 8}.{DOMAIN}"}


def _only(email: Json) -> Json:
    return {"email": email["email_address"], "email_addresses": [email]}


def _other_identifiers(parts: Parts) -> Iterator[Shape]:
    nobody = {"email": None, "first_name": None, "last_name": None}
    number = parts.people.draw_phone()
    phones = [parts.builder.phone(parts.people.draw_phone(), at=parts.now) for _ in range(2)]
    idn = parts.people.draw_id("idn")
    wallet = identities.web3_wallet(
        "0x71c7656ec7ab88b098defb751b7401b5f6d8976f", identification_id=idn, at=parts.now
    )
    key = identities.passkey("MacBook", identification_id=parts.people.draw_id("idn"), at=parts.now)
    yield "phone_only", {**nobody, "phone_number": number}
    yield "username_only", {**nobody, "username": "tidewatcher"}
    yield "external_id_only", {**nobody, "external_id": "crm-004711"}
    yield "nothing_but_an_id", nobody
    yield "email_phone_and_username", {
        "phone_number": parts.people.draw_phone(), "username": "z.zielinski_84",
    }  # fmt: skip
    yield "primary_phone_last", {
        **nobody, "phone_numbers": phones, "primary_phone_number_id": phones[1]["id"],
    }  # fmt: skip
    yield "wallet_only", {**nobody, "web3_wallets": [wallet], "primary_web3_wallet_id": idn}
    yield "passkey", {"passkeys": [key]}


def _names() -> Iterator[Shape]:
    yield "first_name_only", {"last_name": None}
    yield "last_name_only", {"first_name": None}
    yield "empty_names", {"first_name": "", "last_name": ""}
    yield "accented_name", {"first_name": "Zoë-Aurélie", "last_name": "Žižková"}
    yield "right_to_left_name", {"first_name": "ليلى", "last_name": "حدّاد"}
    yield "chinese_name", {"first_name": "思敏", "last_name": "欧阳"}
    yield "emoji_name", {"first_name": "Priya 🌊", "last_name": "👩🏽‍🚀"}
    yield "decomposed_name", {"first_name": "Rene\u0301e", "last_name": "Bjo\u0308rk\u200b"}
    yield "markup_in_name", {"first_name": "<b>Fergus</b>", "last_name": 'O\'Hara & "Sons"'}
    yield "long_names", {"first_name": "Maximiliana " * 21, "last_name": "von Hohenberg-" * 18}


def _states(parts: Parts) -> Iterator[Shape]:
    scim = {"directory_id": parts.people.draw_id("dir"), "directory_enabled": True, "external_id": "e-2291"}
    yield "banned", {"banned": True}
    yield "locked", {
        "locked": True, "lockout_expires_in_seconds": 1800, "verification_attempts_remaining": 0,
    }  # fmt: skip
    yield "locked_for_ever", {"locked": True, "lockout_expires_in_seconds": None}
    yield "deprovisioned", {"deprovisioned": True, "scim": scim}
    yield "two_factors", {
        "password_enabled": True, "password_last_updated_at": parts.now - DAY_MS,
        "two_factor_enabled": True, "totp_enabled": True, "backup_code_enabled": True,
        "mfa_enabled_at": parts.now - DAY_MS,
    }  # fmt: skip
    yield "never_signed_in", {"last_sign_in_at": None, "last_active_at": None}


def _accounts(parts: Parts) -> Iterator[Shape]:
    email = f"yara.haddad@{DOMAIN}"
    connection_id = parts.people.draw_id("samlc")
    saml = identities.saml_account(
        account_id=parts.people.draw_id("samlacc"), connection_id=connection_id, email=email,
        at=parts.now, domain=DOMAIN,
    )  # fmt: skip
    work = identities.enterprise_account(
        account_id=parts.people.draw_id("entacc"), connection_id=connection_id, email=email,
        at=parts.now, domain=DOMAIN,
    )  # fmt: skip
    membership = identities.organization_membership(
        membership_id=parts.people.draw_id("orgmem"),
        organization_id=parts.people.draw_id("org"),
        name="Harbour Works",
        role="org:admin",
        at=parts.now,
    )
    waiting = parts.account("facebook", email="", status="unverified")
    accounts = [parts.account("github", email=email), parts.account("google", email=email)]
    yield "google", {"provider": "google", "has_image": True}
    yield "github", {"provider": "github", "username": "valentina-codes"}
    yield "unverified_account", {"external_accounts": [waiting]}
    yield "two_accounts", {"external_accounts": accounts}
    yield "saml", {"email": email, "saml_accounts": [saml], "enterprise_accounts": [work]}
    yield "organization_member", {"organization_memberships": [membership]}


def _contents(parts: Parts) -> Iterator[Shape]:
    nested = {"plan": {"tier": "team", "limits": [1, 2.5, None, True]}, "note": "Grüße aus Köln 🌍"}
    yield "metadata", {"public_metadata": nested, "unsafe_metadata": {"theme": "dark"}}
    yield "large_metadata", {"private_metadata": {"history": "logged in from Lisbon; " * 350}}
    yield "required_keys_only", {}


def _times(parts: Parts) -> Iterator[Shape]:
    shared = parts.now - 200 * DAY_MS
    yield "back_dated", {"created_at": parts.now - 4000 * DAY_MS, "updated_at": parts.now - DAY_MS}
    yield "created_together", {"created_at": shared}
    yield "created_together_too", {"created_at": shared, "updated_at": shared + 1}
