"""What a verified session token says, in one shape for both versions of Clerk's tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

_PREFIX = "org:"
#: The decimal bit mask of a feature has a bit for each permission's name; more digits mean nothing.
_MAX_DIGITS = 300


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of one session token; times in seconds since the epoch.

    ``user_id`` is who the session acts as. During an impersonation ``actor`` tells who really
    does (Clerk's ``act``: its ``sub`` is the impersonator); otherwise it is None. ``org_role``
    and ``org_permissions`` have the prefix ``org:``. ``authorized_party`` is the origin that
    the token was made for, often None. ``raw`` has all claims, the instance's own included;
    the value is shared by all requests with the same token, so leave what is in it unchanged.
    """

    user_id: str
    session_id: str
    issued_at: float
    expires_at: float
    authorized_party: str | None
    issuer: str | None
    org_id: str | None
    org_slug: str | None
    org_role: str | None
    org_permissions: frozenset[str]
    actor: Mapping[str, Any] | None = field(hash=False)
    raw: Mapping[str, Any] = field(hash=False, repr=False)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """Read claims that ``token_rules`` has accepted; malformed organisation claims count as none."""
        org = _organisation(raw) if "v" in raw else _flat_organisation(raw)
        actor = raw.get("act")
        return cls(
            user_id=raw["sub"],
            session_id=raw["sid"],
            issued_at=raw["iat"],
            expires_at=raw["exp"],
            authorized_party=raw.get("azp"),
            issuer=raw.get("iss"),
            org_id=org.id,
            org_slug=org.slug,
            org_role=org.role,
            org_permissions=org.permissions,
            actor=None if actor is None else MappingProxyType(actor),
            raw=MappingProxyType(raw),
        )

    @property
    def claims(self) -> Mapping[str, Any]:
        """All claims, under the name that they have at ``request.clerk``."""
        return self.raw

    def has(self, *, role: str | None = None, permission: str | None = None) -> bool:
        """Tell whether the user has this role, or this permission, in the session's organisation.

        Both may be named with or without ``org:``; if both are given, both must hold.

        Raises:
            TypeError: Neither is given, which would be true of everybody.
        """
        if role is None and permission is None:
            raise TypeError("has() needs a role or a permission")
        has_role = role is None or self.org_role == _prefixed(role)
        return has_role and (permission is None or _prefixed(permission) in self.org_permissions)


@dataclass(frozen=True, slots=True)
class _Organisation:
    id: str | None = None
    slug: str | None = None
    role: str | None = None
    permissions: frozenset[str] = frozenset()


_NO_ORGANISATION = _Organisation()


def _flat_organisation(raw: Mapping[str, Any]) -> _Organisation:
    """Read version 1: ``org_id`` and its like."""
    org_id = _text(raw.get("org_id"))
    if org_id is None:
        return _NO_ORGANISATION
    role, permissions = _text(raw.get("org_role")), raw.get("org_permissions")
    listed = permissions if isinstance(permissions, list) else []
    return _Organisation(
        org_id,
        _text(raw.get("org_slug")),
        role and _prefixed(role),
        frozenset(_prefixed(name) for name in listed if _text(name)),
    )


def _organisation(raw: Mapping[str, Any]) -> _Organisation:
    """Read version 2: ``o`` and ``fea``.

    A claim ``org_id`` is here the instance's own, which a user may be able to choose: it is not read.
    """
    org = raw.get("o")
    if not isinstance(org, dict) or (org_id := _text(org.get("id"))) is None:
        return _NO_ORGANISATION
    role = _text(org.get("rol"))
    permissions = _permissions(_words(raw.get("fea")), _words(org.get("per")), _words(org.get("fpm")))
    return _Organisation(org_id, _text(org.get("slg")), role and _prefixed(role), frozenset(permissions))


def _permissions(features: list[str], names: list[str], masks: list[str]) -> set[str]:
    """Decode what Clerk has packed: the i-th mask tells which names the i-th feature of the organisation has.

    The lowest bit is the first name. As Clerk's JavaScript does, features of the user alone are not counted.
    """
    if not all(mask.isascii() and mask.isdecimal() and len(mask) <= _MAX_DIGITS for mask in masks):
        return set()  # which mask belongs to which feature is no longer sure
    scoped = [feature.partition(":") for feature in features]
    of_organisation = [name for scope, _, name in scoped if "o" in scope and name]
    return {
        f"{_PREFIX}{feature}:{name}"
        for feature, mask in zip(of_organisation, map(int, masks), strict=False)
        for place, name in enumerate(names)
        if name and mask >> place & 1
    }


def _words(value: object) -> list[str]:
    return [word.strip() for word in value.split(",")] if isinstance(value, str) and value else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _prefixed(name: str) -> str:
    return name if name.startswith(_PREFIX) else _PREFIX + name
