"""The system checks of linking."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Error
from django.test import override_settings

from clerksync import link_checks
from tests.links import linking_on
from tests.routers import use_database

RULES = 'There are: "field:NAME", "external_id", "placeholder_email" and "verified_email".'


@pytest.mark.parametrize("rule", ["email", "field", "field:", "external_id:x", "verified_email:x", ""])
def test_rules__unknown(rule: str) -> None:
    """A rule that there is not is an error that names those that there are."""
    with linking_on("external_id", rule):
        found = link_checks.check_link_rules(None)
    assert found == [Error(f"CLERKSYNC_LINK_BY has no rule {rule!r}.", hint=RULES, id="clerksync.E020")]


@pytest.mark.parametrize("name", ["clerk_id", "is_staff", "groups", "clerk_user"])
def test_rules__no_column(name: str) -> None:
    """The column that a rule goes by has to be there, and hold text."""
    rule = f"field:{name}"
    why = f"CLERKSYNC_LINK_BY has the rule {rule!r}, but auth.User has no column of text {name!r}."
    with linking_on(rule):
        assert link_checks.check_link_rules(None) == [Error(why, hint=RULES, id="clerksync.E020")]


@linking_on("field:last_name", "external_id", "placeholder_email", "placeholder_email:x.io", "verified_email")
def test_rules__sound() -> None:
    """All rules that there are."""
    assert link_checks.check_link_rules(None) == []


@pytest.mark.parametrize(
    ("target", "source", "problem"),
    [
        ("nickname", "username", "auth.User has no such column of values"),
        ("groups", "username", "auth.User has no such column of values"),
        ("id", "external_id", "auth.User has no such column of values"),
        ("email", "e_mail", "a user of Clerk has no 'e_mail'"),
        ("email", ("digest", "blank"), "a user of Clerk has no 'digest'"),
        ("is_staff", "banned", "this never comes from Clerk, but for a callable of yours"),
        ("is_superuser", "banned", "this never comes from Clerk, but for a callable of yours"),
        ("password", "email", "this never comes from Clerk, but for a callable of yours"),
        ("email", "no.such.path", "the dotted path leads nowhere"),
        ("email", "tests.databases.KINDS", "the dotted path leads to nothing that can be called"),
    ],
)
def test_fields__wrong(target: str, source: Any, problem: str) -> None:
    """Both sides of an entry are looked at."""
    with linking_on(**{target: source}):
        (message,) = link_checks.check_user_fields(None)
    assert (message.id, message.msg) == ("clerksync.E021", f'CLERKSYNC_USER_FIELDS["{target}"]: {problem}.')
    assert message.hint is not None
    assert "full_name" in message.hint


def test_fields__sound() -> None:
    """Names, pairs, callables and dotted paths."""
    sound: dict[str, Any] = {
        "email": "email",
        "first_name": ("first_name", "blank"),
        "last_name": "tests.links.linked_to",
        "is_staff": lambda row, user: False,
    }
    with linking_on(**sound):
        assert link_checks.check_user_fields(None) == []


@override_settings(CLERKSYNC_LINK_USERS=True, AUTH_USER_MODEL="clerksync.ClerkUser")
def test_model__no_accounts() -> None:
    """A user of Clerk is no Django user."""
    (message,) = link_checks.check_user_model(None)
    assert (message.id, message.msg) == (
        "clerksync.E022",
        "CLERKSYNC_LINK_USERS is on, but AUTH_USER_MODEL is no model of accounts.",
    )


class Apart:
    """Routes Django's users elsewhere."""

    def db_for_write(self, model: Any, **hints: object) -> str:
        """To ``other``."""
        return "other" if model._meta.app_label == "auth" else "default"


@override_settings(DATABASE_ROUTERS=["tests.test_link_checks.Apart"])
def test_model__in_another_database() -> None:
    """No foreign key leaves its database."""
    assert link_checks.check_user_model(None) == []
    with linking_on():
        (message,) = link_checks.check_user_model(None)
    assert message.id == "clerksync.E023"


@linking_on()
def test_model__moved_together() -> None:
    """Both in whatever database."""
    with use_database("other"):
        assert link_checks.check_user_model(None) == []
