"""CLERKSYNC_USER_FIELDS: what Django users take over, and what is left and told."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db import connection, transaction

from clerksync import linking
from clerksync.linkreports import Problem, ProblemKind
from clerksync.linkruns import link_all
from clerksync.models import ClerkUser
from tests.links import add_django_user, add_row, linking_on

pytestmark = pytest.mark.django_db

ADA, OTTO = "ada@harbour-works.io", "otto@harbour-works.io"


def add_pair(name: str, theirs: dict[str, Any] | None = None, **columns: Any) -> User:
    """A row, linked to a Django user."""
    user = add_django_user(name, **(theirs or {}))
    add_row(f"user_{name}", user=user, **columns)
    return user


def values(name: str) -> list[Any]:
    """The values of all Django users in this field, in the order of their names."""
    return list(User.objects.order_by("pk").values_list(name, flat=True))


def left(field: str, reason: str, *, clerk_id: str = "user_ada") -> Problem:
    """What is told of a value that was left."""
    return Problem(clerk_id, ProblemKind.LEFT, reason, field)


@linking_on(email="email", first_name=("first_name", "always"))
def test_always__replaced() -> None:
    """What the rule always takes over replaces whatever is there; other fields are nobody's business."""
    add_pair("ada", {"email": "old@harbour-works.io", "last_name": "Marsh"}, email=ADA, first_name="Ada")
    report = link_all()
    user = User.objects.get()
    assert (report.updated, report.problems) == (1, [])
    assert (user.email, user.first_name, user.last_name) == (ADA, "Ada", "Marsh")
    assert link_all().updated == 0


@linking_on(email=("email", "blank"), first_name=("first_name", "blank"), last_name=("last_name", "blank"))
@pytest.mark.parametrize(
    ("theirs", "becomes"),
    [
        ({}, (ADA, "Ada", "Marsh")),
        ({"email": "user_ada@example.com"}, (ADA, "Ada", "Marsh")),
        ({"first_name": "New", "last_name": "User"}, (ADA, "Ada", "Marsh")),
        ({"first_name": "New", "last_name": "Marshall"}, (ADA, "New", "Marshall")),
        ({"email": OTTO, "first_name": " "}, (OTTO, "Ada", "Marsh")),
    ],
)
def test_blank__only_then(theirs: dict[str, str], becomes: tuple[str, ...]) -> None:
    """A rule for blank fields also replaces placeholders, and nothing that somebody has entered."""
    add_pair("ada", theirs, email=ADA, first_name="Ada", last_name="Marsh")
    assert link_all().problems == []
    user = User.objects.get()
    assert (user.email, user.first_name, user.last_name) == becomes


def shout(row: ClerkUser, user: AbstractBaseUser) -> str:
    """A callable for USER_FIELDS."""
    return f"{row.first_name} of {user.get_username()}".upper()


def fail(row: ClerkUser, user: AbstractBaseUser) -> str:
    """One with an error."""
    raise KeyError(row.email)


@pytest.mark.parametrize("source", [shout, "tests.test_userwrites.shout"])
def test_callable__decides(source: Any) -> None:
    """A callable, or its dotted path, gets the row and the Django user."""
    add_pair("ada", first_name="Ada")
    with linking_on(first_name=source):
        assert link_all().problems == []
    assert values("first_name") == ["ADA OF ADA"]


@linking_on(first_name=fail, last_name="last_name")
def test_callable__fails(caplog: pytest.LogCaptureFixture) -> None:
    """One that fails costs its field, and nothing else."""
    add_pair("ada", {"first_name": "Old"}, email=ADA, last_name="Marsh")
    assert link_all().problems == [left("first_name", "the callable failed (KeyError)")]
    assert (values("first_name"), values("last_name")) == (["Old"], ["Marsh"])
    assert "first_name in CLERKSYNC_USER_FIELDS failed" in caplog.text


@linking_on(is_staff=lambda row, user: row.public_metadata.get("staff") is True)
def test_callable__rights() -> None:
    """Rights come from Clerk only if a callable says so."""
    add_pair("ada", public_metadata={"staff": True})
    link_all()
    assert values("is_staff") == [True]


