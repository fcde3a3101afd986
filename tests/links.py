"""Users of Clerk and Django users, for tests of linking."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.test import override_settings

from clerksync.models import ClerkUser
from tests.admin.staff import add_user


def linking_on(*rules: str, **fields: Any) -> override_settings:
    """Linking by these rules, with these USER_FIELDS."""
    return override_settings(CLERKSYNC_LINK_USERS=True, CLERKSYNC_LINK_BY=rules, CLERKSYNC_USER_FIELDS=fields)


def add_row(clerk_id: str, **columns: Any) -> ClerkUser:
    """A row as the mirror writes it: with a revision."""
    return add_user(clerk_id, **{"revision": 1, "email_verified": True} | columns)


def add_django_user(username: str, **fields: Any) -> User:
    """A Django user from before there was Clerk."""
    return User.objects.create(username=username, **fields)


def linked_to(clerk_id: str) -> str | None:
    """The username of the Django user of a row."""
    user = ClerkUser.objects.select_related("user").get(pk=clerk_id).user
    return user.username if user else None
