"""The sample's test with the mixin, as the README shows it."""

from __future__ import annotations

from django.test import TestCase

from clerksync.models import ClerkUser
from clerksync.testing import ClerkTestMixin


class LeavingTests(ClerkTestMixin, TestCase):
    def test_tombstone_remains(self) -> None:
        user = self.clerk.create_user(email="otto@harbour-works.io", synced=True)
        self.clerk.delete_user(user["id"])
        self.clerk.send_webhook("user.deleted", user)
        self.assertEqual(ClerkUser.objects.get(pk=user["id"]).state, ClerkUser.State.DELETED)
