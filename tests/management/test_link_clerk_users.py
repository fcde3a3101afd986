"""``manage.py link_clerk_users``."""

from __future__ import annotations

import csv
import io

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from clerksync.models import ClerkUser
from tests.links import add_django_user, add_row, linked_to, linking_on

pytestmark = pytest.mark.django_db

ADA, OTTO = "ada@harbour-works.io", "otto@harbour-works.io"


def link(*arguments: str) -> tuple[int, str, str]:
    """The exit status, standard output and standard error of the command."""
    out, err = io.StringIO(newline=""), io.StringIO()
    status = 0
    try:
        call_command("link_clerk_users", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        status = error.returncode
        err.write(str(error))
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def _people() -> None:
    add_django_user("ada", email=ADA)
    add_row("user_a", email=ADA)
    add_row("user_b", email="bert@harbour-works.io")
    for name in ("otto", "otto2"):
        add_django_user(name, pk=len(name) + 900_000, email=OTTO)
    add_row("user_o", email=OTTO)
    add_row("user_z", state="deleted", email=None)


@pytest.mark.usefixtures("_people")
def test_dry_run__as_promised() -> None:
    """What would be done, also while linking is off, and nothing is written."""
    told = "user_o ambiguous: verified_email: Django users 900004, 900005\n"
    with override_settings(CLERKSYNC_LINK_BY=["verified_email"]):
        assert link("--dry-run") == (
            1,
            f"{told}would link 1, create 0, without a Django user 1, ambiguous 1\n",
            "something was left; it is listed above",
        )
        assert link("--dry-run", "--create")[1] == f"{told}would link 1, create 1, ambiguous 1\n"
    assert not ClerkUser.objects.filter(user__isnull=False).exists()
    assert User.objects.count() == 3


@pytest.mark.usefixtures("_people")
@linking_on("verified_email")
def test_link__and_create() -> None:
    """Those who fit are linked, the others get a Django user if asked; who is ambiguous is left."""
    assert link("--create")[1].splitlines()[-1] == "linked 1, created 1, ambiguous 1"
    assert [linked_to(f"user_{letter}") for letter in "aboz"] == ["ada", "user_b", None, None]
    User.objects.get(username="otto2").delete()
    assert link() == (0, "linked 1, created 0, already linked 2, ambiguous 0\n", "")
    assert link() == (0, "linked 0, created 0, already linked 3, ambiguous 0\n", "")


@pytest.mark.usefixtures("_people")
@linking_on("verified_email")
def test_csv__of_what_was_left() -> None:
    """The table is on standard output and nothing else; the sum is on standard error."""
    status, out, err = link("--format", "csv")
    assert status == 1
    assert list(csv.reader(io.StringIO(out, newline=""))) == [
        ["clerk_id", "kind", "field", "reason"],
        ["user_o", "ambiguous", "", "verified_email: Django users 900004, 900005"],
    ]
    assert err.startswith("linked 1, created 0, without a Django user 1, ambiguous 1\n")


def test_off__refused() -> None:
    """Nothing is linked while linking is off."""
    add_row("user_a")
    status, out, err = link("--create")
    assert (status, out) == (2, "")
    assert err == "CLERKSYNC_LINK_USERS is off; turn it on, or look first with --dry-run"
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"CLERKSYNC_LINK_BY": ["email"]}, "CLERKSYNC_LINK_BY has no rule 'email'."),
        ({"CLERKSYNC_USER_FIELDS": {"email": "mail"}}, "a user of Clerk has no 'mail'"),
    ],
)
def test_settings__wrong(settings: dict[str, object], named: str) -> None:
    """A setting that cannot work ends the command with 2, and says what there is."""
    with override_settings(**settings):
        status, _, err = link("--dry-run")
    assert status == 2
    assert named in err


@linking_on(email="email")
def test_left__told_until_mended() -> None:
    """What a Django user's table cannot hold is told by each run, without the values."""
    add_row("user_a", email=None, user=add_django_user("ada", email=ADA))
    told = "user_a left email: Clerk has none, and NULL is not allowed\n"
    for _ in range(2):
        status, out, _ = link()
        assert (status, out) == (1, f"{told}linked 0, created 0, already linked 1, ambiguous 0, left 1\n")
    User.objects.update(email="")
    assert link()[0] == 0
