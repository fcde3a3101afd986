"""Permissions of Django REST framework by what the session token says; they combine by ``&``, ``|`` and ``~``."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission, OperationHolderMixin

from clerksync.claims import Claims

_ROLE = re.compile(r"org:[\w-]+", re.ASCII)
_PERMISSION = re.compile(r"org:[\w-]+:[\w-]+", re.ASCII)
#: Clerk's own permissions, which it never puts into session tokens.
_SYSTEM = "org:sys_"


class IsClerkUser(BasePermission):
    """Whoever comes with a Clerk session, linked to a Django user or not."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Tell whether there is one."""
        return isinstance(request.auth, Claims)

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        """Tell the same of each object, which ``~`` relies on."""
        return self.has_permission(request, view)


class _OfOrganization(OperationHolderMixin, BasePermission):
    """Something that the active organization of the session has to have granted."""

    def __call__(self) -> _OfOrganization:
        """Return the permission itself, for which Django REST framework calls what it finds declared."""
        return self

    def is_granted(self, claims: Claims) -> bool:
        """Tell whether the session has it."""
        raise NotImplementedError

    def has_permission(self, request: Any, view: Any) -> bool:
        """Tell whether the request comes with a session that has it."""
        return isinstance(request.auth, Claims) and self.is_granted(request.auth)

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        """Tell the same of each object, which ``~`` relies on."""
        return self.has_permission(request, view)


class HasOrgRole(_OfOrganization):
    """The role in the session's organization: ``permission_classes = [HasOrgRole("org:admin")]``.

    Args:
        role: As Clerk's dashboard spells its key, with ``org:``.

    Raises:
        ImproperlyConfigured: There cannot be such a role.
    """

    message = _("You do not have the role that this needs in your organization.")

    def __init__(self, role: str) -> None:
        text = _text(role)
        if _PERMISSION.fullmatch(text):
            raise ImproperlyConfigured(
                f"{role!r} is a permission, not a role: use HasOrgPermission({role!r})."
            )
        if not _ROLE.fullmatch(text):
            raise ImproperlyConfigured(
                f"HasOrgRole({role!r}) can never be true: write the key of a role of Clerk's dashboard, "
                "such as 'org:admin'."
            )
        self.role = role

    def is_granted(self, claims: Claims) -> bool:
        """Tell whether the session has the role."""
        return claims.has(role=self.role)


class HasOrgPermission(_OfOrganization):
    """A permission in the session's organization: ``[HasOrgPermission("org:invoices:create")]``.

    Args:
        permission: As Clerk's dashboard spells its key: ``org:feature:permission``.

    Raises:
        ImproperlyConfigured: Session tokens cannot have such a permission.
    """

    message = _("You do not have the permission that this needs in your organization.")

    def __init__(self, permission: str) -> None:
        text = _text(permission)
        if text.startswith(_SYSTEM):
            raise ImproperlyConfigured(
                f"HasOrgPermission({permission!r}) can never be true: Clerk does not put its own (system) "
                "permissions into session tokens. Use HasOrgRole, or a permission of your own."
            )
        if _ROLE.fullmatch(text):
            raise ImproperlyConfigured(
                f"{permission!r} is a role, not a permission: use HasOrgRole({permission!r})."
            )
        if not _PERMISSION.fullmatch(text):
            raise ImproperlyConfigured(
                f"HasOrgPermission({permission!r}) can never be true: write the key of a permission of "
                "Clerk's dashboard, such as 'org:invoices:create'."
            )
        self.permission = permission

    def is_granted(self, claims: Claims) -> bool:
        """Tell whether the session has the permission."""
        return claims.has(permission=self.permission)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
