"""The check of the API's setting."""

from __future__ import annotations

import pytest
from django.core.checks import Error
from django.test import override_settings

from clerksync import api_checks

HINT = (
    "Name a permission class of Django REST framework, or one that is declared in a module, "
    'such as MAY_READ = IsAdminUser | HasOrgRole("org:support").'
)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("shop.access.MAY_READ", "leads nowhere"),
        ("IsAdminUser", "leads nowhere"),
        ("clerksync.searching.FIELDS", "leads to nothing that permission_classes could hold"),
    ],
)
def test_permission__wrong(path: str, problem: str) -> None:
    """A path that cannot be used is an error before the first request."""
    with override_settings(CLERKSYNC_API_PERMISSION=path):
        assert api_checks.check_api_permission(None) == [
            Error(
                f"CLERKSYNC_API_PERMISSION: the dotted path {path!r} {problem}.",
                hint=HINT,
                id="clerksync.E040",
            )
        ]


@override_settings(CLERKSYNC_API_PERMISSION="clerksync.searching.search")
def test_permission__callable() -> None:
    """Whatever can be called may be a permission."""
    assert api_checks.check_api_permission(None) == []