@linking_on(email="email", first_name="first_name", last_name="last_name")
def test_left__null_and_long() -> None:
    """What the column cannot hold is told and left; the other fields are written."""
    add_pair("ada", {"email": ADA, "first_name": "Old"}, email=None, first_name="A" * 151, last_name="Marsh")
    assert link_all().problems == [
        left("email", "Clerk has none, and NULL is not allowed"),
        left("first_name", "longer than 150 characters"),
    ]
    assert (values("email"), values("first_name"), values("last_name")) == ([ADA], ["Old"], ["Marsh"])


@linking_on(email="email")
def test_null__where_theirs_is_blank() -> None:
    """A user without an address is no problem of a column that is blank."""
    add_pair("ada", email=None)
    assert link_all().problems == []
    assert values("email") == [""]


@linking_on(email="email")
def test_left__no_address() -> None:
    """What the model's own validators refuse is left, and the value is told nowhere."""
    add_pair("ada", {"email": ADA}, email="not an address")
    assert link_all().problems == [left("email", "not valid there (invalid)")]
    assert values("email") == [ADA]


@linking_on(username="username")
def test_unique__held_by_another() -> None:
    """A unique value of somebody who is not linked is left."""
    stranger = add_django_user("marsh")
    add_pair("ada", username="marsh")
    assert link_all().problems == [left("username", f"another Django user has it ({stranger.pk})")]
    assert values("username") == ["marsh", "ada"]


@linking_on(username="username")
def test_unique__changes_places() -> None:
    """Two users who swap a unique value both get it, and so do three in a ring."""
    for name, next_name in (("a", "b"), ("b", "a"), ("c", "d"), ("d", "e"), ("e", "c")):
        add_pair(name, username=next_name)
    assert link_all().problems == []
    assert values("username") == ["b", "a", "d", "e", "c"]


@linking_on(username="username")
def test_unique__moves_on() -> None:
    """One user's value is claimed, although only the claimant was written: the other is brought along."""
    add_pair("ada", username="marsh")
    add_pair("marsh", username="otto")
    linking.keep_in_step(ClerkUser, clerk_ids=["user_ada"])
    assert values("username") == ["marsh", "otto"]


@linking_on(username="username")
def test_unique__chain_that_ends_blocked() -> None:
    """Nobody lets go of what they cannot replace: the whole chain stays."""
    add_django_user("stranger")
    add_pair("ada", username="otto")
    add_pair("otto", username="stranger")
    assert {problem.clerk_id for problem in link_all().problems} == {"user_ada", "user_otto"}
    assert values("username") == ["stranger", "ada", "otto"]


@linking_on(username="username")
def test_unique__two_claim() -> None:
    """Of two rows with the same value the one that Clerk changed later gets it."""
    add_pair("ada", username="marsh", updated_ms=2)
    add_pair("otto", username="marsh", updated_ms=1)
    problem = left("username", "another user of Clerk has it as well", clerk_id="user_otto")
    assert link_all().problems == [problem]
    assert values("username") == ["marsh", "otto"]


@linking_on(username="username", first_name="first_name")
def test_unique__across_batches() -> None:
    """A swap of which only one side was written converges, too, with whatever else is new."""
    add_pair("a", username="b", first_name="Ada")
    add_pair("b", username="a", first_name="Bert")
    linking.keep_in_step(ClerkUser, clerk_ids=["user_a"])
    assert (values("username"), values("first_name")) == (["b", "a"], ["Ada", "Bert"])


@linking_on(email="email")
def test_dry_run__tells_the_same() -> None:
    """A dry run counts what would be done and writes nothing."""
    add_pair("ada", email=ADA)
    add_pair("otto", {"email": OTTO}, email=None)
    dry = link_all(dry_run=True)
    assert values("email") == ["", OTTO]
    assert dry == link_all()
    assert values("email") == [ADA, OTTO]


@pytest.mark.django_db(transaction=True)
@linking_on(username="username")
def test_places__two_writers() -> None:
    """Who writes two users takes them in one order, whoever of them comes first: others may want both as well."""
    if not connection.features.has_select_for_update:
        pytest.skip("SQLite has no locks of rows, and one writer at a time")
    first, second = add_pair("ada", username="otto"), add_pair("otto", username="ada")

    def change_places() -> None:
        try:
            linking.keep_in_step(ClerkUser, clerk_ids=["user_otto"])
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            User.objects.select_for_update().get(pk=first.pk)
            other = thread.submit(change_places)
            time.sleep(0.5)
            User.objects.select_for_update().get(pk=second.pk)
        other.result()
    assert values("username") == ["otto", "ada"]
