"""COPY on a real PostgreSQL; that rows written so are right, the tests of the writer show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection, connections

from clerksync import copying, mirror
from clerksync.models import ClerkUser, ForgottenUser
from clerksync.pages import MAX_COLLISIONS
from clerksync.payloads import Source
from tests import databases
from tests.observed import observe, seen
from tests.syncing import Syncer, differences, told

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
    assert copying.insert(
        "default", _TABLE, _COLUMNS, [row("user_a", odd), row("user_b", "\\.")], savepoint=True
    )
    assert names() == {"user_a": odd, "user_b": "\\."}


def test_insert__a_row_is_there() -> None:
    """Nothing of the batch is written, and the caller's transaction goes on."""
    assert copying.insert("default", _TABLE, _COLUMNS, [row("user_b", "Eva")], savepoint=False)
    assert not copying.insert("default", _TABLE, _COLUMNS, [row("user_a"), row("user_b")], savepoint=True)
    assert names() == {"user_b": "Eva"}


def test_insert__another_constraint() -> None:
    """Rows that nobody could write are an error."""
    with pytest.raises(IntegrityError):
        copying.insert("default", _TABLE, _COLUMNS, [row("user_a", state=None)], savepoint=True)


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


@pytest.mark.django_db(transaction=True)
def test_page__another_process_inserts_a_user(syncer: Syncer) -> None:
    """Of a page of new users one arrives between its reading and its writing: the page is done again."""
    users = _new_users(syncer)
    with _after_each_reading(lambda _: _event_of(syncer, users[3]), times=1) as readings:
        report = syncer.full()
    assert (report.error, len(readings)) == (None, 2)
    assert told(report) == {"seen": len(users), "created": len(users) - 1, "unchanged": 1}
    assert differences(syncer.clerk) == {}


@pytest.mark.django_db(transaction=True)
def test_page__others_insert_all_the_time(syncer: Syncer) -> None:
    """A page that never finds its new users alone ends the run, and does not go round for ever."""
    users = _new_users(syncer)
    with _after_each_reading(lambda number: _event_of(syncer, users[number]), times=99) as readings:
        report = syncer.full()
    assert "run the same command again" in str(report.error)
    assert len(readings) == MAX_COLLISIONS + 1
    assert syncer.full().error is None
    assert differences(syncer.clerk) == {}


def _new_users(syncer: Syncer) -> list[dict[str, Any]]:
    """More than go by COPY, and by so many more that none of these tests leaves fewer."""
    syncer.clerk.create_users(copying.COPY_FROM + 2 * MAX_COLLISIONS)
    return syncer.clerk.users()


def _event_of(syncer: Syncer, user: dict[str, Any]) -> None:
    event = observe(user, source=Source.WEBHOOK, s=syncer.clerk.clock.now_ms())
    with ThreadPoolExecutor(1) as other:
        other.submit(mirror.apply, [event]).result()
        other.submit(connections.close_all).result()


@contextmanager
def _after_each_reading(act: Callable[[int], object], *, times: int) -> Iterator[list[str]]:
    """Have something done, so often, whenever the rows of a page's users have been read."""
    readings: list[str] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001  # Django's
        found = execute(sql, params, many, context)
        if ForgottenUser._meta.db_table in sql:  # who has no row may be forgotten: the last look
            readings.append(sql)
            if len(readings) <= times:
                act(len(readings))
        return found

    with connection.execute_wrapper(look):
        yield readings
