from __future__ import annotations

from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from django.core.cache import cache
from hypothesis import given
from hypothesis import strategies as st

from clerksync.exceptions import ClerkUnavailable
from clerksync.throttle import MAX_PAUSE, Patience, Throttle, allowed_rate, backoff, throttle_for
from tests.clocks import VirtualTime

LIVE, TEST = "sk_live_invented", "sk_test_invented"


def wait_for_token(throttle: Throttle, time: VirtualTime) -> float:
    """Take a token, sleeping as told, and return when that was."""
    while wait := throttle.take():
        time.sleep(wait)
    return time.now


def make(*, rate: float, scope: str = "one") -> tuple[Throttle, VirtualTime]:
    time = VirtualTime()
    return Throttle(rate=rate, scope=scope, clock=time.clock), time


@given(rate=st.integers(1, 12), rests=st.lists(st.floats(0, 15), max_size=60))
def test_take__any_window(rate: int, rests: list[float]) -> None:
    """No 10 s see more requests than the rate, whatever the rests between them."""
    throttle, time = make(rate=rate, scope="window")
    sent = []
    for rest in rests:
        time.now += rest
        sent.append(wait_for_token(throttle, time))
    assert all(later - earlier >= 10 for earlier, later in zip(sent, sent[rate:], strict=False))


def test_take__full_rate() -> None:
    """What the rate allows is not wasted: a burst at first, then one window's worth per window."""
    throttle, time = make(rate=50)
    for _ in range(200):
        wait_for_token(throttle, time)
    assert time.slept < 3 * 10 * 1.05


def test_take__threads() -> None:
    """Threads share the tokens."""
    throttle, _ = make(rate=40)
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: throttle.take(), range(100)))
    assert waits.count(0.0) == 40


def test_take__tiny_rate() -> None:
    """A share of less than one request in 10 s is one: nothing would ever go otherwise."""
    throttle, _ = make(rate=0.2)
    assert throttle.take() == 0
    assert throttle.take() == pytest.approx(10.2)


def test_pause__exact() -> None:
    """After a 429 nothing goes for exactly the time that Clerk named."""
    throttle, time = make(rate=50)
    throttle.pause(7)
    assert throttle.take() == pytest.approx(7)
    time.now += 7
    assert throttle.take() == 0


def test_pause__lowers_the_rate() -> None:
    """A 429 halves the rate, which comes back step by step."""
    throttle, time = make(rate=40)
    throttle.pause(3)
    assert throttle.rate == 20
    time.now += 3 + 20
    assert throttle.rate == pytest.approx(28)
    time.now += 600
    assert throttle.rate == 40


def test_pause__once_for_all_under_way() -> None:
    """Several 429s of one burst lower the rate once, and the longest pause holds."""
    throttle, _ = make(rate=40)
    throttle.pause(5)
    throttle.pause(2)
    assert throttle.rate == 20
    assert throttle.take() == pytest.approx(5)


def test_pause__never_below_one() -> None:
    """However often Clerk says 429, the rate stays at one request per 10 s."""
    throttle, _ = make(rate=4)
    for _ in range(10):
        throttle.pause(0)
    assert throttle.rate == 1


def test_pause__absurd() -> None:
    """A Retry-After of weeks is cut to an hour."""
    throttle, _ = make(rate=4)
    throttle.pause(1e9)
    assert throttle.take() == pytest.approx(MAX_PAUSE)


def test_pause__shared_through_the_cache() -> None:
    """Another process with the same key waits too, one with another key does not."""
    throttle, time = make(rate=40)
    same = Throttle(rate=40, scope="one", clock=time.clock)
    other = Throttle(rate=40, scope="two", clock=time.clock)
    throttle.pause(9)
    assert same.take() == pytest.approx(9)
    assert same.rate == 40
    assert other.take() == 0


def test_pause__clock_of_another_machine() -> None:
    """A machine whose clock is hours off is not believed beyond the time that Clerk named."""
    throttle, time = make(rate=40)
    time.now += 7200
    throttle.pause(9)
    elsewhere = Throttle(rate=40, scope="one", clock=VirtualTime().clock)
    assert elsewhere.take() == pytest.approx(9)


def test_pause__foreign_value_in_the_cache() -> None:
    """Something else under our key is no pause."""
    throttle, _ = make(rate=40)
    cache.set("clerksync:pause:one", "soon")
    assert throttle.take() == 0


def test_pause__cache_down(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A cache that is down is a miss: the own pause holds, and the log says so."""
    settings.CACHES = {"default": {"BACKEND": "tests.test_throttle.DownCache"}}
    throttle, _ = make(rate=40)
    throttle.pause(6)
    assert throttle.take() == pytest.approx(6)
    assert "The cache does not answer, so pauses are not shared" in caplog.text


class DownCache:
    """A cache backend whose server is away."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        pass

    def get(self, key: str) -> object:
        raise ConnectionError("away")

    def set(self, key: str, value: object, timeout: float) -> None:
        raise ConnectionError("away")

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("key", "purpose", "rate"),
    [
        (LIVE, "sync", 500),
        (TEST, "sync", 50),
        (LIVE, "web", 100),
        (TEST, "web", 10),
        ("live_old", "sync", 500),
    ],
)
def test_allowed_rate__key_kind(key: str, purpose: Any, rate: float) -> None:
    """A live key has ten times the rate of a test key; a web process takes a small share."""
    assert allowed_rate(secret_key=key, purpose=purpose) == pytest.approx(rate)


def test_allowed_rate__settings(settings: Any) -> None:
    """The settings replace the limit and the share."""
    settings.CLERKSYNC_RATE_LIMIT = 200
    settings.CLERKSYNC_RATE_SHARE = 0.25
    assert allowed_rate(secret_key=LIVE, purpose="sync") == pytest.approx(50)


def test_throttle_for__one_per_process() -> None:
    """Clients of one key and purpose share one throttle; the key is not in its name."""
    options: dict[str, Any] = {"secret_key": LIVE, "api_url": "https://api.clerk.com"}
    throttle = throttle_for(**options, purpose="sync")
    assert throttle_for(**options, purpose="sync") is throttle
    assert throttle_for(**options, purpose="web") is not throttle
    assert throttle_for(**options, purpose="sync", rate=7).full_rate == 7
    assert LIVE not in repr(vars(throttle))


def test_patience__deadline() -> None:
    """A wait beyond the deadline is not begun."""
    time = VirtualTime()
    patience = Patience(seconds=10, clock=time.clock)
    patience.sleep(9, why="first")
    with pytest.raises(ClerkUnavailable, match="second"):
        patience.sleep(2, why="second")
    assert time.slept == pytest.approx(9)


def test_patience__stop() -> None:
    """Setting ``stop`` ends a long wait within moments."""
    stop = Event()
    time = VirtualTime(on_sleep=lambda seconds: stop.set())
    with pytest.raises(CancelledError):
        Patience(seconds=100, clock=time.clock, stop=stop).sleep(90, why="")
    assert time.slept < 1


def test_backoff__grows() -> None:
    """The waits grow, with jitter, and never without bound."""
    assert all(0.25 <= backoff(1) <= 0.5 for _ in range(50))
    assert all(2 <= backoff(4) <= 4 for _ in range(50))
    assert backoff(1000) <= 20
