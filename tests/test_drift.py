"""The drift report: exactly the planted defects are found among thousands of users, and nothing is written."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clerksync.models import ClerkUser, MirrorState
from clerksync.testing import FakeClerk
from tests.management.test_audit_clerk_users import audit
from tests.profiles import pick
from tests.test_audit import HOUR_MS, put, synced, tables

pytestmark = pytest.mark.django_db

#: Who, what kind, which column, why, and how it came about.
Told = tuple[str, str, str | None, str, str]
Plant = Callable[[FakeClerk, Sequence[str]], Iterator[Told]]

USERS = pick(short=1_200, long=3_000)
#: Requests for the instance and the counts, one of them since there are many, and those that prove where
#: the list ends.
OTHERS = 7
#: Of each kind of defect.
PLANTED = 23


def missing(clerk: FakeClerk, ids: Sequence[str]) -> Iterator[Told]:
    """Rows that somebody deleted."""
    ClerkUser.objects.filter(pk__in=ids).delete()
    for clerk_id in ids:
        yield clerk_id, "missing", None, "not_in_table", "unknown"


def made_up(clerk: FakeClerk, ids: Sequence[str]) -> Iterator[Told]:
    """Names that somebody overwrote."""
    for clerk_id in ids:
        put(clerk_id, last_name="undefined")
        yield clerk_id, "stale", "last_name", "generic_name", "changed_past_the_mirror"


def incomplete(clerk: FakeClerk, ids: Sequence[str]) -> Iterator[Told]:
    """Rows that a login left."""
    for clerk_id in ids:
        put(clerk_id, state="incomplete", updated_ms=0, observed_ms=0, created_ms=None, digest="", email=None)
        yield clerk_id, "stale", None, "incomplete", "never_completed"


def buried(clerk: FakeClerk, ids: Sequence[str]) -> Iterator[Told]:
    """Tombstones of users who are there."""
    for clerk_id in ids:
        put(clerk_id, state="deleted")
        yield clerk_id, "stale", None, "tombstone", "deleted_here"


def behind(clerk: FakeClerk, ids: Sequence[str]) -> Iterator[Told]:
    """Changes that nobody told."""
    for clerk_id in ids:
        clerk.update_user(clerk_id, first_name="Marin")
        yield clerk_id, "behind", None, "older_than_clerk", "unknown"


def tampered(clerk: FakeClerk, ids: Sequence[str]) -> Iterator[Told]:
    """Columns that somebody overwrote with something that looks right."""
    for clerk_id in ids:
        put(clerk_id, banned=True)
        yield clerk_id, "differs", "banned", "same_version", "changed_past_the_mirror"


def silent(clerk: FakeClerk, ids: Sequence[str]) -> Iterator[Told]:
    """Changes that moved no version."""
    for clerk_id in ids:
        clerk.update_user(clerk_id, silent=True, external_id="erp-17")
        yield clerk_id, "differs", "external_id", "same_version", "unknown"


def ahead(clerk: FakeClerk, ids: Sequence[str]) -> Iterator[Told]:
    """Versions that Clerk never had."""
    for clerk_id in ids:
        put(clerk_id, updated_ms=clerk.clock.now_ms() + HOUR_MS)
        yield clerk_id, "local-ahead", None, "newer_than_clerk", "changed_past_the_mirror"


def gone(clerk: FakeClerk, ids: Sequence[str]) -> Iterator[Told]:
    """Deletes that nobody told."""
    for clerk_id in ids:
        clerk.delete_user(clerk_id)
        yield clerk_id, "extra", None, "not_in_clerk", "deleted_there"


def remote(clerk: FakeClerk, ids: Sequence[str]) -> Iterator[Told]:
    """Placeholders that Clerk itself has come to hold, a moment ago."""
    for clerk_id in ids:
        clerk.update_user(clerk_id, last_name="undefined", synced=True)
        yield clerk_id, "remote", "last_name", "generic_name", "unknown"


PLANTS: tuple[Plant, ...] = (
    missing,
    made_up,
    incomplete,
    buried,
    behind,
    tampered,
    silent,
    ahead,
    gone,
    remote,
)


def population(clerk: FakeClerk, users: int = USERS) -> list[str]:
    """So many users, all of them mirrored hours ago, in the order of their creation."""
    ids = clerk.create_users(users)
    synced(clerk)
    MirrorState.objects.create(pk=1, instance_id=clerk.instance_id)
    return ids


def report() -> tuple[int, dict[str, Any]]:
    """The status and the JSON of the command; it only reads, and notes that it did."""
    before = tables()
    with CaptureQueriesContext(connection) as queries:
        status, out, _ = audit("--format", "json")
    assert tables() == before
    writes = [query["sql"] for query in queries if not query["sql"].startswith("SELECT")]
    assert [
        sql for sql in writes if not sql.startswith('UPDATE "clerksync_mirrorstate" SET "placeholders"')
    ] == []
    told: dict[str, Any] = json.loads(out)
    return status, told


def in_short(told: dict[str, Any]) -> list[Told]:
    """What was found."""
    names = ("clerk_id", "kind", "field", "reason", "cause")
    return sorted((tuple(one[name] for name in names) for one in told["findings"]), key=str)


@pytest.mark.parametrize("seed", [1, 2])
def test_report__exactly_what_was_planted(clerk_server: FakeClerk, seed: int) -> None:
    """Every defect of every kind, wherever it lies, with its cause; nobody else; and few requests."""
    ids = population(clerk_server)
    chosen = random.Random(seed).sample(ids, PLANTED * len(PLANTS))
    planted: list[Told] = []
    for number, plant in enumerate(PLANTS):
        planted += plant(clerk_server, chosen[number * PLANTED : (number + 1) * PLANTED])
    clerk_server.advance(ms=2 * HOUR_MS)
    clerk_server.clear_requests()
    status, told = report()
    assert in_short(told) == sorted(planted, key=str)
    requests = told["summary"]["requests"]
    # Read by id were those that a page cannot tell for sure: buried, silent, ahead, gone, incomplete.
    assert requests == len(clerk_server.requests) <= USERS / 500 + 5 * PLANTED / 98 + 1 + OTHERS
    assert status == 1


@pytest.mark.parametrize("plant", [missing, buried, silent, ahead, gone], ids=lambda plant: plant.__name__)
def test_report__at_the_borders_of_pages(clerk_server: FakeClerk, plant: Plant) -> None:
    """Defects are found on whatever side of a page's border they lie."""
    ids = population(clerk_server, 1001)
    chosen = [ids[place] for place in (0, 1, 499, 500, 501, 999, 1000)]
    planted = list(plant(clerk_server, chosen))
    clerk_server.advance(ms=2 * HOUR_MS)
    assert in_short(report()[1]) == sorted(planted, key=str)


def test_report__nothing_planted(clerk_server: FakeClerk) -> None:
    """A table that is right gives no finding, at one request for 500 users and a few more."""
    population(clerk_server)
    status, told = report()
    assert (status, told["findings"], told["summary"]["complete"]) == (0, [], True)
    assert told["summary"]["requests"] <= USERS / 500 + OTHERS
