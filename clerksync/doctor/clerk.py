"""Clerk itself: whether it can be reached, takes the key, and what time it is there."""

from __future__ import annotations

import time
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.core.exceptions import ImproperlyConfigured
from msgspec import Struct

from clerksync import publishable_key, webhooks
from clerksync.client import ClerkClient, Instance
from clerksync.conf import settings
from clerksync.doctor import reach
from clerksync.doctor.findings import Finding, ok, problem, skipped, warning
from clerksync.exceptions import ClerkError, ClerkRejected, ClerkUnavailable, KeyRejected
from clerksync.public_keys import parse_key_set
from clerksync.token_rules import LEEWAY

#: Seconds that our clock may differ from Clerk's, which tells whole ones: session tokens stand no more.
MAX_SKEW = LEEWAY + 2
#: Seconds for a connection, and for an answer.
CONNECT, READ = 3.0, 5.0

_KEY = "Take the secret key of this instance from Clerk's dashboard, API keys."


class Told(Struct, frozen=True):
    """What Clerk told: the instance and its keys, as far as it did; what was found of Clerk itself."""

    findings: tuple[Finding, ...]
    instance: Instance | None = None
    keys: Mapping[str, RSAPublicKey] | None = None


def ask(*, seconds: float) -> Told:
    """Ask Clerk for the instance and its keys, in two requests; ``seconds`` for all of it."""
    end = time.monotonic() + seconds
    try:
        client = ClerkClient(purpose="web", timeout=(CONNECT, min(READ, seconds)), deadline=seconds / 2)
    except ImproperlyConfigured:
        return unasked("The settings do not let Clerk be asked: see keys and api_url.")
    trouble = reach.find_trouble(client.api_url, seconds=min(CONNECT, seconds))
    if trouble:
        return _unreachable(trouble)
    with client:
        return _ask(client, end=end)


def unasked(why: str, first: Finding | None = None) -> Told:
    """Nothing is known, for this reason."""
    names = ("key_accepted", "clock")
    return Told((first or skipped("clerk", why), *(skipped(name, why) for name in names)))


def _unreachable(trouble: reach.Trouble) -> Told:
    return unasked("Clerk could not be reached.", problem("clerk", trouble.sentence, trouble.advice))


def _ask(client: ClerkClient, *, end: float) -> Told:
    began = time.monotonic()
    reached = ok("clerk", "Clerk's API answers.")
    try:
        instance = client.instance()
    except KeyRejected as error:
        sentence = f"Clerk does not accept CLERK_SECRET_KEY ({error.code or error.status})."
        return Told((reached, problem("key_accepted", sentence, _KEY), _clock(client, since=began)))
    except ClerkRejected as error:
        sentence = f"Clerk refuses to tell whose CLERK_SECRET_KEY is ({error.code or error.status})."
        return Told((reached, problem("key_accepted", sentence, _KEY), _clock(client, since=began)))
    except ClerkUnavailable as error:
        return _unanswered(client, error, end=end)
    except ClerkError as error:
        advice = "Something else answers in Clerk's place: check CLERK_API_URL and the proxy."
        return unasked("Clerk could not be asked.", problem("clerk", f"{error}.", advice))
    accepted = ok("key_accepted", f"The secret key opens {instance.id} ({instance.environment_type}).")
    return Told((reached, accepted, _clock(client, since=began)), instance, _keys(client))


def _unanswered(client: ClerkClient, error: ClerkUnavailable, *, end: float) -> Told:
    seconds = max(0.5, min(CONNECT, end - time.monotonic()))
    trouble = reach.find_tls_trouble(client.api_url, seconds=seconds) or reach.Trouble(
        f"{error}.", "Look at https://status.clerk.com; if all is well there, at the proxy and the firewall."
    )
    return _unreachable(trouble)


def _keys(client: ClerkClient) -> Mapping[str, RSAPublicKey] | None:
    try:
        return parse_key_set(client.jwks())
    except ClerkError:
        return None


def _clock(client: ClerkClient, *, since: float) -> Finding:
    if not client.knows_time:
        sentence = (
            "Clerk's answers tell no time (header Date), or one that cannot be: no sync moves what is known."
        )
        return warning(
            "clock", sentence, "Look at what stands between: a proxy that drops or rewrites headers."
        )
    # ``now_ms`` is the earliest that it can be there: Date has whole seconds, and one more is taken off.
    ahead = time.time() - client.now_ms() / 1000 - 1.5
    took = time.monotonic() - since  # at some moment of this Clerk looked at its clock
    if -MAX_SKEW <= ahead <= MAX_SKEW + took:
        return ok("clock", f"Our clock and Clerk's agree (within {MAX_SKEW:g} seconds).")
    side = "ahead of" if ahead > 0 else "behind"
    return problem(
        "clock",
        f"Our clock is {abs(ahead):.0f} seconds {side} Clerk's; session tokens are refused beyond {LEEWAY:g}, "
        f"webhooks beyond {webhooks.TOLERANCE}.",
        "Let the clock of this machine be set by NTP.",
    )


def kind_of_secret_key() -> str | None:
    """``test`` or ``live``, as the secret key says; None if it does not."""
    kind = settings.CLERK_SECRET_KEY.removeprefix("sk_").partition("_")[0]
    return kind if kind in ("test", "live") else publishable_key.kind(settings.CLERK_PUBLISHABLE_KEY)
