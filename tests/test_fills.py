"""Audits of a table that a site had before, and what is filled into it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.signals import post_save, pre_save
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from clerksync import foreign
from clerksync.fills import TableAudit
from clerksync.findings import Finding, FindingKind, Summary
from clerksync.models import ClerkUser
from clerksync.undo import UndoFile
from tests import databases
from tests.links import add_row

pytestmark = pytest.mark.django_db

#: The Clerk id is in ``password`` (which is not unique), the e-mail address in ``username`` (which is).
UNIQUE = {"model": "auth.User", "clerk_id_field": "password", "email_field": "username"}
NAMES = {"model": "auth.User", "clerk_id_field": "username", "email_field": "email"}
PARTS = NAMES | {"first_name_field": "first_name", "last_name_field": "last_name"}


def user(clerk_id: str, **fields: Any) -> User:
    """A row of the site's, whose username is the Clerk id."""
    return User.objects.create(username=clerk_id, **fields)


def look(entry: dict[str, str] = PARTS, *, summary: Summary | None = None, **options: Any) -> list[Finding]:
    """What is found in the table."""
    return list(TableAudit(foreign.parse(entry), summary or Summary(), **options).findings())


def told(entry: dict[str, str] = PARTS) -> set[tuple[str, str, str | None, str]]:
    """The same in short."""
    found = look(entry)
    assert all(one.model == "auth.User" and one.pk for one in found)
    return {(one.clerk_id, one.kind.value, one.field, one.reason) for one in found}


def fix(path: Path, entry: dict[str, str] = PARTS) -> Summary:
    """Audit and fill."""
    summary = Summary(left=dict.fromkeys(FindingKind, 0))
    with UndoFile(path / "undo.jsonl") as undo:
        look(entry, summary=summary, undo=undo)
    return summary


def values(entry: dict[str, str] = PARTS) -> list[Any]:
    """Everything in the site's table."""
    return list(User.objects.order_by("pk").values())


def test_found__clean() -> None:
    """Rows that say what the mirror says are no finding; spelling does not matter."""
    add_row("user_a", email="Ada@harbour-works.io", first_name="Ada", last_name="Byron")
    user("user_a", email="ada@harbour-works.io", first_name="ADA", last_name="Byron")
    assert told() == set()


def test_found__each_kind() -> None:
    """Placeholders, blanks, differences, and ids that nobody knows."""
    add_row("user_a", email="ada@harbour-works.io", first_name="Ada", last_name="Byron")
    add_row("user_b", email=None, first_name="Ben", last_name="undefined")
    user("user_a", email="user_a@example.com", first_name="", last_name="Lovelace")
    user("user_b", email="nobody@example.com", first_name="Ben", last_name="undefined")
    user("user_c", email="cleo@harbour-works.io")
    assert told() == {
        ("user_a", "stale", "email", "reserved_domain, clerk_id"),
        ("user_a", "stale", "first_name", "empty"),
        ("user_a", "differs", "last_name", "not_as_in_mirror"),
        ("user_b", "placeholder", "email", "reserved_domain"),
        ("user_b", "remote", "last_name", "generic_name"),
        ("user_c", "extra", None, "not_in_mirror"),
    }


def test_found__whole_name() -> None:
    """A name in one field is judged and compared as a whole."""
    add_row("user_a", first_name="Ada", last_name="Byron")
    add_row("user_b", first_name="Ben", last_name="Null")
    user("user_a", first_name="New User")
    user("user_b", first_name="Ben Null")
    entry = {"model": "auth.User", "clerk_id_field": "username", "name_field": "first_name"}
    assert told(entry) == {("user_a", "stale", "first_name", "generic_name")}


def test_found__phone_number_in_another_form() -> None:
    """Spaces and brackets make no other number."""
    add_row("user_a", phone_number="+4930901820")
    user("user_a", first_name="+49 (30) 901820")
    entry = {"model": "auth.User", "clerk_id_field": "username", "phone_number_field": "first_name"}
    assert told(entry) == set()
    User.objects.update(first_name="+49 (30) 901821")
    assert told(entry) == {("user_a", "differs", "first_name", "not_as_in_mirror")}


def test_found__users_who_have_left() -> None:
    """What a site keeps of a deleted user is its own affair; a user known by the id only has no data yet."""
    add_row("user_a", state="deleted")
    add_row("user_b", state="incomplete")
    user("user_a", email="nobody@example.com")
    user("user_b", email="nobody@example.com", first_name="Ben")
    assert told() == {("user_b", "placeholder", "email", "reserved_domain")}


