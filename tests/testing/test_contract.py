"""Every kind of answer against Clerk's published specification."""

from __future__ import annotations

import msgspec
import pytest

from clerksync.testing import FakeClerk, every_shape, faultkinds
from clerksync.testing.endpoints import ROUTES
from clerksync.testing.shapes import OPTIONAL_KEYS
from tests.testing import specification
from tests.testing.asking import Ask, Pairs

SHAPES = tuple(every_shape(FakeClerk()))


@pytest.mark.parametrize("shape", SHAPES)
def test_get_user__of_every_shape(clerk: FakeClerk, ask: Ask, shape: str) -> None:
    """A user of any shape is a User."""
    clerk_id = every_shape(clerk)[shape]
    specification.check("User", ask.json(f"GET /v1/users/{clerk_id}"))


def test_list_users__everyday(clerk: FakeClerk, ask: Ask) -> None:
    """A list is a bare array of Users."""
    clerk.create_users(30)
    users = ask.json("GET /v1/users", [("limit", "30")])
    assert len(users) == 30
    for user in users:
        specification.check("User", user)


def test_count_users__total(clerk: FakeClerk, ask: Ask) -> None:
    """A count is a TotalCount."""
    clerk.create_users(3)
    specification.check("TotalCount", ask.json("GET /v1/users/count"))


def test_create_user__answer(ask: Ask) -> None:
    """The answer to a creation is a User."""
    body = {"email_address": ["zuri@harbour-works.io"], "phone_number": ["+33639980001"], "username": "zuri"}
    specification.check("User", ask.json("POST /v1/users", body=body))


@pytest.mark.parametrize("action", ["ban", "unban", "lock", "unlock"])
def test_act_on_user__answer(clerk: FakeClerk, ask: Ask, action: str) -> None:
    """The answer to an action is a User."""
    clerk_id = clerk.create_user()["id"]
    specification.check("User", ask.json(f"POST /v1/users/{clerk_id}/{action}"))


def test_update_user__answer(clerk: FakeClerk, ask: Ask) -> None:
    """The answer to a change is a User."""
    clerk_id = clerk.create_user()["id"]
    specification.check("User", ask.json(f"PATCH /v1/users/{clerk_id}", body={"first_name": "Otto"}))


def test_delete_user__answer(clerk: FakeClerk, ask: Ask) -> None:
    """The answer to a deletion is a DeletedObject."""
    clerk_id = clerk.create_user()["id"]
    specification.check("DeletedObject", ask.json(f"DELETE /v1/users/{clerk_id}"))


def test_instance__answer(ask: Ask) -> None:
    """The instance is an Instance."""
    specification.check("Instance", ask.json("GET /v1/instance"))


def test_jwks__answer(ask: Ask) -> None:
    """The keys are a JWKS."""
    specification.check("JWKS", ask.json("GET /v1/jwks"))


@pytest.mark.parametrize(
    ("endpoint", "query", "status"),
    [
        ("GET /v1/users/user_gone", [], 404),
        ("GET /v1/nowhere", [], 404),
        ("GET /v1/users", [("limit", "many")], 422),
        ("GET /v1/users", [("__clerk_api_version", "1999-01-01")], 400),
    ],
)
def test_error__envelope(ask: Ask, endpoint: str, query: Pairs, status: int) -> None:
    """An error is a ClerkErrors with a trace id."""
    response = ask(endpoint, query)
    assert response.status == status
    content = msgspec.json.decode(response.body)
    specification.check("ClerkErrors", content)
    assert content["clerk_trace_id"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 429, 500, 503, 504])
def test_fault__envelope(clerk: FakeClerk, ask: Ask, status: int) -> None:
    """An error on demand is a ClerkErrors too."""
    clerk.fail(status)
    response = ask("GET /v1/users")
    assert response.status == status
    specification.check("ClerkErrors", msgspec.json.decode(response.body))


def test_optional_keys__are_the_specified_ones() -> None:
    """The shape of a minimal user lacks exactly what the specification lets it lack."""
    user = specification.schema("User")
    assert set(OPTIONAL_KEYS) == user["properties"].keys() - set(user["required"])


@pytest.mark.parametrize("route", ROUTES)
def test_routes__are_in_the_specification(route: str) -> None:
    """The fake answers nothing that Clerk does not."""
    method, _, path = route.partition(" ")
    assert method.lower() in specification.paths()[path.removeprefix("/v1")]


def test_filters__are_the_specified_ones() -> None:
    """The parameters that a list knows are those of the specification."""
    documented = {
        parameter["name"] for parameter in specification.paths()["/users/count"]["get"]["parameters"]
    }
    assert set(faultkinds.FILTERS) == documented


@pytest.mark.parametrize(
    "change", [{"banned": "no"}, {"created_at": None}, {"shoe_size": 43}, {"email_addresses": [{}]}]
)
def test_specification__refuses(clerk: FakeClerk, change: dict[str, object]) -> None:
    """The specification as it is read here does refuse what it forbids."""
    with pytest.raises(AssertionError):
        specification.check("User", clerk.put_user(clerk.create_user() | change))
