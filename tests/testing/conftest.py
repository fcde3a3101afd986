"""Fixtures for the tests of the fake Clerk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from clerksync.testing import FakeClerk, Served, serve
from tests.testing.asking import Ask, Http


@pytest.fixture
def ask(clerk: FakeClerk) -> Ask:
    """Asks the fake without a socket."""
    return Ask(clerk)


@pytest.fixture
def served(clerk: FakeClerk) -> Iterator[Served]:
    """The fake on a socket."""
    with serve(clerk) as served:
        yield served


@pytest.fixture
def http(clerk: FakeClerk, served: Served) -> Iterator[Http]:
    """Asks the fake over HTTP, with one connection kept alive."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {clerk.secret_key}"
        yield Http(session, served.url)
