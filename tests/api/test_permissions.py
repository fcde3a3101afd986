"""The permissions: what they ask of a session, how they combine, and which are refused when they are declared."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from rest_framework.test import APIRequestFactory

from clerksync import tokens
from clerksync.api.permissions import HasOrgPermission, HasOrgRole, IsClerkUser
from clerksync.testing import FakeClerk

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.api.pages"),
    pytest.mark.usefixtures("middleware"),
]

ADMIN = {"org_role": "org:admin"}
READER = {"org_role": "org:member", "org_permissions": ["org:notes:read"]}
WRITER = {"org_role": "org:member", "org_permissions": ["org:notes:write", "org:bills:read"]}


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("clerk", {}, 200),
        ("admins", ADMIN, 200),
        ("admins", READER, 403),
        ("admins", {}, 403),
        ("notes", READER, 200),
        ("notes", WRITER, 403),
        ("notes", ADMIN, 403),
        ("either", ADMIN, 200),
        ("either", READER, 200),
        ("either", WRITER, 403),
        ("both", ADMIN, 200),
        ("both", READER, 403),
        ("not", READER, 200),
        ("not", ADMIN, 403),
        ("reading", READER, 200),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_granted(
    client: Client,
    clerk: FakeClerk,
    user: dict[str, Any],
    path: str,
    options: dict[str, Any],
    status: int,
    version: Any,
) -> None:
    """Each asks for what it says, of tokens of both versions."""
    headers = clerk.bearer(user, version=version, **options)
    assert client.get(f"/{path}/", headers=headers).status_code == status


@pytest.mark.parametrize("path", ["clerk", "admins", "notes", "either", "both", "not"])
def test_nobody__401(client: Client, clerk: FakeClerk, path: str) -> None:
    """A visitor is asked to sign in, which is something else than not being allowed."""
    assert client.get(f"/{path}/").status_code == 401


def test_reading__nobody(client: Client, clerk: FakeClerk) -> None:
    """They combine with others' permissions."""
    assert (client.get("/reading/").status_code, client.post("/reading/").status_code) == (200, 401)


def test_message(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A 403 says what is missing."""
    told = client.get("/admins/", headers=clerk.bearer(user)).json()["detail"]
    assert told == "You do not have the role that this needs in your organization."


def test_django_session__is_no_clerk_user(client: Client, admin_user: Any) -> None:
    """A session of Django's is none of Clerk's."""
    request = APIRequestFactory().get("/")
    request.auth = None
    assert not IsClerkUser().has_permission(request, None)
    assert not HasOrgRole("org:admin").has_permission(request, None)


@pytest.mark.parametrize(
    ("permission", "told"),
    [
        (lambda: HasOrgRole(""), "can never be true: write the key of a role"),
        (lambda: HasOrgRole("admin"), "can never be true: write the key of a role"),
        (lambda: HasOrgRole("org:"), "can never be true"),
        (lambda: HasOrgRole("org:admin "), "can never be true"),
        (lambda: HasOrgRole(None), "can never be true"),  # type: ignore[arg-type]
        (lambda: HasOrgRole("org:notes:read"), "is a permission, not a role: use HasOrgPermission"),
        (lambda: HasOrgPermission(""), "can never be true: write the key of a permission"),
        (lambda: HasOrgPermission("notes:read"), "can never be true"),
        (lambda: HasOrgPermission("org:notes:"), "can never be true"),
        (lambda: HasOrgPermission("org:notes:read:all"), "can never be true"),
        (lambda: HasOrgPermission(7), "can never be true"),  # type: ignore[arg-type]
        (lambda: HasOrgPermission("org:admin"), "is a role, not a permission: use HasOrgRole"),
        (lambda: HasOrgPermission("org:sys_memberships:manage"), "Clerk does not put its own"),
    ],
)
def test_declared__never_true(permission: Any, told: str) -> None:
    """What no session can have is an error where it is written, not a 403 for ever."""
    with pytest.raises(ImproperlyConfigured, match=told):
        permission()


def test_objects__same_answer(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Of an object they say what they say of the request, so that ``~`` holds for objects, too."""
    claims = clerk_claims(clerk, user)
    request = APIRequestFactory().get("/")
    request.auth, request.user = claims, None
    cases: list[tuple[Any, bool]] = [
        (IsClerkUser, True), (HasOrgRole("org:admin"), True), (HasOrgRole("org:other"), False),
    ]  # fmt: skip
    for permission, expected in cases:
        assert permission().has_object_permission(request, None, None) is expected
        assert (~permission)().has_object_permission(request, None, None) is not expected


def clerk_claims(clerk: FakeClerk, user: dict[str, Any]) -> Any:
    """The claims of an admin's token."""
    return tokens.verify(clerk.token(user, org_role="org:admin"))
