"""Single users, creation and change, the instance and its keys."""

from __future__ import annotations

import msgspec
import pytest

from clerksync.testing import FakeClerk, Request
from tests.testing.asking import Ask


def test_get_user__unknown(ask: Ask) -> None:
    """An unknown user is a 404 with Clerk's code."""
    assert ask.error("GET /v1/users/user_gone") == (404, "resource_not_found")


def test_get_user__deleted(clerk: FakeClerk, ask: Ask) -> None:
    """A deleted user is as unknown as one that never was."""
    clerk_id = clerk.create_user()["id"]
    assert ask.json(f"DELETE /v1/users/{clerk_id}")["deleted"] is True
    assert ask.error(f"GET /v1/users/{clerk_id}") == (404, "resource_not_found")


@pytest.mark.parametrize(
    "endpoint", ["GET /", "GET /v1/users/", "PUT /v1/users", "GET /v1/users/user_x/sessions", "GET /v2/users"]
)
def test_unknown_path__is_404(ask: Ask, endpoint: str) -> None:
    """What the fake does not know is a 404."""
    assert ask.error(endpoint) == (404, "resource_not_found")


def test_create_user__stored(clerk: FakeClerk, ask: Ask) -> None:
    """A created user can be back-dated and has what the body says."""
    body = {
        "email_address": ["zuri@harbour-works.io", "z@tidegate-press.com"],
        "created_at": "2020-01-01T00:00:00Z",
        "password": "unused",
    }
    user = ask.json("POST /v1/users", body=body)
    assert clerk.get(user["id"]) == user
    assert user["created_at"] == 1_577_836_800_000
    assert user["primary_email_address_id"] == user["email_addresses"][0]["id"]
    assert (user["first_name"], len(user["email_addresses"])) == (None, 2)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", (400, "malformed_request_parameters")),
        ([], (400, "malformed_request_parameters")),
        ({"shoe_size": 43}, (422, "form_param_unknown")),
        ({"email_address": "zuri@harbour-works.io"}, (422, "form_param_type_invalid")),
        ({"email_address": ["TAKEN@harbour-works.io"]}, (422, "form_identifier_exists")),
        ({"username": "taken"}, (422, "form_identifier_exists")),
        ({"created_at": 1_577_836_800_000}, (422, "form_param_format_invalid")),
        ({"created_at": "2020-01-01T00:00:00"}, (422, "form_param_format_invalid")),
    ],
)
def test_create_user__refused(clerk: FakeClerk, ask: Ask, body: object, error: tuple[int, str]) -> None:
    """A body that Clerk would not take makes no user."""
    clerk.create_user(email="taken@harbour-works.io", username="taken")
    assert ask.error("POST /v1/users", body=body) == error
    assert len(clerk) == 1


def test_update_user__stored(clerk: FakeClerk, ask: Ask) -> None:
    """A change is kept and moves ``updated_at``."""
    clerk_id = clerk.create_user(username="zuri")["id"]
    now = clerk.advance(seconds=5)
    user = ask.json(f"PATCH /v1/users/{clerk_id}", body={"first_name": "Zuri", "username": "zuri"})
    assert (user["first_name"], user["updated_at"]) == ("Zuri", now)


def test_update_user__takes_no_metadata(clerk: FakeClerk, ask: Ask) -> None:
    """Metadata has an endpoint of its own since 2026-05-12."""
    clerk_id = clerk.create_user()["id"]
    error = ask.error(f"PATCH /v1/users/{clerk_id}", body={"public_metadata": {}})
    assert error == (422, "form_param_unknown")


@pytest.mark.parametrize(
    ("action", "flag", "value"),
    [
        ("ban", "banned", True),
        ("unban", "banned", False),
        ("lock", "locked", True),
        ("unlock", "locked", False),
    ],
)
def test_act_on_user__flag(clerk: FakeClerk, ask: Ask, action: str, flag: str, value: bool) -> None:  # noqa: FBT001  # parametrised
    """Each action sets its flag."""
    clerk_id = clerk.create_user()["id"]
    assert ask.json(f"POST /v1/users/{clerk_id}/{action}")[flag] is value
    assert clerk.get(clerk_id)[flag] is value


def test_instance__is_the_fake_s_own() -> None:
    """The instance has the id and the environment that the fake was made with."""
    clerk = FakeClerk(instance_id="ins_quay", environment="development")
    content = Ask(clerk).json("GET /v1/instance")
    assert (content["id"], content["environment_type"]) == ("ins_quay", "development")


def test_jwks__key_of_the_instance(clerk: FakeClerk, ask: Ask) -> None:
    """The key set holds the public half of the signing key, under the instance's id."""
    (key,) = ask.json("GET /v1/jwks")["keys"]
    assert (key["kid"], key["alg"]) == (clerk.instance_id, "RS256")
    assert key == ask.json("GET /v1/jwks")["keys"][0]
    assert len(key["n"]) == 342


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "authentication_invalid"),
        ("Basic abc", "authorization_header_format_invalid"),
        ("Bearer sk_live_other", "clerk_key_invalid"),
    ],
)
def test_key__refused(clerk: FakeClerk, header: str | None, code: str) -> None:
    """Without the right key every answer is a 401."""
    headers = {} if header is None else {"Authorization": header}
    response = clerk.handle(Request("GET", "/v1/users", headers=headers))
    assert response.status == 401
    assert msgspec.json.decode(response.body)["errors"][0]["code"] == code


def test_key__rotated(clerk: FakeClerk, ask: Ask) -> None:
    """A key that was changed opens, and the old one does not."""
    old = {"Authorization": f"Bearer {clerk.secret_key}"}
    clerk.secret_key = "sk_live_rotated"
    assert ask("GET /v1/users").status == 200
    assert ask("GET /v1/users", headers=old).status == 401


def test_api_version__known(ask: Ask) -> None:
    """A documented version is accepted, in the header or in the query."""
    assert ask("GET /v1/users", headers={"Clerk-API-Version": "2025-11-10"}).status == 200
    assert ask("GET /v1/users", [("__clerk_api_version", "2026-05-12")]).status == 200


def test_api_version__both(ask: Ask) -> None:
    """The header and the query together are an error."""
    response = ask(
        "GET /v1/users", [("__clerk_api_version", "2026-05-12")], headers={"Clerk-API-Version": "2026-05-12"}
    )
    assert response.status == 400
    assert b"api_version_invalid" in response.body
