"""What a publishable key tells."""

from __future__ import annotations

import pytest

from clerksync import publishable_key

LIVE = "pk_live_Y2xlcmsuY2xlcmsuZGV2JA"
TEST = "pk_test_Y2xlcmsuY2xlcmsuZGV2JA"


@pytest.mark.parametrize(("key", "suffix"), [(LIVE, "1Z8AzTQD"), (TEST, "QvfNY2dr")])
def test_cookie_suffix__published_vectors(key: str, suffix: str) -> None:
    """The vectors of Clerk's own tests."""
    assert publishable_key.cookie_suffix(key) == suffix


@pytest.mark.parametrize("key", [LIVE, TEST, LIVE + "=="])
def test_frontend_host__named(key: str) -> None:
    """The host is in the key, padded or not, and issues the tokens."""
    assert publishable_key.frontend_host(key) == "clerk.clerk.dev"
    assert publishable_key.issuer(key) == "https://clerk.clerk.dev"


@pytest.mark.parametrize(("key", "kind"), [(LIVE, "live"), (TEST, "test"), ("sk_live_abc", None), ("", None)])
def test_kind__of_the_instance(key: str, kind: str | None) -> None:
    """Development or production."""
    assert publishable_key.kind(key) == kind


@pytest.mark.parametrize(
    "key",
    [
        "",
        "pk_live_",
        "pk_live_Y2xlcmsuY2xlcmsuZGV2",  # no $
        "pk_live_Y2xlcmsuY2xlcmsuZGV2JCQ",  # two
        "pk_live_bG9jYWxob3N0JA",  # no dot
        "pk_live_Y2xlcmsuY2xlcmsuZGV2JA\n",
        "pk_live_Y2xlcmsgLmRldiQ",  # a space
    ],
)
def test_frontend_host__malformed(key: str) -> None:
    """Nothing is guessed."""
    assert publishable_key.frontend_host(key) is None
    assert publishable_key.issuer(key) is None
