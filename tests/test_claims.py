"""What a token says, in one shape for both versions."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clerksync.claims import Claims

BASE = {"sub": "user_1", "sid": "sess_1", "iat": 1, "exp": 61}
V1 = {
    "org_id": "org_1",
    "org_slug": "quay",
    "org_role": "org:admin",
    "org_permissions": ["org:teams:read", "org:dashboard:manage", "org:dashboard:read"],
}
V2 = {
    "v": 2,
    "fea": "o:dashboard,o:teams",
    "o": {"id": "org_1", "slg": "quay", "rol": "admin", "per": "manage,read", "fpm": "3,2"},
}


def organisation(**claims: Any) -> tuple[Any, ...]:
    """What is read of an organisation."""
    read = Claims.of(BASE | claims)
    return read.org_id, read.org_slug, read.org_role, sorted(read.org_permissions)


def permissions(features: Any, names: Any, masks: Any) -> list[str]:
    """The permissions of version 2."""
    org = {"id": "org_1", "per": names, "fpm": masks}
    return sorted(Claims.of(BASE | {"v": 2, "fea": features, "o": org}).org_permissions)


def test_versions__one_shape() -> None:
    """The published example, packed and flat, reads alike."""
    expected = (
        "org_1",
        "quay",
        "org:admin",
        ["org:dashboard:manage", "org:dashboard:read", "org:teams:read"],
    )
    assert organisation(**V1) == organisation(**V2) == expected


def test_version_2__flat_claims_are_the_instances_own() -> None:
    """A user may be able to choose them, so they make nobody a member."""
    assert organisation(**V1, v=2) == (None, None, None, [])
    assert organisation(**(V2 | {"org_id": "org_2", "org_role": "org:owner"}))[:3] == (
        "org_1",
        "quay",
        "org:admin",
    )


@pytest.mark.parametrize("version", [1, 3, "2", None, True, []])
def test_version__odd(version: Any) -> None:
    """Whatever states a version is read as the packed form."""
    assert organisation(**V1, v=version) == (None, None, None, [])
    assert organisation(**(V2 | {"v": version}))[0] == "org_1"


def test_version_1__packed_claims_are_not_read() -> None:
    """Without a version an `o` is somebody's own claim."""
    assert organisation(o=V2["o"], fea=V2["fea"]) == (None, None, None, [])


def test_version_1__role_without_prefix() -> None:
    """Older instances have roles such as `admin`."""
    assert organisation(**(V1 | {"org_role": "admin"}))[2] == "org:admin"


@pytest.mark.parametrize(
    ("features", "names", "masks", "expected"),
    [
        ("o:a", "read", "1", ["org:a:read"]),
        ("o:a", "read", "0", []),
        ("o:a,o:b", "read,write", "1,2", ["org:a:read", "org:b:write"]),
        ("u:x,o:a", "read,write", "2", ["org:a:write"]),  # counted among the organisation's only
        ("o:a,u:x,o:b", "read,write", "1,2", ["org:a:read", "org:b:write"]),
        ("uo:a", "read", "1", ["org:a:read"]),
        (" o:a , o:b ", "read, write", " 1 , 3", ["org:a:read", "org:b:read", "org:b:write"]),
        ("o:a,o:b", "read", "1", ["org:a:read"]),  # fewer masks
        ("o:a", "read", "1,1", ["org:a:read"]),  # fewer features
        ("o:a", "read", "7", ["org:a:read"]),  # bits without a name
        ("o:a", "read,,write", "7", ["org:a:read", "org:a:write"]),
        ("o:", "read", "1", []),
        ("a", "read", "1", []),
        ("o:a:b", "read", "1", ["org:a:b:read"]),
    ],
)
def test_permissions__decoded(features: str, names: str, masks: str, expected: list[str]) -> None:
    """The i-th mask belongs to the i-th feature of the organisation, its lowest bit to the first name."""
    assert permissions(features, names, masks) == expected


