"""What one test leaves to the next: nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.core import checks
from django.core.cache import caches
from django.test import override_settings

from clerksync.client import ClerkClient
from clerksync.exceptions import ClerkUnavailable, KeyRejected
from clerksync.testing.stage import Stage, open_stage

NAMES = ("CLERK_API_URL", "CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY", "CLERKSYNC_RATE_LIMIT")
ABSENT = object()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage of its own, so that its end can be seen."""
    with open_stage() as stage:
        yield stage


def values() -> dict[str, object]:
    return {name: getattr(settings, name, ABSENT) for name in NAMES}


def test_settings__of_the_fake(stage: Stage) -> None:
    """Inside they are the fake's and pass the checks, outside they are the project's own."""
    before = values()
    with stage.fresh_clerk() as clerk:
        assert list(values().values())[:3] == [stage.url, clerk.secret_key, clerk.publishable_key]
        assert checks.run_checks(tags=["clerksync"]) == []
    assert values() == before


def test_clerk__another_each_time(stage: Stage) -> None:
    """Users, faults and requests end with their test."""
    with stage.fresh_clerk() as first, ClerkClient() as client:
        first.create_users(3)
        first.fail(403, times=None, on="*")
        assert client.requests == 0
    with stage.fresh_clerk() as second, ClerkClient() as client:
        assert (client.count(), len(second.requests)) == (0, 1)
    assert first.requests == []


def test_clerk__key_of_an_earlier_test(stage: Stage) -> None:
    """What still runs from an earlier test does not disturb the next one."""
    with stage.fresh_clerk():
        late = ClerkClient()
    with stage.fresh_clerk(), late, pytest.raises(KeyRejected):
        late.count()


def test_clerk__at_the_present_time(stage: Stage) -> None:
    """The clock stands still at a present whole second, so that dates of users look recent."""
    with stage.fresh_clerk() as clerk:
        assert clerk.clock.now_ms() % 1000 == 0
        assert 0 <= time.time() * 1000 - clerk.clock.now_ms() < 10_000


def test_budget__full_for_each_test(stage: Stage) -> None:
    """No test waits because Clerk asked another one to wait."""
    with stage.fresh_clerk() as clerk, ClerkClient() as client:
        clerk.fail(429, retry_after=3600, on="*")
        with pytest.raises(ClerkUnavailable, match="status 429"):
            client.count()
    with stage.fresh_clerk(), ClerkClient(deadline=1) as client:
        assert client.count() == 0


def test_budget__no_limit_that_slows(stage: Stage) -> None:
    """A hundred requests of a sync, and of a web process, go at once."""
    with stage.fresh_clerk() as clerk, ClerkClient() as sync, ClerkClient(purpose="web") as web:
        for _ in range(100):
            sync.count()
            web.count()
    assert len(clerk.requests) == 200


@override_settings(
    CACHES={
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "shared": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "not_there"},
    }
)
def test_caches__emptied(stage: Stage) -> None:
    """Caches in memory are emptied; those that other programs may share are not even asked."""
    cache = caches["default"]
    cache.set("before", 1)
    with stage.fresh_clerk():
        assert cache.get("before") is None
        cache.set("inside", 1)
    assert cache.get("inside") is None


@pytest.mark.parametrize("others", [None, "harbour.test,.quay.test"])
def test_proxy__not_asked(monkeypatch: pytest.MonkeyPatch, others: str | None) -> None:
    """A proxy of the environment is kept out of the way, and the environment is left as it was."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    if others:
        monkeypatch.setenv("no_proxy", others)
    with open_stage() as stage, stage.fresh_clerk(), ClerkClient() as client:
        assert client.count() == 0
        assert os.environ["no_proxy"].startswith(others or "")
    assert os.environ.get("no_proxy") == others
