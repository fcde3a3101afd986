"""Where the middleware stands."""

from __future__ import annotations

import pytest
from django.test import override_settings

from clerksync.middleware import ClerkMiddleware
from clerksync.middleware_checks import check_middleware_order

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"
OURS = "clerksync.middleware.ClerkMiddleware"


class Special(ClerkMiddleware):
    """A project's own."""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        ([AUTHENTICATION, OURS], []),
        ([AUTHENTICATION, OURS, LOGIN_REQUIRED], []),
        ([AUTHENTICATION, f"{__name__}.Special"], []),
        ([OURS], []),
        ([OURS, AUTHENTICATION], ["clerksync.E014"]),
        ([f"{__name__}.Special", AUTHENTICATION], ["clerksync.E014"]),
        ([AUTHENTICATION, OURS, f"{__name__}.Special"], ["clerksync.E013"]),
        ([AUTHENTICATION, LOGIN_REQUIRED, OURS], ["clerksync.W006"]),
        ([AUTHENTICATION, "no.such.Middleware"], []),
    ],
)
def test_order(names: list[str], expected: list[str]) -> None:
    """Each wrong order is named, with what to do."""
    with override_settings(MIDDLEWARE=names):
        found = check_middleware_order(None)
    assert [message.id for message in found] == expected
    assert all(message.hint for message in found)


@override_settings(CLERKSYNC_LINK_USERS=True)
def test_linking_without_the_middleware() -> None:
    """Linked users of whom no request knows are warned of; with the middleware all is well."""
    with override_settings(MIDDLEWARE=[AUTHENTICATION]):
        assert [message.id for message in check_middleware_order(None)] == ["clerksync.W007"]
    with override_settings(MIDDLEWARE=[AUTHENTICATION, OURS]):
        assert check_middleware_order(None) == []
