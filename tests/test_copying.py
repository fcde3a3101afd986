"""COPY on a real PostgreSQL; that rows written so are right, the tests of the writer show."""

from __future__ import annotations

import pytest
from django.db import DataError, IntegrityError, connection

from clerksync import copying, mirror
from clerksync.models import ClerkUser
from tests import databases
from tests.observed import seen

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(databases.kind() != "postgresql", reason="only PostgreSQL has COPY"),
]

_TABLE = "clerksync_clerkuser"
_NUMBERS = ("updated_ms", "observed_ms", "doubt_ms", "doubt_tries", "retry_ms", "revision")
_COLUMNS = ", ".join(
    ("clerk_id", "first_name", "first_seen", "last_written", "state", "doubt_reason", *_NUMBERS)
)


def row(clerk_id: str, name: str = "Ada", *, state: str | None = "active") -> tuple[object, ...]:
    """A row of the table of users."""
    return clerk_id, name, "2026-01-01", "2026-01-01", state, "", *([0] * len(_NUMBERS))


def names() -> dict[str, str | None]:
    """Every user's first name."""
    return dict(ClerkUser.objects.values_list("clerk_id", "first_name"))


def test_insert__new_rows() -> None:
    """All are written, whatever is in them."""
    odd = "a\\b\tc\nd\r\\.\u2028\\N"
    assert copying.insert("default", _TABLE, _COLUMNS, [row("user_a", odd), row("user_b", "\\.")])
    assert names() == {"user_a": odd, "user_b": "\\."}


def test_insert__a_row_is_there() -> None:
    """Nothing of the batch is written, and the caller's transaction goes on."""
    assert copying.insert("default", _TABLE, _COLUMNS, [row("user_b", "Eva")])
    assert not copying.insert("default", _TABLE, _COLUMNS, [row("user_a"), row("user_b")])
    assert names() == {"user_b": "Eva"}


def test_insert__another_constraint() -> None:
    """Rows that nobody could write are an error."""
    with pytest.raises(IntegrityError):
        copying.insert("default", _TABLE, _COLUMNS, [row("user_a", state=None)])


def test_copy__errors_are_djangos() -> None:
    """Whoever expects an error of the database gets one, also from the middle of a COPY."""
    with pytest.raises(DataError):
        copying.copy("default", _TABLE, _COLUMNS, [row("user_a", "NUL: \0")])


def test_page_transaction__settings_are_of_this_transaction_alone() -> None:
    """A page's commit does not wait; payloads are compressed fast where the server can."""
    shown = ("synchronous_commit", "default_toast_compression")

    def settings() -> list[str]:
        with connection.cursor() as cursor:
            return [cursor.execute(f"SHOW {name}").fetchone()[0] for name in shown]

    before = settings()
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT outer_settings")
    with mirror.page_transaction():
        assert settings() == ["off", "lz4" if copying.has_lz4("default") else before[1]]
    with connection.cursor() as cursor:
        cursor.execute("ROLLBACK TO outer_settings")
    assert settings() == before


def test_apply__meets_rows_that_nobody_knew_of() -> None:
    """A whole page of new users of whom one has been written by another process meanwhile."""
    mirror.apply([seen(9, 9, clerk_id="user_05", first_name="Newest")])
    page = [seen(5, 5, clerk_id=f"user_{number:02}") for number in range(copying.COPY_FROM)]
    changes = mirror.apply(page, rows={})
    assert [changes[f"user_{number:02}"].outcome for number in (4, 5, 6)] == ["created", "late", "created"]
    assert names()["user_05"] == "Newest"
    assert ClerkUser.objects.count() == copying.COPY_FROM
