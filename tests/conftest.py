"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import hypothesis
import pytest
from django.conf import settings
from django.core.cache import caches
from django.test import override_settings

from clerksync.testing import FakeClerk, serve
from tests import databases
from tests.processes import forget_keys

# Machines that test are busy: how long one example takes says nothing.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("tests")

_RUN = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's own keys, then start the database server unless that is done."""
    forget_keys()
    config.stash[_RUN] = ExitStack()
    config.stash[_RUN].enter_context(databases.running())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server if this process started it."""
    config.stash[_RUN].close()


def pytest_report_header() -> str:
    """Say what the tests run on."""
    return f"database: {databases.kind()}"


@pytest.fixture(autouse=True)
def _empty_caches() -> Iterator[None]:
    """No test sees what another has cached."""
    yield
    for cache in caches.all(initialized_only=True):
        cache.clear()


@pytest.fixture
def clerk() -> FakeClerk:
    """An empty Clerk instance that the key of the settings opens."""
    return FakeClerk(environment="development", secret_key=settings.CLERK_SECRET_KEY)


@pytest.fixture
def clerk_server(clerk: FakeClerk) -> Iterator[FakeClerk]:
    """The same instance over loopback at ``settings.CLERK_API_URL``, with no limit that would slow tests."""
    with serve(clerk) as served, override_settings(CLERK_API_URL=served.url, CLERKSYNC_RATE_LIMIT=1_000_000):
        yield clerk
