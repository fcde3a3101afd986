"""What the README says of the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import path
from rest_framework.permissions import BasePermission

from clerksync.api import permissions, urls
from clerksync.api.errors import DETAILS
from clerksync.api.serializers import UsersQuery
from clerksync.api.views import AGE_HEADER
from clerksync.testing import FakeClerk
from tests.test_readme import blocks, names, section

API = section("API (Django REST framework)")


def test_routes() -> None:
    """The table has all routes."""
    told = names(API, heading="Route")
    assert told == [
        str(pattern.pattern).replace("<str:clerk_id>", "{clerk_id}") for pattern in urls.urlpatterns
    ]


def test_parameters() -> None:
    """The table has all parameters."""
    told = names(API, heading="Parameter of `users/`")
    assert sorted(told) == sorted(UsersQuery().fields)


def test_codes() -> None:
    """The table has all codes of a 401."""
    assert sorted(names(API, heading="Code of a 401")) == sorted(DETAILS)


def test_names() -> None:
    """The header and the permissions are called so."""
    assert f"`{AGE_HEADER}`" in API
    assert {name for name, found in vars(permissions).items() if name in API and is_permission(found)} == {
        "IsClerkUser",
        "HasOrgRole",
        "HasOrgPermission",
    }


def is_permission(found: object) -> bool:
    """Whether it is a permission class."""
    return isinstance(found, type) and issubclass(found, BasePermission)


urlpatterns: list[Any] = []


@pytest.mark.django_db
def test_view__as_shown(client: Client, clerk: FakeClerk) -> None:
    """The view of the README lets in whom it says."""
    parts = ("clerksync.api.urls", "class Invoices")
    addresses, view = (next(block for block in blocks("python") if part in block) for part in parts)
    module: dict[str, Any] = {"urlpatterns": urlpatterns}
    exec(addresses + view, module)  # noqa: S102  # our own README
    urlpatterns.append(path("invoices/", module["Invoices"].as_view()))
    user = clerk.create_user()
    with override_settings(ROOT_URLCONF=__name__):
        answer = client.get("/invoices/", headers=clerk.bearer(user, org_role="org:admin"))
        assert answer.json() == {"user": user["id"], "organization": "org_harbour"}
        assert client.get("/invoices/", headers=clerk.bearer(user)).status_code == 403
        assert client.get("/api/me/", headers=clerk.bearer(user)).status_code == 200
