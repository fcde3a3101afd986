"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from django.core.cache import caches
from django.test import override_settings

from tests import databases

if TYPE_CHECKING:
    from clerksync.testing import FakeClerk

_RUN = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's own keys, then start the database server unless that is done."""
    for name in list(os.environ):
        if name.startswith(("CLERK_", "CLERKSYNC_")) and not name.startswith("CLERKSYNC_TEST_"):
            del os.environ[name]
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
    """An empty Clerk instance."""
    from clerksync.testing import FakeClerk  # noqa: PLC0415  # tests of other modules need none

    return FakeClerk()


@pytest.fixture
def clerk_server(clerk: FakeClerk) -> Iterator[FakeClerk]:
    """The same instance, served over loopback at ``settings.CLERK_API_URL``."""
    with clerk.serve() as url, override_settings(CLERK_API_URL=url):
        yield clerk
