"""The keys that session tokens are signed with: the configured one, or the instance's key set, kept at hand."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.core.exceptions import ImproperlyConfigured

from clerksync.client import ClerkClient
from clerksync.conf import settings
from clerksync.exceptions import ClerkError, ClerkUnavailable
from clerksync.logs import Log, told
from clerksync.public_keys import parse_key_set, parse_pem
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
#: Somebody waits for a page.
TIMEOUT = 3.0

_MAX_INSTANCES = 8


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
    """The key set of one instance, read by one thread at a time and kept whatever comes instead of a newer one.

    Args:
        secret_key: Clerk's secret key.
        api_url: With or without ``/v1``.
        clock: What the times of this module are counted by.
        timeout: Seconds for one request, tries and all.
        max_unknown: So many unknown ids are remembered.
    """

    def __init__(
        self,
        *,
        secret_key: str,
        api_url: str,
        clock: Clock = SYSTEM_CLOCK,
        timeout: float = TIMEOUT,
        max_unknown: int = MAX_UNKNOWN,
    ) -> None:
        self.edition = 0
        self._secret_key = secret_key
        self._api_url = api_url
        self._clock = clock
        self._timeout = timeout
        self._max_unknown = max_unknown
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
            keys = self._read_again()
        elif self._clock.monotonic() - self._read_at > LIFETIME:
            keys = self._read_again(wait=False)
        if kid in keys or self._is_unknown(kid):
            return keys.get(kid)
        newer = self._read_again()
        if kid not in newer:
            self._give_up(kid, has_asked=newer is not keys)
        return newer.get(kid)

    def find_other(self, kid: str | None, than: RSAPublicKey) -> RSAPublicKey | None:
        """Return the key that has taken the place of one that explains no signature."""
        key = self._read_again().get(kid or "")
        return None if key is None or key.public_numbers() == than.public_numbers() else key

    def _read_again(self, *, wait: bool = True) -> dict[str, RSAPublicKey]:
        """Return the keys, after reading them unless Clerk was asked just now, or by somebody who is not waited for."""
        if self._lock.acquire(blocking=wait):
            try:
                if self._clock.monotonic() - self._tried_at >= COOLDOWN:
                    self._read()
            finally:
                self._lock.release()
        if self._keys is None:
            raise ClerkUnavailable("the keys of session tokens could not be read, see the log")
        return self._keys

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
                extra=told(Log.KEYS_UNREADABLE),
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
            while len(self._unknown) > self._max_unknown:
                self._unknown.popitem(last=False)

    def _replace(self, keys: dict[str, RSAPublicKey]) -> None:
        before = self._keys or {}
        if any(
            kid not in keys or keys[kid].public_numbers() != key.public_numbers()
            for kid, key in before.items()
        ):
            self.edition += 1
        self._keys = keys

    def _fetch(self) -> bytes:
        with ClerkClient(
            secret_key=self._secret_key,
            api_url=self._api_url,
            purpose="web",
            timeout=(self._timeout, self._timeout),
            deadline=self._timeout,
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
            "or CLERK_JWT_KEY, the JWKS public key (PEM) of Clerk's dashboard, API keys."
        )
    # By the instance, not by the key's id alone: two instances may use the same one.
    scope = settings.CLERK_SECRET_KEY, settings.CLERK_API_URL
    with _rings_lock:
        ring = _rings.pop(scope, None) or KeyRing(secret_key=scope[0], api_url=scope[1])
        _rings[scope] = ring
        while len(_rings) > _MAX_INSTANCES:
            _rings.popitem(last=False)
    return ring
