"""Which session tokens are accepted, whoever has signed them: rules for a token's header and claims.

https://clerk.com/docs/guides/sessions/manual-jwt-verification
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

from msgspec import Struct

from clerksync import publishable_key
from clerksync.conf import settings
from clerksync.exceptions import TokenError, TokenReason

ALGORITHM = "RS256"
#: Seconds that Clerk's clock and ours may differ.
LEEWAY = 5.0
#: How tokens begin that are no session tokens: API keys, OAuth access tokens, machine to machine.
MACHINE_PREFIXES = ("ak_", "oat_", "mt_", "m2m_")

_MACHINE_TYPES = ("at+jwt", "application/at+jwt")
#: Clerk's category of a token: None and the last say nothing.
_SESSION_CATEGORIES = (None, "cl_B7d4PD111AAA", "cl_I7d4PD111III")
_OTHER_CATEGORIES: dict[str, TokenReason] = {
    "cl_B7d4PD222AAA": "template_token",
    "cl_B7d4PD333AAA": "machine_token",
}
_USER = re.compile(r"user_[\w-]{1,250}", re.ASCII)
_MAX_TEXT = 255
#: The end of the year 9999, beyond which datetime does not count.
_LAST_SECOND = 253_402_300_799


class Rules(Struct, frozen=True):
    """What the project asks of a token; an empty set asks nothing."""

    parties: frozenset[str] = frozenset()
    allow_missing_azp: bool = True
    issuers: frozenset[str] = frozenset()
    audiences: frozenset[str] = frozenset()

    @classmethod
    def from_settings(cls) -> Self:
        """Read the rules of Django's settings."""
        return cls(
            parties=frozenset(settings.AUTHORIZED_PARTIES),
            allow_missing_azp=settings.ALLOW_MISSING_AZP,
            issuers=_issuers(),
            audiences=_words(settings.AUDIENCE),
        )

    def check_unverified(self, claims: Mapping[str, Any]) -> None:
        """Refuse what is no session token of this instance, whatever its signature.

        It is asked before a key is: the cookie of another app on the same host costs no request.
        """
        subject = claims.get("sub")
        if isinstance(subject, str) and subject.startswith("mch_"):
            raise TokenError("machine_token", "sub")
        issuer = claims.get("iss")
        if self.issuers and not (isinstance(issuer, str) and issuer in self.issuers):
            raise TokenError("issuer", f"iss is {_shown(issuer)}, see CLERKSYNC_ISSUER")

    def check(self, claims: Mapping[str, Any], *, now: float) -> None:
        """Refuse claims that do not let a user in at this time, in seconds since the epoch."""
        _check_presence(claims)
        _check_times(claims, now=now)
        if not _USER.fullmatch(claims["sub"]):
            raise TokenError("subject", "sub is not the id of a user")
        self._check_azp(claims.get("azp"))
        self._check_audience(claims.get("aud"))
        if claims.get("sts") == "pending":
            raise TokenError("session_pending")

    def _check_azp(self, party: object) -> None:
        if party is None:
            if self.parties and not self.allow_missing_azp:
                raise TokenError("azp", "missing, see CLERKSYNC_ALLOW_MISSING_AZP")
        elif not isinstance(party, str):
            raise TokenError("malformed", "azp")
        elif self.parties and party not in self.parties:
            raise TokenError("azp", f"azp is {_shown(party)}, see CLERKSYNC_AUTHORIZED_PARTIES")

    def _check_audience(self, audience: object) -> None:
        if not self.audiences:
            return
        named = audience if isinstance(audience, list) else [audience]
        if not any(isinstance(name, str) and name in self.audiences for name in named):
            raise TokenError("audience", f"aud is {_shown(audience)}, see CLERKSYNC_AUDIENCE")


def check_header(header: Mapping[str, Any]) -> None:
    """Refuse what is signed in another way, and what says that it is no session token."""
    if header.get("alg") != ALGORITHM:
        raise TokenError("algorithm", f"alg is {_shown(header.get('alg'))}")
    kind = header.get("typ")
    if kind in _MACHINE_TYPES:
        raise TokenError("machine_token", "typ")
    if kind not in (None, "JWT"):
        raise TokenError("malformed", "typ")
    key_id = header.get("kid")
    if not (key_id is None or (isinstance(key_id, str) and len(key_id) <= _MAX_TEXT)):
        raise TokenError("malformed", "kid")
    # RFC 7515, section 4.1.11: what is critical and not understood is refused; Clerk sends nothing such.
    if "crit" in header:
        raise TokenError("malformed", "crit")
    category = header.get("cat")
    if category not in _SESSION_CATEGORIES:
        reason = _OTHER_CATEGORIES.get(category) if isinstance(category, str) else None
        raise TokenError(reason or "category", f"cat is {_shown(category)}")


def valid_until(claims: Mapping[str, Any]) -> float:
    """Return the second from which on checked claims are expired."""
    return float(claims["exp"]) + LEEWAY


def valid_from(claims: Mapping[str, Any]) -> float:
    """Return the second before which checked claims are not yet valid."""
    return max(float(claims["iat"]), float(claims.get("nbf") or 0)) - LEEWAY


def _check_presence(claims: Mapping[str, Any]) -> None:
    """Everything that is needed is there and has the type that it should have."""
    for name in ("exp", "iat", "sub", "sid"):
        if claims.get(name) is None:
            raise TokenError("missing_claim", name)
    for name in ("exp", "iat", "nbf"):
        if not (_is_time(claims[name]) if name in claims else True):
            raise TokenError("malformed", name)
    for name in ("sub", "sid", "iss"):
        if not isinstance(claims.get(name, "-"), str) or not 0 < len(claims.get(name, "-")) <= _MAX_TEXT:
            raise TokenError("malformed", name)
    # Unreadable, it would hide that somebody else is at the keyboard.
    if not isinstance(claims.get("act"), (dict, type(None))):
        raise TokenError("malformed", "act")


def _check_times(claims: Mapping[str, Any], *, now: float) -> None:
    if now >= valid_until(claims):
        raise TokenError("expired")
    if now < valid_from(claims):
        raise TokenError("not_yet_valid")


def _is_time(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value <= _LAST_SECOND  # type: ignore[operator]  # just tested; NaN is not


def _issuers() -> frozenset[str]:
    configured = settings.ISSUER
    if configured is None:
        return frozenset()
    derived = publishable_key.issuer(settings.CLERK_PUBLISHABLE_KEY)
    return _words(configured) or frozenset([derived] if derived else [])


def _words(value: str | list[str] | tuple[str, ...]) -> frozenset[str]:
    return frozenset(filter(None, [value] if isinstance(value, str) else value))


def _shown(value: object) -> str:
    """A value of a token that nobody has signed yet; numbers and nesting may be larger than ``repr`` takes."""
    return repr(value)[:100] if value is None or isinstance(value, str) else type(value).__name__
