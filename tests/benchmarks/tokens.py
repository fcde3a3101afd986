"""What a session token of 1 KB costs at first sight, beside the verification of its signature (P11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import jwt

from clerksync import tokens as ours
from clerksync.testing import FakeClerk
from tests.benchmarks import visitors
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes
from tests.benchmarks.visitors import RSA, Contestant

_TOKENS = 50
#: Those that have one.
_TARGETS = {"first sight of a token": 8.0}


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures."""
    with visitors.served_clerk() as clerk:
        clerk_ids = clerk.create_users(_TOKENS)
        contestants = _contestants(clerk)
        contestants["first sight of a token"]([clerk.token(clerk_ids[0])])  # reads the keys
        turns = (
            [clerk.token(clerk_id, claims=visitors.claims(number)) for clerk_id in clerk_ids]
            for number in range(sizes.turns)
        )
        seconds = visitors.medians(contestants, turns)
        if len(clerk.requests) != 1:
            raise AssertionError("the keys were read again")
    for name in contestants:
        if name != RSA:
            yield Result(
                row="P11",
                what=f"{name}, against one verification",
                measured=seconds[name] / seconds[RSA],
                at_most=_TARGETS.get(name),
                detail=f"{seconds[name] * 1e6:.1f} us, the verification {seconds[RSA] * 1e6:.1f} us",
            )


def _contestants(clerk: FakeClerk) -> dict[str, Contestant]:
    """In this order: the first that sees a token verifies it for those that come after."""
    key = clerk.instance.signing_key.public_key()
    return {
        RSA: visitors.verification(clerk),
        "PyJWT with a key object": _each(lambda token: jwt.decode(token, key, algorithms=["RS256"])),
        "first sight of a token": _each(ours.verify),
        "second sight of a token": _each(ours.verify),
    }


def _each(verify: Callable[[str], object]) -> Contestant:
    def run(tokens: Sequence[str]) -> None:
        for token in tokens:
            verify(token)

    return run