def test_found__rows_without_a_clerk_id() -> None:
    """Accounts that have nothing to do with Clerk are left out."""
    user("", email="admin@example.com")
    summary = Summary()
    assert look(summary=summary) == []
    assert summary.rows_in_models == {"auth.User": 0}


def test_found__rules_of_the_settings() -> None:
    """The project's own rules and exceptions count here, too."""
    add_row("user_a", email="ada@harbour-works.io", first_name="Ada")
    user("user_a", email="nobody@example.com", first_name="TBD")
    with override_settings(
        CLERKSYNC_REAL_DOMAINS=["example.com"],
        CLERKSYNC_PLACEHOLDER_RULES=[lambda field, value: "to_be_done" if value == "TBD" else None],
    ):
        assert told() == {
            ("user_a", "differs", "email", "not_as_in_mirror"),
            ("user_a", "stale", "first_name", "to_be_done"),
        }


def many(count: int) -> None:
    """So many users, each tenth of them a placeholder at the site."""
    for number in range(count):
        add_row(f"user_{number}", email=f"n{number}@harbour-works.io")
    rows = (
        User(username=f"user_{n}", email=f"user_{n}@example.com" if n % 10 == 0 else f"n{n}@harbour-works.io")
        for n in range(count)
    )
    User.objects.bulk_create(rows)


def test_found__in_batches_without_a_write() -> None:
    """Two queries for 500 rows, no write, every row once."""
    many(1100)
    summary, before = Summary(), values()
    with CaptureQueriesContext(connection) as queries:
        found = look(NAMES, summary=summary)
    assert [one.clerk_id for one in found] == [f"user_{n}" for n in range(0, 1100, 10)]
    assert (len(queries), {query["sql"].split()[0] for query in queries}) == (3 + 4, {"SELECT"})
    assert (summary.rows_in_models, summary.counts[FindingKind.STALE]) == ({"auth.User": 1100}, 110)
    assert values() == before


def test_fill__placeholders_only(tmp_path: Path) -> None:
    """Real data gives way to nothing; blanks and differences stay, and are left."""
    add_row("user_a", email="ada@harbour-works.io", first_name="Ada", last_name="Byron")
    user("user_a", email="user_a@example.com", first_name="", last_name="Lovelace")
    summary = fix(tmp_path)
    row = User.objects.get()
    assert (row.email, row.first_name, row.last_name) == ("ada@harbour-works.io", "", "Lovelace")
    assert (summary.filled, summary.not_filled) == (1, 0)
    assert +Counter(summary.left) == {FindingKind.STALE: 1, FindingKind.DIFFERS: 1}


def test_fill__many(tmp_path: Path) -> None:
    """Every batch is filled, and then nothing is left to find; nothing of anybody else is written."""
    many(1100)
    others = values()
    summary = fix(tmp_path, NAMES)
    assert (summary.filled, summary.is_clean) == (110, True)
    assert look(NAMES) == []
    assert [row for row in values() if int(row["username"][5:]) % 10] == [
        row for row in others if int(row["username"][5:]) % 10
    ]


def test_fill__without_signals_and_save(tmp_path: Path) -> None:
    """The site's own ``save`` and its receivers do not run."""
    add_row("user_a", email="ada@harbour-works.io")
    user("user_a", email="user_a@example.com")
    heard: list[object] = []

    def hear(**kwargs: object) -> None:
        heard.append(kwargs)

    for signal in (pre_save, post_save):
        signal.connect(hear, sender=User)
    try:
        assert fix(tmp_path, NAMES).filled == 1
    finally:
        for signal in (pre_save, post_save):
            signal.disconnect(hear, sender=User)
    assert heard == []


def test_fill__taken_value(tmp_path: Path) -> None:
    """A value that is unique and taken is told, and the rest of the batch is filled."""
    for name in "abc":
        add_row(f"user_{name}", email=f"{name}@harbour-works.io")
        User.objects.create(password=f"user_{name}", username=f"user_{name}@example.com")
    User.objects.create(username="b@harbour-works.io")
    blocked = User.objects.get(password="user_b")
    summary = fix(tmp_path, UNIQUE)
    assert summary.filled == 2
    assert summary.not_filled_values == {f"auth.User {blocked.pk} username": "another row has this value"}
    assert +Counter(summary.left) == {FindingKind.STALE: 1}
    assert sorted(User.objects.values_list("username", flat=True)) == [
        "a@harbour-works.io",
        "b@harbour-works.io",
        "c@harbour-works.io",
        "user_b@example.com",
    ]


