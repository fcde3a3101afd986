"""Requests that the API's own schema allows, and some that it does not: no 5xx, and answers as it says."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import schemathesis
import yaml
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks

from clerksync.testing import FakeClerk
from tests.admin.staff import add_user
from tests.figures import tell
from tests.profiles import pick

pytest.importorskip("drf_spectacular", reason="drf-spectacular is not installed")

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("project.urls"),
    pytest.mark.timeout(pick(short=300, long=3_600)),
]

PATHS = ("/api/me/", "/api/users/", "/api/users/{clerk_id}/")
#: What they are answered who ask for nothing special.
PLAIN = {"nobody": (401, 401, 401), "user": (200, 403, 403), "staff": (401, 200, 200)}
KNOWN = ("user_ada", "user_cat", "user_dan")
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture
def people(db: None) -> None:
    """Users of some kinds."""
    add_user("user_ada", email="ada@harbour-works.io", first_name="Ada", public_metadata={"a": [1]})
    add_user("user_cat", banned=True, private_metadata={"plan": "gold"})
    add_user("user_dan", state="deleted")


@pytest.fixture(params=PLAIN)
def who(request: pytest.FixtureRequest) -> str:
    """A visitor, a user of Clerk or a superuser."""
    name: str = request.param
    return name


@pytest.fixture
def headers(who: str, client: Client, clerk: FakeClerk) -> dict[str, str]:
    """How they come."""
    if who == "user":
        return clerk.bearer(clerk.create_user())
    if who == "staff":
        client.force_login(User.objects.create_superuser("sam"))
        return {"Cookie": client.cookies.output(attrs=[], header="").strip()}
    return {}


def answer(case: schemathesis.Case[Any], headers: dict[str, str]) -> schemathesis.Response:
    """What Django's client is answered; an error of ours is raised here.

    schemathesis would call the WSGI application, which closes the connection that the test's data are in.
    """
    sent = requests.Request(
        **case.as_transport_kwargs(base_url="http://testserver", headers=headers)
    ).prepare()
    answered = Client().generic(case.method, sent.path_url, headers=dict(sent.headers))
    return schemathesis.Response(
        status_code=answered.status_code,
        headers={name: [value] for name, value in answered.headers.items()},
        content=answered.content,
        request=sent,
        elapsed=0,
        verify=False,
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.usefixtures("people")
def test_answers__fit_the_schema(client: Client, who: str, headers: dict[str, str], path: str) -> None:
    """Whoever asks whatever."""
    schema = yaml.safe_load(client.get("/api/schema/").content)
    api = schemathesis.openapi.from_dict(schema)
    operation = api[path]["GET"]
    cases = st.sampled_from(GenerationMode).flatmap(lambda mode: operation.as_strategy(generation_mode=mode))
    plain = Client().get(path.format(clerk_id=KNOWN[0]), headers=headers).status_code
    assert plain == PLAIN[who][PATHS.index(path)]

    @settings(max_examples=pick(short=8, long=500))
    @given(case=cases, known=st.none() | st.sampled_from(KNOWN))
    def ask(case: schemathesis.Case[Any], known: str | None) -> None:
        if known and case.path_parameters:
            case.path_parameters["clerk_id"] = known
        response = answer(case, headers)
        case.validate_response(response, checks=CHECKS)
        assert response.status_code != 200 or plain == 200
        tell("requests to the API of its own schema")

    ask()
