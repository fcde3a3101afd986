"""The sample's tests with the mixin."""

from __future__ import annotations

from django.test import TestCase

from clerksync.models import ClerkUser
from clerksync.testing import ClerkTestMixin


class DeleteTests(ClerkTestMixin, TestCase):
    def test_delete(self) -> None:
        """A user who leaves Clerk stays in the table, marked as deleted."""
        user = self.clerk.create_user(email="otto@harbour-works.io", synced=True)
        self.clerk.delete_user(user["id"], synced=True)
        self.assertEqual(ClerkUser.objects.get(pk=user["id"]).state, ClerkUser.State.DELETED)
