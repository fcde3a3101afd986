"""System checks of session tokens."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.checks import Error, Warning, run_checks

from clerksync.token_checks import check_any_party, check_authorized_parties, check_issuer, check_jwt_key

PEM = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


@pytest.mark.parametrize("mended", [False, True])
def test_jwt_key__sound(mended: bool, settings: Any) -> None:  # noqa: FBT001  # pytest passes it by name
    """Nothing to say, also of a key in one line."""
    settings.CLERK_JWT_KEY = PEM.replace("\n", "\\n") if mended else PEM
    assert check_jwt_key(None) == []


@pytest.mark.parametrize("value", ["", None, 7])
def test_jwt_key__unset(value: Any, settings: Any) -> None:
    """It is optional; a wrong type is another check's."""
    settings.CLERK_JWT_KEY = value
    assert check_jwt_key(None) == []


def test_jwt_key__unreadable(settings: Any) -> None:
    """The hint tells what to do, without the text."""
    settings.CLERK_JWT_KEY = PEM[:100]
    assert check_jwt_key(None) == [
        Error(
            "CLERK_JWT_KEY cannot be used, so no session token is accepted.",
            hint="CLERK_JWT_KEY is not a public RSA key of 2048 bits or more. Copy it from Clerk's dashboard, "
            "API keys, JWKS public key (PEM).",
            id="clerksync.E010",
        )
    ]


@pytest.mark.parametrize(
    "party",
    [
        "https://app.harbour.test/",
        "https://app.harbour.test/path",
        "app.harbour.test",
        "//app.harbour.test",
        "https://",
        "https://App.harbour.test",
        "https://app.harbour.test:443",
        "http://localhost:80",
        "https://*.harbour.test",
        "https://app.harbour.test?x",
        "https://me@app.harbour.test",
        " https://app.harbour.test",
        "https://app.harbour.test\n",
        "null",
        "*",
        "",
    ],
)
def test_authorized_parties__no_origin(party: str, settings: Any) -> None:
    """What no browser sends as an origin is named by its place."""
    settings.CLERKSYNC_AUTHORIZED_PARTIES = ["https://a.test", party]
    assert check_authorized_parties(None) == [
        Error(
            "CLERKSYNC_AUTHORIZED_PARTIES: entry 2 is not an origin.",
            hint="Write it as browsers do: scheme and host in small letters, the port if it is an unusual "
            "one, no path and no slash at the end, such as https://app.example.com.",
            id="clerksync.E011",
        )
    ]


@pytest.mark.parametrize(
    "party",
    [
        "https://app.harbour.test",
        "http://localhost:3000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "https://harbour.test:8443",
        "https://harbour.test:4430",
        "http://harbour.test:443",
        "chrome-extension://abcdefghijklmnop",
    ],
)
def test_authorized_parties__origins(party: str, settings: Any) -> None:
    """Origins of pages, of this machine and of browser extensions."""
    settings.CLERKSYNC_AUTHORIZED_PARTIES = [party]
    assert check_authorized_parties(None) == []


@pytest.mark.parametrize("value", [(), [], "https://a.test", None, 7])
def test_authorized_parties__none_or_of_a_wrong_type(value: Any, settings: Any) -> None:
    """No party is fine here, and a wrong type is another check's."""
    settings.CLERKSYNC_AUTHORIZED_PARTIES = value
    assert check_authorized_parties(None) == []


@pytest.mark.parametrize(
    "issuer",
    ["clerk.harbour.test", "https://clerk.harbour.test/", "https://a.test/__clerk/", "https://a.test?x", "x"],
)
def test_issuer__no_address(issuer: str, settings: Any) -> None:
    """What no token has as its issuer."""
    message = Error(
        "CLERKSYNC_ISSUER: entry 1 is not an issuer's address.",
        hint="Write it as in the claim iss: https:// and a host, with the path of your proxy if there is one, "
        "no slash at the end; None for no check.",
        id="clerksync.E012",
    )
    for value in (issuer, [issuer, "https://clerk.harbour.test"]):
        settings.CLERKSYNC_ISSUER = value
        assert check_issuer(None) == [message]


@pytest.mark.parametrize(
    "value",
    [
        "",
        None,
        [],
        "https://clerk.harbour.test",
        ["https://app.harbour.test/__clerk", "http://localhost:9000"],
        7,
    ],
)
def test_issuer__sound(value: Any, settings: Any) -> None:
    """Derived, not checked, a host, a proxy's path; a wrong type is another check's."""
    settings.CLERKSYNC_ISSUER = value
    assert check_issuer(None) == []


@pytest.fixture
def _middleware(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "clerksync.middleware.ClerkMiddleware"]


@pytest.mark.usefixtures("_middleware")
def test_any_party__with_the_middleware(settings: Any) -> None:
    """Cookies are read: said before a deployment, silent once there are parties."""
    settings.CLERKSYNC_AUTHORIZED_PARTIES = ()
    assert check_any_party(None) == [
        Warning(
            "CLERKSYNC_AUTHORIZED_PARTIES is empty, so session tokens are accepted whatever site asked for them.",
            hint="List the origins of your front ends. A site on a neighbouring subdomain could otherwise "
            "plant the cookie of a session that is not the visitor's.",
            id="clerksync.W005",
        )
    ]
    settings.CLERKSYNC_AUTHORIZED_PARTIES = ["https://app.harbour.test"]
    assert check_any_party(None) == []


def test_any_party__without_the_middleware(settings: Any) -> None:
    """A project that reads no cookies need not care."""
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "clerksync" not in name]
    settings.CLERKSYNC_AUTHORIZED_PARTIES = ()
    assert check_any_party(None) == []


@pytest.mark.usefixtures("_middleware")
@pytest.mark.parametrize("deploying", [False, True])
def test_any_party__of_deployments_only(deploying: bool, settings: Any) -> None:  # noqa: FBT001  # as above
    """A development server is not bothered."""
    settings.CLERKSYNC_AUTHORIZED_PARTIES = ()
    found = run_checks(tags=["clerksync"], include_deployment_checks=deploying)
    assert ("clerksync.W005" in {message.id for message in found}) is deploying
