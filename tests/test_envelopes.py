"""What a signed body says, and when it happened."""

from __future__ import annotations

import pytest

from clerksync.envelopes import MAX_AGE_MS, observe, parse_event
from clerksync.payloads import Kind, Observation, Parser
from tests.deliveries import body_of
from tests.observed import T0, user_json


def observed(at: int, *, sent_ms: int = T0) -> Observation:
    """What the event of an update at that time says."""
    event = parse_event(body_of("user.updated", user_json(), at=at))
    seen = observe(event, Parser(), sent_ms=sent_ms, provenance="msg_1")
    assert seen is not None
    return seen


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        pytest.param(T0 + 7, T0 + 7, id="milliseconds, to the last one"),
        pytest.param(T0 // 1000, T0, id="seconds, as in the specification's examples"),
    ],
)
def test_observe__time(timestamp: int, expected: int) -> None:
    """The time of an event is in ms, whatever it was told in."""
    assert observed(timestamp).observed_ms == expected


def test_observe__age() -> None:
    """An event that is older than Svix's last try comes from a replay, and says too little to replace a row."""
    assert observed(T0, sent_ms=T0 + MAX_AGE_MS).full
    assert not observed(T0, sent_ms=T0 + MAX_AGE_MS + 1).full


def test_observe__delete_of_any_age() -> None:
    """A delete stays one."""
    event = parse_event(body_of("user.deleted", {"object": "user", "id": "user_a", "deleted": True}, at=T0))
    seen = observe(event, Parser(), sent_ms=T0 + 2 * MAX_AGE_MS, provenance="msg_1")
    assert seen is not None
    assert (seen.kind, seen.full) == (Kind.DELETED, True)