@pytest.mark.skipif(databases.kind() != "postgresql", reason="SQLite has no deferred unique constraints")
def test_fill__taken_value_that_is_told_late(tmp_path: Path) -> None:
    """A constraint that speaks at the commit is asked before, so that it is known whose value it was."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE auth_user ADD UNIQUE (email) DEFERRABLE INITIALLY DEFERRED")
    for name in "ab":
        add_row(f"user_{name}", email=f"{name}@harbour-works.io")
        user(f"user_{name}", email=f"user_{name}@example.com")
    user("", email="b@harbour-works.io")
    summary = fix(tmp_path, NAMES)
    assert (summary.filled, list(summary.not_filled_values.values())) == (1, ["another row has this value"])


def test_fill__too_long(tmp_path: Path) -> None:
    """A value that the field cannot hold is told and not cut."""
    add_row("user_a", first_name="A" * 151, email="ada@harbour-works.io")
    user("user_a", first_name="undefined", email="user_a@example.com")
    summary = fix(tmp_path)
    row = User.objects.get()
    assert (row.first_name, row.email) == ("undefined", "ada@harbour-works.io")
    assert summary.not_filled_values == {f"auth.User {row.pk} first_name": "longer than 150 characters"}


def test_fill__nothing_where_clerk_has_nothing(tmp_path: Path) -> None:
    """NULL is never put into a field, least of all into one that does not take it."""
    add_row("user_a", email=None)
    user("user_a", email="user_a@example.com")
    summary = fix(tmp_path, NAMES)
    assert (User.objects.get().email, summary.filled) == ("user_a@example.com", 0)
    assert +Counter(summary.left) == {FindingKind.PLACEHOLDER: 1}


@pytest.mark.parametrize("change", [{"email": "new@harbour-works.io"}, {"username": "user_b"}])
def test_fill__changed_meanwhile(tmp_path: Path, change: dict[str, str]) -> None:
    """A row that somebody changes after it was read, or gives to somebody else, is not overwritten."""
    add_row("user_a", email="ada@harbour-works.io")
    row = user("user_a", email="user_a@example.com")
    summary = Summary(left=dict.fromkeys(FindingKind, 0))
    with UndoFile(tmp_path / "undo.jsonl") as undo:
        for _ in TableAudit(foreign.parse(NAMES), summary, undo=undo).findings():
            User.objects.update(**change)
    row.refresh_from_db()
    assert (row.email, row.username) == (
        change.get("email", "user_a@example.com"),
        change.get("username", "user_a"),
    )
    assert summary.not_filled_values == {f"auth.User {row.pk} email": "it was changed meanwhile"}


def test_preview__writes_nothing(tmp_path: Path) -> None:
    """A dry run counts what would be filled and what would not, and makes no file."""
    for name in "ab":
        add_row(f"user_{name}", email=f"{name}@harbour-works.io")
        User.objects.create(password=f"user_{name}", username=f"user_{name}@example.com")
    User.objects.create(username="b@harbour-works.io")
    before, summary = values(), Summary()
    with CaptureQueriesContext(connection) as queries:
        look(UNIQUE, summary=summary, preview=True)
    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
    assert (values(), os.listdir(tmp_path)) == (before, [])
    assert (summary.filled, list(summary.not_filled_values.values())) == (1, ["another row has this value"])
    assert summary.left is None


def test_fill__nothing_to_fill_makes_no_file(tmp_path: Path) -> None:
    """Without a change there is nothing to take back."""
    add_row("user_a", email="ada@harbour-works.io")
    user("user_a", email="ada@harbour-works.io")
    assert fix(tmp_path, NAMES).is_clean
    assert os.listdir(tmp_path) == []


def test_fill__no_room_for_the_old_values(tmp_path: Path) -> None:
    """If the replaced values cannot be kept nothing is replaced."""
    add_row("user_a", email="ada@harbour-works.io")
    user("user_a", email="user_a@example.com")
    with UndoFile(tmp_path / "gone" / "undo.jsonl") as undo, pytest.raises(FileNotFoundError):
        look(NAMES, undo=undo)
    assert User.objects.get().email == "user_a@example.com"


def test_fill__not_the_mirror(tmp_path: Path) -> None:
    """The mirror's own rows are only read."""
    add_row("user_a", email="ada@harbour-works.io")
    user("user_a", email="user_a@example.com")
    before = list(ClerkUser.objects.values())
    fix(tmp_path, NAMES)
    assert list(ClerkUser.objects.values()) == before
