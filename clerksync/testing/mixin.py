"""The fake Clerk for ``django.test.TestCase``."""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING, Any, ClassVar

from clerksync.testing.clerk import FakeClerk
from clerksync.testing.guard import no_real_clerk
from clerksync.testing.stage import Stage, open_stage
from clerksync.testing.threads import no_threads_left

if TYPE_CHECKING:
    _Case = unittest.TestCase
else:
    _Case = object


class ClerkTestMixin(_Case):
    """Gives each test an empty Clerk of its own, ``self.clerk``; calls of the real Clerk fail.

    ::

        class GreetingTests(ClerkTestMixin, TestCase):
            def test_greeting(self):
                user = self.clerk.create_user(email="maren@harbour-works.io", synced=True)
                self.assertTrue(ClerkUser.objects.filter(pk=user["id"]).exists())

    It is there in ``setUp``, but not yet in ``setUpClass`` and ``setUpTestData``. Django's
    settings name its address and its keys.
    """

    clerk: FakeClerk
    _stage: ClassVar[Stage | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        bases = cls.mro()
        if unittest.TestCase in bases and bases.index(unittest.TestCase) < bases.index(ClerkTestMixin):
            raise TypeError(f"{cls.__name__}: ClerkTestMixin has to stand before the TestCase")

    @classmethod
    def setUpClass(cls) -> None:
        """Open the stage for all tests of the class."""
        cls.enterClassContext(no_real_clerk())
        cls._stage = cls.enterClassContext(open_stage())
        super().setUpClass()

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test, from ``setUp`` to the last cleanup, with a Clerk of its own."""
        if self._stage is None:
            # The class is skipped as a whole, so it was not set up.
            return super().run(result)
        with self._stage.fresh_clerk() as self.clerk, no_threads_left():
            return super().run(result)
