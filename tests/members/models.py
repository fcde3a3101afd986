"""User models that are as unlike Django's own as they may be."""

from __future__ import annotations

import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower


class Member(AbstractBaseUser):
    """Known by e-mail, with a UUID as the key, no ``is_active``, and a name that is required."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=20)
    handle = models.CharField(max_length=50, null=True, blank=True)  # noqa: DJ001  # NULL: unique only where there is one
    boss = models.BooleanField(default=False)

    objects = BaseUserManager["Member"]()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        constraints = [models.UniqueConstraint(Lower("handle"), name="members_handle")]

    def __str__(self) -> str:
        return self.email

    @property
    def is_staff(self) -> bool:
        """As in Django's own example of a custom user."""
        return self.boss


class Resident(AbstractBaseUser):
    """Known by a word, which is the key."""

    code = models.CharField(max_length=40, primary_key=True)
    email = models.EmailField(null=True, unique=True)  # noqa: DJ001  # the same
    is_active = models.BooleanField(default=True)

    objects = BaseUserManager["Resident"]()

    USERNAME_FIELD = "code"

    def __str__(self) -> str:
        return self.code
