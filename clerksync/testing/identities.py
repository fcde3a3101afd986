"""The parts of a user that identify them: addresses, numbers, wallets and linked accounts."""

from __future__ import annotations

from clerksync.testing.wire import Json

_SCOPES = {
    "google": (
        "email https://www.googleapis.com/auth/userinfo.email "
        "https://www.googleapis.com/auth/userinfo.profile openid profile"
    ),
    "github": "read:user user:email",
}


def verification(
    kind: str,
    *,
    strategy: str,
    status: str = "verified",
    attempts: int | None = 1,
    expire_at: int | None = None,
) -> Json:
    """Return a verification object; ``kind`` is the part of its ``object`` after ``verification_``."""
    return {
        "object": f"verification_{kind}",
        "status": status,
        "strategy": strategy,
        "attempts": attempts,
        "expire_at": expire_at,
    }


def email_address(
    address: str, *, identification_id: str, at: int, verification: Json | None, linked_to: list[Json]
) -> Json:
    """Return an EmailAddress object."""
    return {
        "id": identification_id,
        "object": "email_address",
        "email_address": address,
        "reserved": False,
        "verification": verification,
        "linked_to": linked_to,
        "matches_sso_connection": False,
        "created_at": at,
        "updated_at": at,
    }


def phone_number(number: str, *, identification_id: str, at: int, verification: Json | None) -> Json:
    """Return a PhoneNumber object."""
    return {
        "id": identification_id,
        "object": "phone_number",
        "phone_number": number,
        "reserved_for_second_factor": False,
        "default_second_factor": False,
        "reserved": False,
        "verification": verification,
        "linked_to": [],
        "backup_codes": None,
        "created_at": at,
        "updated_at": at,
    }


def web3_wallet(address: str, *, identification_id: str, at: int) -> Json:
    """Return a verified Web3Wallet object."""
    return {
        "id": identification_id,
        "object": "web3_wallet",
        "web3_wallet": address,
        "verification": verification("web3", strategy="web3_metamask_signature"),
        "created_at": at,
        "updated_at": at,
    }


def passkey(name: str, *, identification_id: str, at: int) -> Json:
    """Return a Passkey object."""
    return {
        "id": identification_id,
        "object": "passkey",
        "name": name,
        "last_used_at": at,
        "verification": verification("passkey", strategy="passkey", attempts=None),
    }


def external_account(
    provider: str,
    *,
    account_id: str,
    identification_id: str,
    provider_user_id: str,
    email: str,
    first_name: str,
    last_name: str,
    at: int,
    status: str = "verified",
) -> Json:
    """Return the account of an OAuth provider (``google``, ``github``, ...).

    For Google and Facebook Clerk's ``id`` is the identification's, and the account's own id
    sits in ``external_account_id``.
    """
    old_style = provider in {"google", "facebook"}
    account: Json = {
        "object": f"{provider}_account" if old_style else "external_account",
        "id": identification_id if old_style else account_id,
        "provider": f"oauth_{provider}",
        "identification_id": identification_id,
        "provider_user_id": provider_user_id,
        "approved_scopes": _SCOPES.get(provider, "email profile openid"),
        "email_address": email,
        "email_address_verified": True,
        "first_name": first_name,
        "last_name": last_name,
        "avatar_url": f"https://images.clerk.dev/oauth_{provider}/img_{account_id}",
        "image_url": f"https://img.clerk.com/avatars/{provider}/{account_id}?width=160",
        "username": None,
        "phone_number": None,
        "public_metadata": {},
        "label": None,
        "created_at": at,
        "updated_at": at,
        "verification": verification(
            "oauth", strategy=f"oauth_{provider}", status=status, attempts=None, expire_at=at + 600_000
        ),
    }
    return account | {"external_account_id": account_id} if old_style else account


def enterprise_account(
    *, account_id: str, connection_id: str, email: str, at: int, domain: str, active: bool = True
) -> Json:
    """Return a verified EnterpriseAccount of a SAML connection."""
    connection = _connection(connection_id, at=at, domain=domain) | {
        "protocol": "saml",
        "logo_public_url": None,
    }
    return {
        "id": account_id,
        "object": "enterprise_account",
        "protocol": "saml",
        "provider": "saml_okta",
        "active": active,
        "email_address": email,
        "first_name": None,
        "last_name": None,
        "provider_user_id": email,
        "enterprise_connection_id": connection_id,
        "public_metadata": {},
        # A verified SAML verification leaves out expire_at and the redirect URL.
        "verification": _saml_verification(),
        "enterprise_connection": connection,
        "last_authenticated_at": at,
    }


def saml_account(*, account_id: str, connection_id: str, email: str, at: int, domain: str) -> Json:
    """Return the older SAMLAccount twin of an EnterpriseAccount."""
    return {
        "id": account_id,
        "object": "saml_account",
        "provider": "saml_okta",
        "active": True,
        "email_address": email,
        "first_name": None,
        "last_name": None,
        "provider_user_id": email,
        "last_authenticated_at": at,
        "public_metadata": {},
        "verification": _saml_verification(),
        "saml_connection": _connection(connection_id, at=at, domain=domain),
    }


def _saml_verification() -> Json:
    return {"object": "verification_saml", "status": "verified", "strategy": "saml", "attempts": None}


def _connection(connection_id: str, *, at: int, domain: str) -> Json:
    return {
        "id": connection_id,
        "name": "Okta Workforce",
        "domain": domain,
        "domains": [domain],
        "active": True,
        "provider": "saml_okta",
        "sync_user_attributes": True,
        "allow_subdomains": False,
        "allow_idp_initiated": True,
        "disable_additional_identifications": False,
        "created_at": at,
        "updated_at": at,
    }


def organization_membership(
    *, membership_id: str, organization_id: str, name: str, role: str, at: int
) -> Json:
    """Return an OrganizationMembership object."""
    return {
        "id": membership_id,
        "object": "organization_membership",
        "role": role,
        "role_name": role.partition(":")[2].title(),
        "permissions": ["org:sys_memberships:read"],
        "public_metadata": {},
        "private_metadata": {},
        "organization": {
            "object": "organization",
            "id": organization_id,
            "name": name,
            "slug": name.lower().replace(" ", "-"),
            "image_url": f"https://img.clerk.com/organizations/{organization_id}",
            "has_image": False,
            "max_allowed_memberships": 50,
            "admin_delete_enabled": True,
            "public_metadata": {},
            "private_metadata": {},
            "created_at": at,
            "updated_at": at,
        },
        "created_at": at,
        "updated_at": at,
    }
