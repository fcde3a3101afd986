"""What a session token costs, beside the verification of its signature: ``python -m tests.benchmarks.tokens``.

The contestants take turns in one process, and ratios are of medians: this machine has other work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable

import django

_OUT = sys.stdout.write
Contestant = Callable[[str], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tokens", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=50, help="in each round")
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    medians = _measure(options.rounds, options.tokens)
    floor = medians["RSA-2048 verification"]
    _OUT(f"{'':34}{'us':>8}{'x RSA':>8}\n")
    for name, seconds in medians.items():
        _OUT(f"{name:34}{seconds * 1e6:8.1f}{seconds / floor:8.2f}\n")


def _measure(rounds: int, count: int) -> dict[str, float]:
    """Seconds for one token, the median over the rounds."""
    from django.test import override_settings  # noqa: PLC0415  # after the set-up

    from clerksync.testing import FakeClerk, serve  # noqa: PLC0415

    clerk = FakeClerk()
    clerk_ids = clerk.create_users(count)
    found: dict[str, list[float]] = defaultdict(list)
    with (
        serve(clerk) as served,
        override_settings(
            CLERK_API_URL=served.url,
            CLERK_SECRET_KEY=clerk.secret_key,
            CLERK_PUBLISHABLE_KEY=clerk.publishable_key,
            CLERKSYNC_AUTHORIZED_PARTIES=["https://app.harbour.test"],
        ),
    ):
        contestants = _contestants(clerk)
        contestants["ours, first sight"](clerk.token(clerk_ids[0]))  # reads the keys
        for number in range(rounds):
            tokens = [clerk.token(one, claims=_claims(number)) for one in clerk_ids]
            for name, contestant in contestants.items():
                started = time.perf_counter()
                for token in tokens:
                    contestant(token)
                found[name].append((time.perf_counter() - started) / count)
    assert len(clerk.requests) == 1
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def _contestants(clerk: object) -> dict[str, Contestant]:
    import jwt  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    from clerksync import tokens  # noqa: PLC0415
    from clerksync.testing import FakeClerk  # noqa: PLC0415

    assert isinstance(clerk, FakeClerk)
    key = clerk.instance.signing_key.public_key()
    padding, digest = PKCS1v15(), SHA256()

    def rsa_alone(token: str) -> None:
        signed, _, signature = token.rpartition(".")
        key.verify(jwt.utils.base64url_decode(signature), signed.encode(), padding, digest)

    def pyjwt(token: str) -> object:
        return jwt.decode(token, key, algorithms=["RS256"])

    return {
        "RSA-2048 verification": rsa_alone,
        "PyJWT, key object": pyjwt,
        "ours, first sight": tokens.verify,
        "ours, second sight": tokens.verify,
        "ours, recall": tokens.recall,
    }


def _claims(number: int) -> dict[str, object]:
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


if __name__ == "__main__":
    main()
