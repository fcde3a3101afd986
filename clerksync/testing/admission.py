"""What Clerk asks of every request before it looks at the path: a version that it knows, and the right key."""

from __future__ import annotations

from clerksync.testing.wire import Refusal, Request

API_VERSIONS = ("2021-02-05", "2024-10-01", "2025-04-10", "2025-11-10", "2026-05-12")


def check_version(request: Request) -> None:
    """Refuse a request that names an unknown version of the API, or two."""
    header = request.header("Clerk-API-Version")
    versions = [value for name, value in request.query if name == "__clerk_api_version"]
    asked = versions + ([] if header is None else [header])
    if len(asked) > 1 or any(version not in API_VERSIONS for version in asked):
        raise Refusal(400, code="api_version_invalid", message="Invalid API version")


def check_key(request: Request, *, secret_key: str) -> None:
    """Refuse a request without the key."""
    scheme, _, key = (request.header("Authorization") or "").partition(" ")
    if not scheme:
        raise Refusal(401, code="authentication_invalid", message="Invalid authentication")
    if scheme.lower() != "bearer" or not key:
        raise Refusal(401, code="authorization_header_format_invalid", message="Invalid Authorization")
    if key != secret_key:
        raise Refusal(401, code="clerk_key_invalid", message="The provided Clerk Secret Key is invalid.")
