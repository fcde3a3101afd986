"""Visitors with session tokens, for the suites that measure what a token or a page costs them."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from django.test import override_settings
from jwt.utils import base64url_decode

from clerksync.testing import FakeClerk, RealClock, serve

RSA = "RSA-2048 verification"
#: Takes the tokens of one turn.
Contestant = Callable[[Sequence[str]], object]
_ORIGIN = "https://app.harbour.test"


@contextmanager
def served_clerk(**settings: Any) -> Iterator[FakeClerk]:
    """A fake Clerk whose tokens this process takes."""
    clerk = FakeClerk(clock=RealClock())
    with (
        serve(clerk) as served,
        override_settings(
            CLERK_API_URL=served.url,
            CLERK_SECRET_KEY=clerk.secret_key,
            CLERK_PUBLISHABLE_KEY=clerk.publishable_key,
            CLERKSYNC_AUTHORIZED_PARTIES=[_ORIGIN],
            **settings,
        ),
    ):
        yield clerk


def verification(clerk: FakeClerk) -> Contestant:
    """What all others are measured by: the signatures alone."""
    key = clerk.instance.signing_key.public_key()
    padding, digest = PKCS1v15(), SHA256()

    def verify(tokens: Sequence[str]) -> None:
        for token in tokens:
            signed, _, signature = token.rpartition(".")
            key.verify(base64url_decode(signature), signed.encode(), padding, digest)

    return verify


def medians(contestants: Mapping[str, Contestant], turns: Iterable[Sequence[str]]) -> dict[str, float]:
    """Seconds of CPU for one token, the median over the turns; each contestant gets the tokens of each turn."""
    found: dict[str, list[float]] = defaultdict(list)
    for tokens in turns:
        for name, contestant in contestants.items():
            started = time.process_time()
            contestant(tokens)
            found[name].append((time.process_time() - started) / len(tokens))
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def claims(number: int) -> dict[str, object]:
    """Claims that bring a token to 1 KB, as tokens with an organisation and some of its own have."""
    return {
        "jti": f"{number:020}",
        "fva": [3, -1],
        "pla": "o:business",
        "fea": "o:invoices,o:harbour,u:profile,o:reports",
        "o": {
            "id": "org_2kVqNwXcRtYb7mHsDfJpL3gZaEo",
            "slg": "harbour",
            "rol": "admin",
            "per": "read,manage,delete,export",
            "fpm": "15,3,1",
        },
        "email": "maren@harbour-works.io",
        "name": "Maren Harbour",
        "image": "https://img.clerk.com/" + "x" * 120,
    }
