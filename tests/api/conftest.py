"""Fixtures for the API's tests."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from clerksync.testing import FakeClerk
from tests import settings as of_tests

# Not even imported where Django REST framework is not installed.
collect_ignore_glob = [] if find_spec("rest_framework") else ["test_*.py"]

#: What stands in MIDDLEWARE, without ours.
WITHOUT = [name for name in of_tests.MIDDLEWARE if name != "clerksync.middleware.ClerkMiddleware"]


@pytest.fixture(params=[True, False], ids=["middleware", "alone"])
def middleware(request: pytest.FixtureRequest, settings: Any) -> bool:
    """Whether the middleware is there: nothing may depend on it."""
    if not request.param:
        settings.MIDDLEWARE = WITHOUT
    with_it: bool = request.param
    return with_it


@pytest.fixture
def user(clerk: FakeClerk) -> dict[str, Any]:
    """A user whom the table does not hold yet."""
    return clerk.create_user(first_name="Isla", last_name="Berg", email="isla@harbour-works.io")
