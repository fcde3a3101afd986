"""The keys that session tokens are signed with: the configured one, or the instance's key set, kept at hand."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import threading
from collections import OrderedDict
from functools import lru_cache
from typing import Any, Protocol

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_der_public_key
from django.core.exceptions import ImproperlyConfigured

from clerksync.client import ClerkClient
from clerksync.conf import settings
from clerksync.exceptions import ClerkError, ClerkUnavailable, InvalidResponse
from clerksync.throttle import SYSTEM_CLOCK, Clock, Throttle

logger = logging.getLogger(__name__)

#: Seconds that a key set is used without asking again. Clerk's own libraries take 5 minutes; here a new
#: key is noticed at once, by a token that the known ones do not explain, so only the removal of a key
#: waits for so long, and a page load hardly ever waits for Clerk.
LIFETIME = 3600.0
#: Seconds between two requests for the key set, whether the first one failed or not.
COOLDOWN = 30.0
#: Seconds for which an id that Clerk does not know is not asked about again.
UNKNOWN_FOR = 300.0
MAX_UNKNOWN = 1000
#: Seconds for one request, tries and all: somebody waits for a page.
TIMEOUT = 3.0

_MIN_BITS, _MAX_BITS = 2048, 8192
_MAX_INSTANCES = 8
_ARMOUR = re.compile(r"-----(BEGIN|END) ([A-Z ]+)-----")
_WHERE = "Copy it from Clerk's dashboard, API keys, JWKS public key (PEM)."


class KeySource(Protocol):
    """Where keys come from; ``edition`` changes when a key is not what it was."""

    edition: int

    def find(self, kid: str | None) -> RSAPublicKey | None:
        """Return the key of this id; None if the instance has no such key.

        Raises:
            ClerkUnavailable: Nobody knows, because Clerk cannot be asked.
        """

    def find_other(self, kid: str | None, than: RSAPublicKey) -> RSAPublicKey | None:
        """Return the key that has taken the place of one that explains no signature; None if none has."""


class PemKey:
    """The key of ``CLERK_JWT_KEY``; it does not tell its id, so tokens may name any."""

    edition = 0

    def __init__(self, key: RSAPublicKey) -> None:
        self._key = key

    def find(self, kid: str | None) -> RSAPublicKey | None:
        """Return the key."""
        return self._key

    def find_other(self, kid: str | None, than: RSAPublicKey) -> RSAPublicKey | None:
        """Return None: there is no other."""
        return None


class KeyRing:
    """The key set of one instance, read by one thread at a time and kept whatever comes instead of a newer one."""

    def __init__(self, *, secret_key: str, api_url: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.edition = 0
        self._secret_key = secret_key
        self._api_url = api_url
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, RSAPublicKey] | None = None
        self._read_at = self._tried_at = -float("inf")
        self._has_failed = False
        #: Until when an id counts as unknown, by the clock; the oldest first.
        self._unknown: OrderedDict[str, float] = OrderedDict()
        scope = hashlib.sha256(f"{api_url} {secret_key}".encode()).hexdigest()[:24]
        # Clerk does not limit these requests, so neither waits for the users' budget or its pauses.
        self._throttle = Throttle(rate=10, scope=f"jwks:{scope}", clock=clock)

    def find(self, kid: str | None) -> RSAPublicKey | None:
        """Return the key of this id; None if the instance has no such key."""
        if not kid:
            return None
        keys = self._keys
        if keys is None:
            keys = self._read_again(keys)
        elif self._clock.monotonic() - self._read_at > LIFETIME:
            keys = self._read_again(keys, wait=False)
        if kid in keys or self._is_unknown(kid):
            return keys.get(kid)
        newer = self._read_again(keys)
        if kid not in newer:
            self._give_up(kid, has_asked=newer is not keys)
        return newer.get(kid)

    def find_other(self, kid: str | None, than: RSAPublicKey) -> RSAPublicKey | None:
        """Return the key that has taken the place of one that explains no signature."""
        key = self._read_again(self._keys).get(kid or "")
        return None if key is None or _numbers(key) == _numbers(than) else key

    def _read_again(
        self, seen: dict[str, RSAPublicKey] | None, *, wait: bool = True
    ) -> dict[str, RSAPublicKey]:
        """Return newer keys than those that were seen, or these, if Clerk was asked just now or does not answer."""
        if not self._lock.acquire(blocking=wait):
            return seen or {}
        try:
            if self._keys is seen and self._clock.monotonic() - self._tried_at >= COOLDOWN:
                self._read()
            if self._keys is None:
                raise ClerkUnavailable("the keys of session tokens could not be read, see the log")
            return self._keys
        finally:
            self._lock.release()

    def _read(self) -> None:
        try:
            keys = parse_key_set(self._fetch())
        except ClerkError as error:
            self._has_failed = True
            kept = "older ones stay in use" if self._keys else "nobody can be recognised"
            logger.warning(
                "The keys of session tokens could not be read; %s; next try in %d s: %s",
                kept,
                COOLDOWN,
                error,
            )
        else:
            self._has_failed = False
            self._read_at = self._clock.monotonic()
            self._replace(keys)
        self._tried_at = self._clock.monotonic()

    def _is_unknown(self, kid: str) -> bool:
        return self._unknown.get(kid, 0.0) > self._clock.monotonic()

    def _give_up(self, kid: str, *, has_asked: bool) -> None:
        """Remember an id that Clerk has been asked for in vain; an older answer says nothing about it."""
        if self._has_failed:
            raise ClerkUnavailable("the key of a session token could not be read, see the log")
        if not has_asked:
            return
        with self._lock:
            self._unknown[kid] = self._clock.monotonic() + UNKNOWN_FOR
            while len(self._unknown) > MAX_UNKNOWN:
                self._unknown.popitem(last=False)

    def _replace(self, keys: dict[str, RSAPublicKey]) -> None:
        before = self._keys or {}
        if any(kid not in keys or _numbers(keys[kid]) != _numbers(key) for kid, key in before.items()):
            self.edition += 1
        self._keys = keys

    def _fetch(self) -> bytes:
        with ClerkClient(
            secret_key=self._secret_key,
            api_url=self._api_url,
            purpose="web",
            timeout=(TIMEOUT, TIMEOUT),
            deadline=TIMEOUT,
            throttle=self._throttle,
        ) as client:
            return client.jwks()


_rings: OrderedDict[tuple[str, str], KeyRing] = OrderedDict()
_rings_lock = threading.Lock()


def configured_source() -> KeySource:
    """Return where the settings say that keys come from; each instance has one ring in a process.

    Raises:
        ImproperlyConfigured: Neither a key nor a way to ask for one is configured, or it is unreadable.
    """
    if settings.CLERK_JWT_KEY:
        return PemKey(parse_pem(settings.CLERK_JWT_KEY))
    if not settings.CLERK_SECRET_KEY:
        raise ImproperlyConfigured(
            "Session tokens cannot be verified: set CLERK_SECRET_KEY, with which Clerk is asked for its keys, "
            f"or CLERK_JWT_KEY. {_WHERE}"
        )
    # By the instance, not by the key's id alone: two instances may use the same one.
    scope = settings.CLERK_SECRET_KEY, settings.CLERK_API_URL
    with _rings_lock:
        ring = _rings.pop(scope, None) or KeyRing(secret_key=scope[0], api_url=scope[1])
        _rings[scope] = ring
        while len(_rings) > _MAX_INSTANCES:
            _rings.popitem(last=False)
    return ring


@lru_cache(maxsize=8)
def parse_pem(text: str) -> RSAPublicKey:
    """Return a public RSA key from PEM, also if its line breaks are lost or written as backslash and n.

    Raises:
        ImproperlyConfigured: It is none; the text is not shown.
    """
    mended = text.replace("\\n", "\n").replace("\\r", "")
    label = _ARMOUR.search(mended)
    if label and "PRIVATE" in label[2]:
        raise ImproperlyConfigured(
            f"CLERK_JWT_KEY holds a private key, which is no business of ours. {_WHERE}"
        )
    try:
        der = base64.b64decode("".join(_ARMOUR.sub("", mended).split()), validate=True)
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey) or not _MIN_BITS <= key.key_size <= _MAX_BITS:
        raise ImproperlyConfigured(f"CLERK_JWT_KEY is not a public RSA key of 2048 bits or more. {_WHERE}")
    return key


class _KeySet(msgspec.Struct):
    keys: list[Any]


def parse_key_set(body: bytes) -> dict[str, RSAPublicKey]:
    """Return the RSA keys for signatures of a JSON Web Key Set by their ids; others are passed over.

    Raises:
        InvalidResponse: It is no key set, or holds no such key.
    """
    try:
        entries = msgspec.json.decode(body, type=_KeySet).keys
    except (msgspec.MsgspecError, RecursionError):
        entries = []
    keys = {entry["kid"]: key for entry in entries if (key := _parse_entry(entry))}
    if not keys:
        raise InvalidResponse("GET /v1/jwks: no usable RSA key in the answer")
    return keys


def _parse_entry(entry: object) -> RSAPublicKey | None:
    if not isinstance(entry, dict) or entry.get("alg", "RS256") != "RS256":
        return None
    match entry:
        case {"kty": "RSA", "use": "sig", "kid": str(kid), "n": str(n), "e": str(e)} if kid:
            try:
                key = RSAPublicNumbers(_number(e), _number(n)).public_key()
            except ValueError:
                logger.warning("A key of the instance is not readable and is passed over")
                return None
            return key if _MIN_BITS <= key.key_size <= _MAX_BITS else None
    return None


def _number(text: str) -> int:
    """Read base64url without padding."""
    if len(text) * 6 > _MAX_BITS + 6 * 8:
        raise ValueError("too long")
    return int.from_bytes(
        base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), "big"
    )


def _numbers(key: RSAPublicKey) -> RSAPublicNumbers:
    return key.public_numbers()
