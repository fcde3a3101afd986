"""CLERKSYNC_LINK_BY: who is linked to whom, and who never is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import CharField, Value
from django.db.models.functions import Cast, Concat
from django.test.utils import CaptureQueriesContext, override_settings

from clerksync import linking
from clerksync.linkreports import ProblemKind
from clerksync.linkruns import link_all
from clerksync.matching import match
from clerksync.models import ClerkUser
from tests.links import add_django_user, add_row, linked_to, linking_on
from tests.profiles import pick

pytestmark = pytest.mark.django_db

ID = "user_2mQzLrTgXbVnKcPdWsYjHfEoAuI"
ADA = "ada@harbour-works.io"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def verdict(row: ClerkUser) -> tuple[str | None, ProblemKind | None]:
    """The username of the Django user that is found, and why it is not linked."""
    found = match([row]).get(row.pk)
    if found is None:
        return None, None
    return getattr(found.user, "username", None), found.kind


@linking_on("field:last_name")
def test_field__exactly() -> None:
    """A column of theirs that holds the Clerk id, to the letter."""
    add_django_user("upper", last_name=ID.upper())
    assert verdict(row := add_row(ID)) == (None, None)
    add_django_user("right", last_name=ID)
    assert verdict(row) == ("right", None)
    add_django_user("again", last_name=ID)
    assert verdict(row) == (None, ProblemKind.AMBIGUOUS)


@linking_on("external_id")
@pytest.mark.parametrize("written", ["{}", "0{}", " {}", "+{}", "{}.0", "{}x"])
def test_external_id__as_written(written: str) -> None:
    """The primary key, written as theirs are and in no other way."""
    user = add_django_user("ada")
    row = add_row(ID, external_id=written.format(user.pk))
    assert verdict(row) == (("ada", None) if written == "{}" else (None, None))


@linking_on("external_id")
@pytest.mark.parametrize("text", ["9" * 40, "-1", "", None, "\u0661"])
def test_external_id__no_key(text: str | None) -> None:
    """What is no primary key of theirs fits nobody, and no database fails over it."""
    add_django_user("ada", pk=1)
    assert verdict(add_row(ID, external_id=text)) == (None, None)


@linking_on("external_id")
def test_external_id__of_two() -> None:
    """An external id that two rows have says nothing, until a sync tells which of them is out of date."""
    user = add_django_user("ada")
    first, second = (add_row(name, external_id=str(user.pk)) for name in ("user_a", "user_b"))
    assert verdict(first) == verdict(second) == (None, ProblemKind.AMBIGUOUS)
    ClerkUser.objects.filter(pk="user_b").update(external_id=None)
    assert verdict(first) == ("ada", None)


@linking_on("placeholder_email")
@pytest.mark.parametrize(
    ("email", "fits"),
    [
        (f"{ID}@example.com", True),
        (f"{ID.lower()}@example.com", True),
        (f"{ID}@placeholder.EXAMPLE.org", True),
        (f"{ID}@clerk.invalid", True),
        (f"{ID}@harbour-works.io", False),
        (f"{ID}@example.com.harbour-works.io", False),
        (f"x{ID}@example.com", False),
        (f"{ID}x@example.com", False),
        (ID, False),
        (f"{ID}@", False),
    ],
)
def test_placeholder_email__reserved_domains(email: str, fits: bool) -> None:  # noqa: FBT001  # of the table
    """The Clerk id before the @, and behind it a domain that no mail can reach."""
    add_django_user("ada", email=email)
    add_django_user("another", email="")
    assert verdict(add_row(ID)) == (("ada", None) if fits else (None, None))


@linking_on("placeholder_email:users.harbour-works.io")
def test_placeholder_email__own_domain() -> None:
    """Another domain can be named, and then it is the only one."""
    add_django_user("ada", email=f"{ID}@Users.Harbour-Works.io")
    add_django_user("eve", email=f"{ID}@example.com")
    assert verdict(add_row(ID)) == ("ada", None)


@linking_on("placeholder_email")
def test_placeholder_email__case() -> None:
    """Ids that differ by case only fit nobody: their program may have lowered the case."""
    upper = add_row("user_AB")
    add_django_user("ada", email="user_AB@example.com")
    assert verdict(upper) == ("ada", None)
    assert verdict(add_row("user_ab")) == verdict(upper) == (None, ProblemKind.AMBIGUOUS)


@linking_on("verified_email")
@pytest.mark.parametrize(
    ("theirs", "columns", "found"),
    [
        (ADA, {"email": ADA}, ("ada", None)),
        ("Ada@Harbour-Works.io", {"email": "aDA@harbour-works.IO"}, ("ada", None)),
        ("ädA@harbour-works.io", {"email": "ädA@harbour-works.io"}, ("ada", None)),
        (ADA, {"email": ADA, "email_verified": False}, (None, None)),
        ("", {"email": None, "email_verified": True}, (None, None)),
        ("kim@harbour-works.io", {"email": "\u212aim@harbour-works.io"}, (None, None)),
        (f" {ADA}", {"email": ADA}, (None, None)),
    ],
)
def test_verified_email__only_verified(theirs: str, columns: dict[str, Any], found: object) -> None:
    """Only an address that Clerk has verified, whatever its case, and no letter that only looks alike."""
    add_django_user("ada", email=theirs)
    assert verdict(add_row(ID, **columns)) == found


@linking_on("verified_email")
def test_verified_email__of_two() -> None:
    """An address that two Django users have, or two rows, links nobody."""
    add_django_user("ada", email=ADA)
    row = add_row("user_a", email=ADA)
    assert verdict(row) == ("ada", None)
    second = add_django_user("ada2", email=ADA.upper())
    assert verdict(row) == (None, ProblemKind.AMBIGUOUS)
    second.delete()
    add_row("user_b", email=ADA)
    assert verdict(row) == (None, ProblemKind.AMBIGUOUS)


@pytest.mark.parametrize("rights", [{"is_staff": True}, {"is_superuser": True}])
@pytest.mark.parametrize("rule", ["verified_email", "placeholder_email", "external_id", "field:last_name"])
def test_staff__never_by_email(rule: str, rights: dict[str, bool]) -> None:
    """Whoever has an address verified does not get the rights of staff; the other rules may link it."""
    email = f"{ID}@example.com" if rule == "placeholder_email" else ADA
    boss = add_django_user("boss", email=email, last_name=ID, **rights)
    with linking_on(rule):
        row = add_row(ID, email=ADA, external_id=str(boss.pk))
        user = linking.user_for(row)
    assert isinstance(user, User)
    assert user.username == (ID if rule.endswith("email") else "boss")
    assert user.is_staff is (not rule.endswith("email") and boss.is_staff)


@pytest.mark.parametrize(
    "before", [{"email": ADA, "email_verified": False}, {"email": "elsewhere@harbour-works.io"}]
)
@linking_on("verified_email")
def test_taken__deleted_user_never_had_the_address(before: dict[str, Any]) -> None:
    """Who is deleted leaves the Django user to the owner of an address only after having proven it, too.

    Otherwise a stranger could sign up with an address, prepare the Django user and leave it behind.
    """
    ada = add_django_user("ada", email=ADA)
    add_row("user_a", user=ada, state="deleted", **before)
    assert verdict(add_row("user_b", email=ADA)) == (None, None)


@linking_on("verified_email")
def test_taken__not_twice() -> None:
    """A Django user who is linked stays linked; another row that has the address waits for a sync."""
    ada = add_django_user("ada", email=ADA)
    linking.user_for(add_row("user_a", email=ADA))
    ClerkUser.objects.filter(pk="user_a").update(email_verified=False)
    newer = add_row("user_b", email=ADA)
    assert verdict(newer) == ("ada", ProblemKind.TAKEN)
    assert linking.user_for(newer) is None
    ClerkUser.objects.filter(pk="user_a").update(email="ada@tidegate-press.com")
    assert verdict(newer) == (None, None)
    created = linking.user_for(newer)
    assert created is not None
    assert created.pk != ada.pk


@linking_on("verified_email")
def test_tombstone__lets_go() -> None:
    """Who is deleted at Clerk and comes back under a new id and the same address is the same Django user."""
    ada = add_django_user("ada", email=ADA)
    old = add_row("user_a", email=ADA)
    linking.user_for(old)
    ClerkUser.objects.filter(pk="user_a").update(state="deleted")
    linking.keep_in_step(ClerkUser, clerk_ids=["user_a"])
    ada.refresh_from_db()
    assert not ada.is_active
    user = linking.user_for(add_row("user_b", email=ADA))
    assert user == ada
    assert (user.is_active, linked_to("user_a"), linked_to("user_b")) == (True, None, "ada")


@linking_on("external_id", "verified_email")
def test_order__first_rule_that_fits() -> None:
    """The rules are asked in their order; one that fits several ends the search."""
    by_email, by_id = add_django_user("one", email=ADA), add_django_user("two")
    row = add_row(ID, email=ADA, external_id=str(by_id.pk))
    assert verdict(row) == ("two", None)
    row.external_id = None
    assert verdict(row) == ("one", None)
    assert by_email.pk != by_id.pk


@linking_on("verified_email")
def test_incomplete__waits() -> None:
    """For one who is known by the id only nobody is created while a rule might still find somebody."""
    row = add_row(ID, state="incomplete", email_verified=False)
    assert linking.user_for(row) is None
    with linking_on("placeholder_email"):
        user = linking.user_for(row)
    assert isinstance(user, User)
    assert user.username == ID


LEGACY = pick(short=3_000, long=20_000)
RULES = ("field:last_name", "external_id", "placeholder_email", "verified_email")


def add_legacy() -> None:
    """As many users on both sides; every tenth has an unverified address at Clerk."""
    numbers = range(1, LEGACY + 1)
    ids = {number: f"user_{number:027d}" for number in numbers}
    User.objects.bulk_create(
        User(
            id=number,
            username=f"u{number}",
            last_name=ids[number],
            email=f"{ids[number]}@example.com".lower(),
        )
        for number in numbers
    )
    ClerkUser.objects.bulk_create(
        ClerkUser(
            clerk_id=ids[number],
            state="active",
            revision=1,
            email=f"person{number}@harbour-works.io",
            email_verified=number % 10 != 0,
            external_id=str(number),
            first_seen=NOW,
            last_written=NOW,
        )
        for number in numbers
    )


def test_legacy__everybody() -> None:
    """Thousands of Django users are linked by each rule, each to the right row, none by an unverified address."""
    add_legacy()
    for rule in RULES:
        left = 0
        if rule == "verified_email":
            User.objects.update(
                email=Concat(Value("Person"), Cast("id", CharField()), Value("@harbour-works.io"))
            )
            left = LEGACY // 10
        with transaction.atomic(), linking_on(rule), CaptureQueriesContext(connection) as queries:
            report = link_all()
            pairs = list(ClerkUser.objects.filter(user__isnull=False).values_list("external_id", "user_id"))
            transaction.set_rollback(True)
        assert (report.linked, report.unmatched, report.problems) == (LEGACY - left, left, [])
        assert [pair for pair in pairs if pair[0] != str(pair[1])] == []
        assert len(pairs) == LEGACY - left
        assert rule != "verified_email" or all(number % 10 for _, number in pairs)
        assert len(queries) <= LEGACY / 500 * 14 + 10


@override_settings(CLERKSYNC_REAL_DOMAINS=["example.com"])
@linking_on("placeholder_email")
def test_placeholder_email__real_domain() -> None:
    """A domain that the project calls real holds no placeholders."""
    add_django_user("ada", email=f"{ID}@example.com")
    assert verdict(add_row(ID)) == (None, None)
