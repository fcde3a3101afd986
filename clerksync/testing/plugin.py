"""The fake Clerk for pytest: ``pytest_plugins = ["clerksync.testing.plugin"]`` in the topmost conftest.py.

::

    @pytest.mark.django_db
    def test_greeting(client, clerk):
        user = clerk.create_user(email="maren@harbour-works.io", synced=True)
        assert ClerkUser.objects.get(pk=user["id"]).email == "maren@harbour-works.io"

As soon as the plugin is loaded, a test that would call the real Clerk fails with RealClerkCalled,
unless it is marked with ``@pytest.mark.real_clerk``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from clerksync.testing.clerk import FakeClerk
from clerksync.testing.guard import no_real_clerk
from clerksync.testing.stage import Apply, Stage, open_stage
from clerksync.testing.threads import no_threads_left


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.addinivalue_line("markers", "real_clerk: the test may call the real Clerk")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keep each test, with its fixtures of whatever scope, from the real Clerk."""
    allowed = item.get_closest_marker("real_clerk") is not None
    with nullcontext() if allowed else no_real_clerk():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Let what the test's requests have begun end while the test has its database."""
    with no_threads_left():
        return (yield)


@pytest.fixture(scope="session")
def clerk_stage() -> Iterator[Stage]:
    """Where the Clerks of all tests are served, one after the other."""
    with open_stage() as stage:
        yield stage


@pytest.fixture
def clerk(clerk_stage: Stage, request: pytest.FixtureRequest) -> Iterator[FakeClerk]:
    """An empty Clerk for this test alone; Django's settings name its address and its keys."""
    with clerk_stage.fresh_clerk(_with_pytest_django(request)) as clerk:
        yield clerk


def _with_pytest_django(request: pytest.FixtureRequest) -> Apply | None:
    """Set settings by pytest-django's fixture, which takes back all of a test's settings in the right order.

    Whatever the order of a test's fixtures: overrides that end in another order than the reverse of
    their beginning would leave settings of one test to the next.
    """
    try:
        settings = request.getfixturevalue("settings")
    except pytest.FixtureLookupError:
        return None

    def apply(values: dict[str, Any]) -> AbstractContextManager[object]:
        for name, value in values.items():
            setattr(settings, name, value)
        return nullcontext()

    return apply
