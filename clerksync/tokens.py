"""Session tokens: text in, verified claims out; the only user of PyJWT."""

from __future__ import annotations

import base64
import re
import threading
import time
from itertools import islice
from typing import Any

import msgspec
from django.core.signals import setting_changed
from jwt.algorithms import RSAAlgorithm
from msgspec import Struct

from clerksync import keys, token_rules
from clerksync.claims import Claims
from clerksync.exceptions import TokenError
from clerksync.keys import KeySource
from clerksync.token_rules import MACHINE_PREFIXES, Rules

#: Of one token; Clerk's fit into a cookie of 4 KB.
MAX_LENGTH = 16 * 1024
#: Tokens that a process remembers, at 5 KB each; as they live for 60 s, so many users a minute.
MAX_REMEMBERED = 5_000

_TOKEN = re.compile(r"([\w-]+)\.([\w-]+)\.([\w-]+)", re.ASCII)
# The algorithm is fixed here, and not looked up by what a header says. PyJWT's decode() would read the
# token once more, which costs three times what the verification does.
_rs256 = RSAAlgorithm(RSAAlgorithm.SHA256)
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def verify(token: str, *, now: float | None = None) -> Claims:
    """Return the claims of a session token, if the settings say that it lets a user in.

    The first look at a token costs a verification of its signature, further ones a microsecond or
    two. Clerk is asked for its keys only if a token that could be genuine needs one that is not at
    hand; then this may take ``keys.TIMEOUT`` seconds, at most every ``keys.COOLDOWN``. An event loop
    therefore asks ``recall`` first, and a thread only if that knows nothing.

    Args:
        token: As it came, without ``Bearer``.
        now: Seconds since the epoch, for tests; by default the system's time.

    Raises:
        TokenError: It does not; ``reason`` says why.
        ClerkUnavailable: Nobody can tell, because Clerk's keys are not at hand and cannot be read.
        ImproperlyConfigured: There is neither a key nor a secret key to ask for one.
    """
    return _current().verify(token, now=now)


def recall(token: str, *, now: float | None = None) -> Claims | None:
    """Return the claims if this token has been verified before and is still valid, else None; never waits."""
    return _current().recall(token, time.time() if now is None else now)


class Verifier:
    """Verifies tokens by one set of rules and with the keys of one source, and remembers them.

    Args:
        rules: What is asked of a token; by default as the settings say.
        source: Where keys come from; by default as the settings say, looked up when it is needed.
        max_remembered: So many tokens are remembered.
    """

    def __init__(
        self,
        *,
        rules: Rules | None = None,
        source: KeySource | None = None,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self._rules = Rules.from_settings() if rules is None else rules
        self._source = source
        self._max_remembered = max_remembered
        self._lock = threading.Lock()
        #: Claims with the seconds from and until which they are valid, and the edition of the keys;
        #: the oldest first.
        self._remembered: dict[str, tuple[Claims, float, float, int]] = {}

    def __len__(self) -> int:
        return len(self._remembered)

    def verify(self, token: str, *, now: float | None = None) -> Claims:
        """Return the claims of a token as ``tokens.verify`` does."""
        moment = time.time() if now is None else now
        return self.recall(token, moment) or self._examine(token, moment)

    def recall(self, token: str, now: float) -> Claims | None:
        """Return the claims of a token that was verified before."""
        known = self._remembered.get(token)
        if known is None or self._source is None:
            return None
        claims, since, until, edition = known
        return claims if since <= now < until and edition == self._source.edition else None

    def _examine(self, token: str, now: float) -> Claims:
        parts = _take_apart(token)
        token_rules.check_header(parts.header)
        self._rules.check_unverified(parts.claims)
        source = self._source = self._source or keys.configured_source()
        edition = source.edition
        _check_signature(parts, source)
        self._rules.check(parts.claims, now=now)
        claims = Claims.of(parts.claims)
        lifetime = token_rules.valid_from(parts.claims), token_rules.valid_until(parts.claims)
        self._remember(token, (claims, *lifetime, edition), now)
        return claims

    def _remember(self, token: str, entry: tuple[Claims, float, float, int], now: float) -> None:
        """Tokens live equally long, so the first ones are the first to expire: a few are looked at each time."""
        with self._lock:
            self._remembered[token] = entry
            oldest = [(key, known[2]) for key, known in islice(self._remembered.items(), 4)]
            for key, until in oldest:
                if until <= now or len(self._remembered) > self._max_remembered:
                    del self._remembered[key]


_verifier: Verifier | None = None


def _current() -> Verifier:
    """Return the verifier of the settings; reading nine of them for each request would cost more than all the rest."""
    global _verifier  # replaced as a whole, by whoever comes first
    verifier = _verifier
    if verifier is None:
        verifier = _verifier = Verifier()
    return verifier


def _forget(*, setting: str, **kwargs: Any) -> None:
    """Begin anew after a change of Django's settings, as tests make them."""
    global _verifier
    if setting.startswith("CLERK"):
        _verifier = None


setting_changed.connect(_forget, dispatch_uid="clerksync.tokens")


class _Parts(Struct, frozen=True):
    """What a token says, before anything is proven."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def _take_apart(token: str) -> _Parts:
    if token.startswith(MACHINE_PREFIXES):
        raise TokenError("machine_token", "prefix")
    match = _TOKEN.fullmatch(token) if len(token) <= MAX_LENGTH else None
    if match is None:
        raise TokenError("malformed")
    try:
        header, claims, signature = map(_decode_base64url, match.groups())
        return _Parts(
            _decode_object(header), _decode_object(claims), token[: match.end(2)].encode(), signature
        )
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    # Outside of the handler: the error that is hidden there quotes the token.
    raise TokenError("malformed")


def _decode_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _check_signature(parts: _Parts, source: KeySource) -> None:
    kid = parts.header.get("kid")
    key = source.find(kid)
    if key is None:
        raise TokenError("unknown_key")
    if _rs256.verify(parts.signed, key, parts.signature):
        return
    # Clerk names keys after instances, so a new key may have the name of the old one.
    other = source.find_other(kid, key)
    if other is None or not _rs256.verify(parts.signed, other, parts.signature):
        raise TokenError("signature")
