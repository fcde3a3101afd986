"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import hypothesis
import pytest
from django.conf import settings as django_settings
from django.core.cache import caches

from clerksync import quiet
from clerksync.testing import FakeClerk
from tests import databases, syncing
from tests.processes import forget_keys

pytest_plugins = ["clerksync.testing.plugin"]
#: A project of its own, which ``test_wheel.py`` runs.
collect_ignore = ["sample"]

# Machines that test are busy: how long one example takes says nothing.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("tests")

_RUN = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a second run, on another database, do without what has been run."""
    parser.addoption("--database-only", action="store_true", help="only tests that use a database")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests whose result cannot depend on the database, if that is asked for.

    What may take longest begins first, so that nobody waits for it alone at the end.
    """
    items.sort(key=_patience, reverse=True)
    if config.getoption("--database-only"):
        config.hook.pytest_deselected(items=[item for item in items if not _uses_database(item)])
        items[:] = [item for item in items if _uses_database(item)]


def _patience(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0


def _uses_database(item: pytest.Item) -> bool:
    names: list[str] = getattr(item, "fixturenames", [])
    return item.get_closest_marker("django_db") is not None or not {"db", "transactional_db"}.isdisjoint(
        names
    )


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
    """No test sees what another has cached, or is silent because another has warned."""
    quiet._warned.clear()
    before = django_settings._wrapped  # type: ignore[misc]  # an attribute that no type knows
    yield
    assert django_settings._wrapped is before, "settings of this test are left to the next"  # type: ignore[misc]
    for cache in caches.all(initialized_only=True):
        cache.clear()


@pytest.fixture
def clerk_server(clerk: FakeClerk) -> FakeClerk:
    """The plugin's Clerk, for tests that are about what is served."""
    return clerk


@pytest.fixture
def syncer(clerk: FakeClerk) -> syncing.Syncer:
    """Syncs the fake Clerk."""
    return syncing.Syncer(clerk)
