"""The OpenAPI schema, as drf-spectacular makes it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from django.test import Client

spectacular: Any = pytest.importorskip(
    "drf_spectacular.generators", reason="drf-spectacular is not installed"
)

pytestmark = [pytest.mark.django_db, pytest.mark.urls("project.urls")]


@pytest.fixture
def schema(client: Client, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What the project serves, made without a warning."""
    answer = client.get("/api/schema/")
    assert answer.status_code == 200
    assert capfd.readouterr().err == ""
    made: dict[str, Any] = yaml.safe_load(answer.content)
    return made


def test_routes(schema: dict[str, Any]) -> None:
    """All routes, and nothing but reading."""
    assert {path: list(methods) for path, methods in schema["paths"].items()} == {
        "/api/me/": ["get"],
        "/api/users/": ["get"],
        "/api/users/{clerk_id}/": ["get"],
    }


def test_security(schema: dict[str, Any]) -> None:
    """A token in the header or in the cookie."""
    schemes = schema["components"]["securitySchemes"]
    assert {name: schemes[name]["type"] for name in ("ClerkToken", "ClerkCookie")} == {
        "ClerkToken": "http",
        "ClerkCookie": "apiKey",
    }
    assert schemes["ClerkToken"]["scheme"] == "bearer"
    assert schema["paths"]["/api/me/"]["get"]["security"] == [{"ClerkToken": []}, {"ClerkCookie": []}]


def test_answers(schema: dict[str, Any]) -> None:
    """The statuses are told, and the header."""
    routes = schema["paths"]
    assert list(routes["/api/me/"]["get"]["responses"]) == ["200", "400", "401", "403", "503"]
    assert "Clerk-Data-Age" in routes["/api/me/"]["get"]["responses"]["200"]["headers"]
    assert list(routes["/api/users/{clerk_id}/"]["get"]["responses"]) == [
        "200",
        "400",
        "401",
        "403",
        "404",
        "503",
    ]
    page = routes["/api/users/"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert list(schema["components"]["schemas"][page["$ref"].rpartition("/")[2]]["properties"]) == [
        "next", "previous", "results",
    ]  # fmt: skip


def test_parameters(schema: dict[str, Any]) -> None:
    """Every parameter of the list is told, once."""
    names = [parameter["name"] for parameter in schema["paths"]["/api/users/"]["get"]["parameters"]]
    assert sorted(names) == sorted(
        ["include", "state", "search", "email", "username", "external_id", "banned", "email_verified",
         "needs_refresh", "created_after", "created_before", "ordering", "cursor", "page_size"]
    )  # fmt: skip


def test_profile(schema: dict[str, Any]) -> None:
    """Private metadata need not be there; everything else is."""
    profile = schema["components"]["schemas"]["Profile"]
    assert set(profile["properties"]) - set(profile["required"]) == {"private_metadata"}
