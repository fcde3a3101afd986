"""Session tokens as Clerk makes them, really signed, and test clients that are signed in with one."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from django.test import Client

from clerksync.conf import settings
from clerksync.testing.instance import Instance
from clerksync.testing.users import DRAWN, Text
from clerksync.testing.wire import Json

#: What the header of a session token says that it is.
SESSION_CATEGORY = "cl_B7d4PD111AAA"


class TokenOptions(TypedDict, total=False):
    """What can be asked of a token; the defaults make one that lets the user in.

    ``org_role`` is given with or without ``org:``, ``org_permissions`` as ``org:feature:name``;
    each makes the organisation ``org_harbour`` the active one unless ``org_id`` names another.
    ``expires_in`` counts seconds from now, ``issued_ago`` seconds back from now.
    ``azp`` is by default the first of CLERKSYNC_AUTHORIZED_PARTIES; None leaves it out.
    ``version`` is that of Clerk's tokens; ``session_id`` is by default the user's own;
    ``actor`` is the id of an impersonator or the whole claim ``act``; ``status`` is ``sts``.
    ``claims`` and ``header`` are added in the end; ``omit`` names claims that are left out, as are
    those of the header that are None. The algorithm is always RS256, whatever the header says.
    ``key`` signs in place of the instance's key.
    """

    org_id: str | None
    org_slug: str | None
    org_role: str | None
    org_permissions: Sequence[str]
    expires_in: float
    issued_ago: float
    azp: Text
    version: Literal[1, 2]
    session_id: str | None
    actor: str | Mapping[str, Any] | None
    status: str | None
    claims: Mapping[str, Any] | None
    header: Mapping[str, Any] | None
    omit: Collection[str]
    key: RSAPrivateKey | None


class Sessions:
    """Signs users in; the system's time counts, as for the code that verifies the tokens."""

    instance: Instance

    def token(self, user: Json | str, **options: Unpack[TokenOptions]) -> str:
        """Return a session token of a user or of the user with this id; ``TokenOptions`` explains the options."""
        clerk_id = user if isinstance(user, str) else user["id"]
        header = {"alg": "RS256", "typ": "JWT", "kid": self.instance.key_id, "cat": SESSION_CATEGORY}
        header |= options.get("header") or {}
        claims = {**self._claims(clerk_id, options), **(options.get("claims") or {})}
        kept = {name: value for name, value in claims.items() if name not in options.get("omit", ())}
        return _sign(header, kept, options.get("key") or self.instance.signing_key)

    def bearer(self, user: Json | str, **options: Unpack[TokenOptions]) -> dict[str, str]:
        """Return the header of a request: ``client.get("/me/", headers=clerk.bearer(user))``."""
        return {"Authorization": f"Bearer {self.token(user, **options)}"}

    def sign_in(self, client: Client, user: Json | str, **options: Unpack[TokenOptions]) -> str:
        """Give a test client the cookies that Clerk's script would set, and return the token in them."""
        token = self.token(user, **options)
        client.cookies["__session"] = token
        if settings.CLERK_PUBLISHABLE_KEY:
            client.cookies[f"__session_{_suffix(settings.CLERK_PUBLISHABLE_KEY)}"] = token
        return token

    def rotate_signing_key(self, *, key_id: str | None = None) -> None:
        """Sign with a new key from now on, under the same id unless another is given."""
        self.instance.rotate_key(key_id)

    def _claims(self, clerk_id: str, options: TokenOptions) -> Json:
        now = int(time.time())
        issued_at = now - options.get("issued_ago", 0)
        claims = {
            "iss": self.instance.issuer,
            "sub": clerk_id,
            "sid": options.get("session_id") or f"sess_{clerk_id.removeprefix('user_')}",
            "iat": issued_at,
            "nbf": issued_at - 10,
            "exp": now + options.get("expires_in", 60),
            "azp": _party(options.get("azp", DRAWN)),
            "sts": options.get("status"),
            "act": _actor(options.get("actor"), issuer=self.instance.issuer),
        }
        organisation = _flat(options) if options.get("version") == 1 else {"v": 2, **_packed(options)}
        return {name: value for name, value in claims.items() if value is not None} | organisation


def _sign(header: Json, claims: Json, key: RSAPrivateKey) -> str:
    """Sign whatever is asked for, which a library that knows better would refuse to do."""
    named = {name: value for name, value in header.items() if value is not None}
    signed = f"{_part(json.dumps(named).encode())}.{_part(json.dumps(claims).encode())}"
    return f"{signed}.{_part(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _party(azp: Text) -> str | None:
    if azp is None or isinstance(azp, str):
        return azp
    return next(iter(settings.AUTHORIZED_PARTIES), None)


def _actor(actor: str | Mapping[str, Any] | None, *, issuer: str) -> Mapping[str, Any] | None:
    return {"iss": issuer, "sub": actor} if isinstance(actor, str) else actor


def _organisation(options: TokenOptions) -> str | None:
    asked = options.get("org_slug") or options.get("org_role") or options.get("org_permissions")
    return options.get("org_id") or ("org_harbour" if asked else None)


def _flat(options: TokenOptions) -> Json:
    """The organisation's claims of version 1."""
    org_id = _organisation(options)
    if org_id is None:
        return {}
    return {
        "org_id": org_id,
        "org_slug": options.get("org_slug") or "harbour",
        "org_role": f"org:{(options.get('org_role') or 'member').removeprefix('org:')}",
        "org_permissions": list(options.get("org_permissions", ())),
    }


def _packed(options: TokenOptions) -> Json:
    """The organisation's claims of version 2: for each feature a mask of the permissions' names."""
    org_id = _organisation(options)
    if org_id is None:
        return {}
    pairs = [_split(permission) for permission in options.get("org_permissions", ())]
    features = list(dict.fromkeys(feature for feature, _ in pairs))
    names = list(dict.fromkeys(name for _, name in pairs))
    masks = [
        sum(1 << place for place, name in enumerate(names) if (feature, name) in pairs)
        for feature in features
    ]
    org: Json = {
        "id": org_id,
        "slg": options.get("org_slug") or "harbour",
        "rol": (options.get("org_role") or "member").removeprefix("org:"),
    }
    if not pairs:
        return {"o": org}
    org |= {"per": ",".join(names), "fpm": ",".join(map(str, masks))}
    return {"o": org, "fea": ",".join(f"o:{feature}" for feature in features)}


def _split(permission: str) -> tuple[str, str]:
    prefix, _, rest = permission.partition(":")
    feature, _, name = rest.partition(":")
    if prefix != "org" or not feature or not name:
        raise ValueError(f"a permission is written org:feature:name, not {permission!r}")
    return feature, name


def _suffix(publishable_key: str) -> str:
    digest = hashlib.sha1(publishable_key.encode(), usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).decode()[:8]
