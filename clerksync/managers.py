"""Querysets of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models

if TYPE_CHECKING:
    from clerksync.models import ClerkUser as ClerkUser


class ClerkUserQuerySet(models.QuerySet["ClerkUser"]):
    """Users by what is known of them."""

    def active(self) -> Self:
        """Users that Clerk holds and that are known in full."""
        return self.filter(state="active")

    def deleted(self) -> Self:
        """Tombstones: users that Clerk no longer holds."""
        return self.filter(state="deleted")

    def needs_refresh(self) -> Self:
        """Users in doubt, to be read again from Clerk."""
        return self.exclude(doubt_reason="")

    def in_doubt(self) -> Self:
        """The same without ids that nobody knows: neither we more than the id, nor Clerk anything."""
        return self.needs_refresh().exclude(state="incomplete", doubt_reason="not in Clerk's list")
