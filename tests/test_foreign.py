"""Which other tables can be audited."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from clerksync import foreign

ENTRY = {"model": "auth.User", "clerk_id_field": "username", "email_field": "email"}


def test_parse__fields_by_what_they_hold() -> None:
    """An entry names the model, and what its fields hold."""
    table = foreign.parse(ENTRY | {"name_field": "first_name"})
    assert (table.model, table.label, table.clerk_id_field) == (User, "auth.User", "username")
    assert table.fields == {"email": "email", "full_name": "first_name"}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"email_field": "email"}, "model is missing"),
        ({"model": "auth.User", "email_field": "email"}, "clerk_id_field is missing"),
        (
            {"model": "auth.User", "clerk_id_field": "username"},
            "no field to audit is named; add one of email_field, name_field, first_name_field, "
            "last_name_field, username_field, phone_number_field",
        ),
        (ENTRY | {"model": "auth.Profile"}, "there is no model 'auth.Profile'; write it as app.Model"),
        (ENTRY | {"model": "User"}, "there is no model 'User'; write it as app.Model"),
        (
            ENTRY | {"model": "clerksync.ClerkUser"},
            "clerksync.ClerkUser is the mirror itself, which an audit without --model is about",
        ),
        (
            ENTRY | {"phone_field": "phone"},
            "there is no key 'phone_field'; there are model, clerk_id_field, ",
        ),
        (ENTRY | {"email_field": "mail"}, "auth.User has no field 'mail'; there are date_joined, email, "),
        (ENTRY | {"name_field": "last_login"}, "auth.User.last_login is no field of text"),
        (ENTRY | {"name_field": "groups"}, "auth.User.groups is no field of text"),
        (ENTRY | {"username_field": "email"}, "a field is named twice"),
        (
            ENTRY | {"name_field": "first_name", "last_name_field": "last_name"},
            "name_field is for the whole name, so it does not go with parts of it",
        ),
    ],
)
def test_parse__mistakes(entry: dict[str, str], problem: str) -> None:
    """Each mistake is named."""
    with pytest.raises(ImproperlyConfigured) as caught:
        foreign.parse(entry)
    assert str(caught.value).startswith(problem)


def test_settings__all_entries() -> None:
    """The setting may name several tables, or one table several times."""
    with override_settings(CLERKSYNC_AUDIT_MODELS=[ENTRY, ENTRY | {"email_field": "last_name"}]):
        assert [table.fields["email"] for table in foreign.from_settings()] == ["email", "last_name"]
