"""What the fuzzer has found, and a few seconds of it: ``python -m tests.fuzz`` goes on for as long as one likes."""

from __future__ import annotations

import pytest

from tests import fuzz
from tests.figures import tell
from tests.hostile.oracles import ORACLES, SEEDS, take_event, take_token
from tests.profiles import pick

#: Inputs of one target.
COUNT = pick(short=300, long=20_000)


@pytest.mark.parametrize("name", ORACLES)
def test_mutated__holds(name: str) -> None:
    """Known inputs, mutated at random: the oracle holds."""
    found = fuzz.mutate(ORACLES[name], SEEDS[name], seconds=600, seed=7, name=name, most=COUNT)
    assert found == 0
    tell("fuzz executions", COUNT)


@pytest.mark.parametrize("name", ORACLES)
def test_seeds__hold(name: str) -> None:
    """The inputs that the fuzzer begins with."""
    for data in SEEDS[name]:
        ORACLES[name](data)


@pytest.mark.parametrize(
    "body", [b'{"type":"use\xac.deleted","data":{}}', b'{"type":"a","data":{"id":"\xff"}}']
)
def test_event__not_utf_8(body: bytes) -> None:
    """Msgspec raises UnicodeDecodeError, which is none of its own errors."""
    take_event(body)


@pytest.mark.parametrize("depth", [*range(300, 1_000, 50), *range(960, 1_000)])
@pytest.mark.parametrize("name", ["iss", "aud", "azp", "sub"])
def test_token__nested(name: str, depth: int) -> None:
    """A claim that can be read at one depth of the stack and not be shown at the next."""
    nested = b"[" * depth + b"]" * depth
    take_token(b'{"alg":"RS256"}\n{"%b":%b}' % (name.encode(), nested))
    take_token(b'{"alg":%b}\n{}' % nested)
