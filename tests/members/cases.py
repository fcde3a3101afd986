"""Linking to user models of a project's own."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.test import override_settings

from clerksync import linking
from clerksync.linkruns import link_all
from clerksync.models import ClerkUser
from tests.admin.staff import add_user

pytestmark = pytest.mark.django_db

User: Any = get_user_model()
IS_MEMBER = User.__name__ == "Member"
member = pytest.mark.skipif(not IS_MEMBER, reason="about the model Member")
resident = pytest.mark.skipif(IS_MEMBER, reason="about the model Resident")
ADA, OTTO = "ada@harbour-works.io", "otto@harbour-works.io"


def linking_on(*rules: str, **fields: Any) -> override_settings:
    """Linking by these rules, with these USER_FIELDS."""
    return override_settings(CLERKSYNC_LINK_USERS=True, CLERKSYNC_LINK_BY=rules, CLERKSYNC_USER_FIELDS=fields)


def add_row(clerk_id: str, **columns: Any) -> ClerkUser:
    """A row as the mirror writes it."""
    return add_user(clerk_id, **{"revision": 1, "email_verified": True} | columns)


def add_theirs(name: str, email: str | None, **fields: Any) -> Any:
    """A Django user from before there was Clerk."""
    return User.objects.create(email=email, **{"name" if IS_MEMBER else "code": name}, **fields)


@linking_on("external_id", "placeholder_email", "verified_email")
def test_checks__sound() -> None:
    """The rules are possible with this model."""
    found = run_checks(tags=["clerksync"])
    assert [message for message in found if (message.id or "").startswith("clerksync.E")] == []


@linking_on("external_id")
def test_external_id__their_key() -> None:
    """The external id is read as their key is written; for a UUID case does not matter, for a word it does."""
    ada = add_theirs("ada", ADA)
    assert linking.user_for(add_row("user_b", external_id="7")) != ada
    assert linking.user_for(add_row("user_a", external_id=str(ada.pk)), create=False) == ada
    ClerkUser.objects.filter(pk="user_a").update(user=None)
    ClerkUser.objects.filter(pk="user_a").update(external_id=str(ada.pk).upper())
    assert linking.user_for(ClerkUser.objects.get(pk="user_a"), create=False) == (ada if IS_MEMBER else None)


@linking_on("verified_email")
def test_email__linked_and_told_once() -> None:
    """Everybody is linked by address."""
    ada, otto = add_theirs("ada", ADA), add_theirs("otto", OTTO.upper())
    add_row("user_a", email=ADA)
    add_row("user_o", email=OTTO)
    report = link_all()
    assert (report.linked, report.problems) == (2, [])
    assert ada.clerk_user.pk == "user_a"
    assert otto.clerk_user.pk == "user_o"


@member
@linking_on("verified_email")
def test_staff__by_property() -> None:
    """Staff is what the model says it is, also by a property."""
    add_theirs("boss", ADA, boss=True)
    add_row("user_a", email=ADA)
    (problem,) = link_all().problems
    assert problem.kind == "staff"


@member
@linking_on()
def test_required__told() -> None:
    """A model that insists on more gets no new user, and the reason names the field."""
    add_row("user_a", email=ADA)
    (problem,) = link_all(create=True).problems
    assert (problem.kind, problem.reason) == (
        "not_created",
        "members.Member needs: name (blank); see CLERKSYNC_USER_FIELDS",
    )
    assert not User.objects.exists()


@member
@linking_on(name="full_name")
def test_required__mapped() -> None:
    """With the field mapped there is one; an address that nobody has verified is no name to be known by."""
    add_row("user_a", email=ADA, first_name="Ada", last_name="Marsh")
    add_row("user_b", email=OTTO, first_name="Otto", email_verified=False)
    report = link_all(create=True)
    assert report.created == 1
    assert [problem.reason for problem in report.problems] == [
        "members.Member needs: email (blank); see CLERKSYNC_USER_FIELDS"
    ]
    user = User.objects.get()
    assert (user.email, user.name, user.has_usable_password()) == (ADA, "Ada Marsh", False)


@member
@linking_on(email="email", name="full_name", handle="username")
def test_left__field_by_field() -> None:
    """What only the database knows costs its field alone; an address swap converges."""
    ada, otto = add_theirs("ada", OTTO), add_theirs("otto", ADA)
    add_theirs("eve", "eve@harbour-works.io", handle="Marsh")
    add_row("user_a", user=ada, email=ADA, first_name="Ada", username="marsh")
    add_row("user_o", user=otto, email=OTTO, first_name="O" * 21, username="otto")
    problems = {(problem.clerk_id, problem.field): problem.reason for problem in link_all().problems}
    assert problems.pop(("user_o", "name")) == "longer than 20 characters"
    assert ("user_a", "handle") in problems
    link_all()
    ada.refresh_from_db()
    otto.refresh_from_db()
    assert (ada.name, ada.handle, otto.handle) == ("Ada", None, "otto")
    ClerkUser.objects.filter(pk="user_a").update(username="ada")
    link_all()
    assert sorted(User.objects.values_list("email", "handle")) == [
        (ADA, "ada"),
        ("eve@harbour-works.io", "Marsh"),
        (OTTO, "otto"),
    ]


@member
@linking_on()
def test_active__no_such_field() -> None:
    """A model without the column is left alone."""
    add_row("user_a", user=add_theirs("ada", ADA), banned=True)
    assert link_all().problems == []


@resident
@linking_on(email="email")
def test_null__held() -> None:
    """A column that takes NULL gets it, and so lets go of an address for another."""
    ada, otto = add_theirs("ada", ADA), add_theirs("otto", OTTO)
    add_row("user_a", user=ada, email=None)
    add_row("user_o", user=otto, email=ADA)
    assert link_all().problems == []
    assert sorted(User.objects.values_list("code", "email")) == [("ada", None), ("otto", ADA)]


@resident
@linking_on()
def test_created__key_is_the_clerk_id() -> None:
    """The name is the key; an address that another has is left out and told."""
    add_theirs("ada", ADA)
    add_row("user_a", email=ADA, banned=True)
    report = link_all(create=True)
    assert [(problem.kind, problem.field, problem.reason) for problem in report.problems] == [
        ("left", "email", "another Django user has it")
    ]
    user = User.objects.get(pk="user_a")
    assert (user.email, user.is_active) == (None, False)
