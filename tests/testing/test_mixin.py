"""The mixin for Django's TestCase."""

from __future__ import annotations

import unittest
from typing import ClassVar

import pytest
from django.conf import settings
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from clerksync.client import ClerkClient
from clerksync.models import ClerkUser
from clerksync.testing import ClerkTestMixin, RealClerkCalled


class MixinTests(ClerkTestMixin, TestCase):
    """A test case as users write it."""

    def setUp(self) -> None:
        """Without a call of the base: the Clerk is there already."""
        self.maren = self.clerk.create_user(first_name="Maren", synced=True)

    def test_clerk__synced(self) -> None:
        """The row is in the test's transaction."""
        assert ClerkUser.objects.get().first_name == "Maren"

    def test_clerk__of_this_test_alone(self) -> None:
        """No other test has left a user."""
        assert self.clerk.users() == [self.maren]

    def test_settings__of_the_fake(self) -> None:
        """The settings name the fake, which the client therefore finds."""
        assert self.clerk.secret_key == settings.CLERK_SECRET_KEY
        with ClerkClient() as client:
            assert client.count() == 1

    def test_real_clerk__refused(self) -> None:
        """Another address is refused."""
        with ClerkClient(api_url="https://api.clerk.com") as client, pytest.raises(RealClerkCalled):
            client.count()


class TransactionTests(ClerkTestMixin, TransactionTestCase):
    """The same without a transaction around each test."""

    def test_clerk__synced(self) -> None:
        """The row is committed."""
        user = self.clerk.create_user(synced=True)
        assert ClerkUser.objects.get().pk == user["id"]


def run(case: type[unittest.TestCase]) -> unittest.TestResult:
    """Run a test case as unittest does."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    return result


@pytest.mark.real_clerk
def test_real_clerk__refused_in_class_fixtures() -> None:
    """From setUpClass on nobody calls the real Clerk; afterwards the class guards nothing any more."""

    class Careless(ClerkTestMixin, SimpleTestCase):
        @classmethod
        def setUpClass(cls) -> None:
            super().setUpClass()
            with ClerkClient(api_url="https://api.clerk.test") as client:
                client.count()

        def test_nothing(self) -> None:
            """Never run."""

    ((_, told),) = run(Careless).errors
    assert "RealClerkCalled" in told


def test_settings__restored() -> None:
    """After the class the settings are the project's own, also where a test failed."""

    class Failing(ClerkTestMixin, SimpleTestCase):
        keys: ClassVar[list[str]] = []

        def test_failing(self) -> None:
            self.keys.append(settings.CLERK_SECRET_KEY)
            self.fail()

    before = settings.CLERK_SECRET_KEY
    assert len(run(Failing).failures) == 1
    assert settings.CLERK_SECRET_KEY == before != Failing.keys[0]


def test_skip__whole_class() -> None:
    """A class that is skipped is not set up, and still reported."""

    @unittest.skip("not today")
    class Skipped(ClerkTestMixin, SimpleTestCase):
        def test_nothing(self) -> None:
            """Never run."""

    result = run(Skipped)
    assert (len(result.skipped), result.errors) == (1, [])


def test_order__of_the_bases() -> None:
    """Behind the TestCase the mixin would do nothing, so it says so."""
    with pytest.raises(TypeError, match="Wrong: ClerkTestMixin has to stand before the TestCase"):

        class Wrong(SimpleTestCase, ClerkTestMixin):
            pass