@pytest.mark.parametrize(
    "masks", ["", "x", "-1", "1.5", "0x1", "\u0661", "1,,1", "9" * 5000, None, 1, [1], {"a": 1}]
)
def test_permissions__unreadable_masks(masks: Any) -> None:
    """Nobody has a permission that cannot be read for sure."""
    assert permissions("o:a,o:b", "read", masks) == []


@pytest.mark.parametrize(
    "value", [None, 7, True, "org_1", [], {}, {"id": None}, {"id": ""}, {"id": ["org_1"]}]
)
def test_organisation__malformed(value: Any) -> None:
    """No organisation, and no error."""
    assert organisation(v=2, o=value) == (None, None, None, [])
    if not isinstance(value, str):
        assert organisation(**(V1 | {"org_id": value})) == (None, None, None, [])


@pytest.mark.parametrize("value", [None, 7, True, [], {}, ""])
def test_role__malformed(value: Any) -> None:
    """A member without a role."""
    assert organisation(**(V1 | {"org_role": value, "org_slug": value}))[:3] == ("org_1", None, None)
    assert organisation(v=2, o={"id": "org_1", "rol": value, "slg": value})[:3] == ("org_1", None, None)


@pytest.mark.parametrize("value", [None, 7, "org:teams:read", {"org:teams:read": True}, [None, 7, [], ""]])
def test_permissions__malformed_in_version_1(value: Any) -> None:
    """A member without permissions."""
    assert organisation(**(V1 | {"org_permissions": value})) == ("org_1", "quay", "org:admin", [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    org=st.dictionaries(st.sampled_from(["id", "slg", "rol", "per", "fpm"]), JSON | st.just("a,b")), fea=JSON
)
def test_organisation__any_json(org: dict[str, Any], fea: Any) -> None:
    """Whatever stands there, nothing breaks, and the types are what they are said to be."""
    read = Claims.of(BASE | {"v": 2, "o": org, "fea": fea})
    assert all(
        value is None or isinstance(value, str) for value in (read.org_id, read.org_slug, read.org_role)
    )
    assert all(name.startswith("org:") for name in read.org_permissions)


def test_has__role_and_permission() -> None:
    """Both with and without the prefix; if both are asked for, both must hold."""
    claims = Claims.of(BASE | V2)
    assert claims.has(role="admin")
    assert claims.has(role="org:admin", permission="org:teams:read")
    assert claims.has(permission="teams:read")
    assert not claims.has(role="member", permission="org:teams:read")
    assert not claims.has(role="admin", permission="org:teams:manage")
    assert not claims.has(role="", permission="org:teams:read")


def test_has__nobody_without_an_organisation() -> None:
    """Roles and permissions are an organisation's."""
    claims = Claims.of(dict(BASE))
    assert not claims.has(role="admin")
    assert not claims.has(permission="teams:read")


def test_has__nothing_asked() -> None:
    """A guard without a condition is a mistake."""
    with pytest.raises(TypeError, match="role or a permission"):
        Claims.of(dict(BASE)).has()


def test_claims__frozen_and_hashable() -> None:
    """Requests with the same token share them."""
    claims = Claims.of(BASE | {"act": {"sub": "user_2"}, "custom": 1})
    assert (claims.raw["custom"], claims.actor) == (1, {"sub": "user_2"})
    assert len({claims, Claims.of(dict(claims.raw))}) == 1
    with pytest.raises(FrozenInstanceError):
        claims.user_id = "user_2"  # type: ignore[misc]
    for mapping in (claims.raw, claims.actor):
        with pytest.raises(TypeError):
            mapping["sub"] = "user_3"  # type: ignore[index]


def test_claims__shown_without_custom_ones() -> None:
    """Custom claims may hold personal data, which has no place in a log."""
    assert "a@harbour.test" not in repr(Claims.of(BASE | {"email": "a@harbour.test"}))
