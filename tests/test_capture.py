"""The users of sessions: known from the first request on, read again when that is needed, and never waited for long."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection, connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from clerksync import known as memory
from clerksync import outage
from clerksync.capture import capture, is_settled
from clerksync.claims import Claims
from clerksync.models import ClerkUser, MirrorState
from clerksync.pagereads import mark
from clerksync.records import Doubt
from clerksync.testing import FakeClerk, Response
from tests.syncing import READS, Syncer

pytestmark = pytest.mark.django_db


def claims_of(clerk: FakeClerk, clerk_id: str, **custom: Any) -> Claims:
    """What a token that was minted just now says."""
    now = clerk.clock.now_ms() // 1000
    return Claims.of({"sub": clerk_id, "sid": "sess_1", "iat": now, "exp": now + 60, "iss": "", **custom})


def reads(clerk: FakeClerk) -> int:
    """How many requests came."""
    return len(clerk.requests)


def age(clerk_id: str, seconds: float) -> None:
    """Let a row be as if it had been written, read and scanned so long ago."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    ClerkUser.objects.filter(pk=clerk_id).update(observed_ms=int(moment.timestamp() * 1000), checked_at=None)
    MirrorState.objects.update(updates_as_of=moment)


@pytest.fixture
def known(clerk: FakeClerk) -> str:
    """A user whom the table holds."""
    clerk_id: str = clerk.create_user(first_name="Isla", synced=True)["id"]
    return clerk_id


def test_new__read_once(clerk: FakeClerk) -> None:
    """A user whom the table does not hold is read by id, and needs nothing afterwards."""
    claims = claims_of(clerk, clerk.create_user(first_name="Isla")["id"])
    assert not is_settled(claims)
    user = capture(claims)
    assert (user and user.first_name, user and user.needs_refresh) == ("Isla", False)
    assert [request.path for request in clerk.requests] == [f"/v1/users/{claims.user_id}"]
    assert is_settled(claims)


def test_fresh__one_statement_then_none(clerk: FakeClerk, known: str, django_assert_num_queries: Any) -> None:
    """A user who is fresh costs one look at the table, and then a look into a dictionary."""
    claims = claims_of(clerk, known)
    with django_assert_num_queries(1):
        assert capture(claims) is not None
    with django_assert_num_queries(0):
        assert is_settled(claims)
    assert reads(clerk) == 0


@override_settings(CLERKSYNC_CLAIM_FIELDS={"email": "email"})
def test_settled__forgotten_meanwhile(clerk: FakeClerk, known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may forget the user at any moment."""
    claims = claims_of(clerk, known)
    capture(claims)
    assert is_settled(claims)
    noted, scope = dict(memory._known), memory._scope()

    def forget() -> Any:
        memory._known.clear()
        return scope

    monkeypatch.setattr(memory, "_scope", forget)
    is_settled(claims)
    assert (known in noted, memory._known) == (True, {})


@override_settings(USE_TZ=False)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland"])
def test_without_time_zones(clerk: FakeClerk, known: str, zone: str) -> None:
    """A project with ``USE_TZ = False`` reads a user when that is needed, and not more often."""
    with override_settings(TIME_ZONE=zone):
        clerk.update_user(known, first_name="Marin")
        ClerkUser.objects.update(observed_ms=1, checked_at=None)
        users = [capture(claims_of(clerk, known)) for _ in range(2)]
        assert [user and user.first_name for user in users] == ["Marin"] * 2
        assert capture(claims_of(clerk, clerk.create_user(first_name="Bo")["id"])) is not None
    assert reads(clerk) == 2


def test_stale__read_again_once(clerk: FakeClerk, known: str) -> None:
    """A user who is not fresh is read, by one of all processes and not again for the same time."""
    clerk.update_user(known, first_name="Marin")
    age(known, 301)
    users = [capture(claims_of(clerk, known)) for _ in range(3)]
    assert [user and user.first_name for user in users] == ["Marin"] * 3
    assert reads(clerk) == 1


@pytest.mark.parametrize("newest", ["snapshot", "scan", "check"])
def test_stale__newest_of_three(clerk: FakeClerk, known: str, newest: str) -> None:
    """The row's snapshot, the last completed scan, the last read: one of them keeps a user fresh."""
    age(known, 301)
    now = datetime.now(UTC)
    match newest:
        case "snapshot":
            ClerkUser.objects.update(observed_ms=int(now.timestamp() * 1000))
        case "scan":
            MirrorState.objects.update_or_create(pk=1, defaults={"updates_as_of": now})
        case _:
            ClerkUser.objects.update(checked_at=now)
    capture(claims_of(clerk, known))
    assert reads(clerk) == 0


@override_settings(CLERKSYNC_REFRESH_AFTER=0)
def test_refresh_after__zero(clerk: FakeClerk, known: str) -> None:
    """With 0 every request reads."""
    claims = claims_of(clerk, known)
    for expected in (1, 2, 3):
        assert not is_settled(claims)
        capture(claims)
        assert reads(clerk) == expected


@override_settings(CLERKSYNC_REFRESH_AFTER=None)
def test_refresh_after__none(clerk: FakeClerk, known: str) -> None:
    """With None a user is fresh for ever, unless in doubt."""
    age(known, 90_000)
    capture(claims_of(clerk, known))
    assert reads(clerk) == 0
    ClerkUser.objects.update(doubt_reason=Doubt.TIE, doubt_ms=1, retry_ms=1)
    assert not (capture(claims_of(clerk, known)) or ClerkUser()).needs_refresh
    assert reads(clerk) == 1


def test_incomplete__read(clerk: FakeClerk) -> None:
    """A row of which only the id is known is completed."""
    clerk_id = clerk.create_user(first_name="Isla")["id"]
    mark(clerk_id, clerk.clock.now_ms())
    assert ClerkUser.objects.get().state == "incomplete"
    user = capture(claims_of(clerk, clerk_id))
    assert (user and user.state, user and user.first_name) == ("active", "Isla")


def test_deleted__comes_back_only_if_clerk_says_so(clerk: FakeClerk) -> None:
    """A session of a user who is deleted here leads to a read; Clerk decides."""
    gone, back = (clerk.create_user(synced=True)["id"] for _ in range(2))
    clerk.delete_user(gone)
    clerk.sync_users(gone)
    ClerkUser.objects.filter(pk=back).update(state="deleted")
    assert (capture(claims_of(clerk, gone)) or ClerkUser()).state == "deleted"
    assert (capture(claims_of(clerk, back)) or ClerkUser()).state == "active"
    assert not is_settled(claims_of(clerk, gone))
    before = reads(clerk)
    capture(claims_of(clerk, gone))
    assert reads(clerk) == before


@override_settings(CLERKSYNC_CLAIM_FIELDS={"name": "full_name", "mail": "email", "changed": "updated_at"})
@pytest.mark.parametrize(
    ("custom", "is_read"),
    [
        ({"name": "Isla Berg"}, False),
        ({"name": "Isla Moen"}, True),
        ({"name": "null Moen"}, False),
        ({"name": "null"}, False),
        ({"name": None}, False),
        ({"mail": "isla@harbour-works.io"}, False),
        ({"mail": "berg@harbour-works.io"}, True),
        ({"changed": 1}, False),
        ({"changed": 4_000_000_000}, True),
        ({"changed": 4_000_000_000_000}, True),
        ({"changed": "yesterday"}, False),
    ],
    ids=str,
)
def test_claims__disagree(clerk: FakeClerk, custom: dict[str, Any], is_read: bool) -> None:  # noqa: FBT001  # parametrised
    """A claim that differs from the row leads to a read, once; one that says nothing does not."""
    user = clerk.create_user(first_name="Isla", last_name="Berg", email="isla@harbour-works.io", synced=True)
    clerk.advance(seconds=5)
    for _ in range(3):
        capture(claims_of(clerk, user["id"], **custom))
    assert reads(clerk) == is_read


@override_settings(CLERKSYNC_CLAIM_FIELDS={"name": "first_name"})
def test_claims__older_than_the_row(clerk: FakeClerk, known: str) -> None:
    """A token that was minted before the row was read knows nothing better."""
    claims = claims_of(clerk, known, name="Other")
    clerk.advance(seconds=30)
    clerk.update_user(known, first_name="Marin")
    clerk.sync_users(known)
    capture(claims)
    assert reads(clerk) == 0


@override_settings(CLERKSYNC_CLAIM_FIELDS={"name": "first_name"})
def test_claims__settled_only_with_the_same(clerk: FakeClerk, known: str) -> None:
    """What a process remembers holds for what the token said."""
    capture(claims_of(clerk, known, name="Isla"))
    assert is_settled(claims_of(clerk, known, name="Isla"))
    assert not is_settled(claims_of(clerk, known, name="Marin"))


def test_claims__never_written(clerk: FakeClerk, known: str) -> None:
    """What a token says is a hint, and no content of a row."""
    with override_settings(CLERKSYNC_CLAIM_FIELDS={"name": "first_name"}):
        clerk.advance(seconds=5)
        user = capture(claims_of(clerk, known, name="Forged"))
    assert user is not None
    assert user.first_name == "Isla"


def test_thorough__placeholders(clerk: FakeClerk, known: str) -> None:
    """A row with placeholder data is read if that is asked for."""
    ClerkUser.objects.update(email=f"{known}@example.com")
    assert (capture(claims_of(clerk, known)) or ClerkUser()).email == f"{known}@example.com"
    assert (capture(claims_of(clerk, known), thorough=True) or ClerkUser()).email != f"{known}@example.com"


@pytest.mark.parametrize("fault", [500, 429, "html", "not_json", "truncated", "reset"])
@override_settings(CLERKSYNC_REFRESH_TIMEOUT=0.3)
def test_clerk_down__new_user(clerk: FakeClerk, fault: str | int) -> None:
    """A user who cannot be read is an incomplete row in doubt, which the drain completes."""
    clerk_id = clerk.create_user(first_name="Isla")["id"]
    clerk.fail(fault, times=None, on=READS)
    user = capture(claims_of(clerk, clerk_id))
    assert (user and user.state, user and user.doubt_reason) == ("incomplete", Doubt.SESSION)
    clerk.clear_faults()
    syncer = Syncer(clerk)
    syncer.clerk.advance(seconds=60)
    assert syncer.full().error is None
    assert ClerkUser.objects.get().first_name == "Isla"


@pytest.mark.parametrize("fault", [500, 429, "html", "slow", "reset"])
@override_settings(CLERKSYNC_REFRESH_TIMEOUT=0.3)
def test_clerk_down__known_user(clerk: FakeClerk, known: str, fault: str | int) -> None:
    """The row stays as it is and in doubt; the page waits once, and the read is made up for."""
    clerk.update_user(known, first_name="Marin")
    age(known, 301)
    options = {"seconds": 30} if fault == "slow" else {}
    clerk.fail(fault, times=None, on=READS, **options)
    began = time.monotonic()
    user = capture(claims_of(clerk, known))
    assert time.monotonic() - began < 2
    assert (user and user.first_name, user and user.needs_refresh) == ("Isla", True)
    before, began = reads(clerk), time.monotonic()
    capture(claims_of(clerk, known))
    assert (reads(clerk), time.monotonic() - began < 0.25) == (before, True)
    clerk.clear_faults()
    report = Syncer(clerk).full()
    assert report.error is None
    assert ClerkUser.objects.get(pk=known).first_name == "Marin"


@override_settings(CLERKSYNC_REFRESH_TIMEOUT=0.3)
def test_outage__others_do_not_try(clerk: FakeClerk) -> None:
    """After a time-out no page waits for another user, either; later they do again."""
    first, second = (clerk.create_user()["id"] for _ in range(2))
    clerk.fail(503, times=None, on=READS)
    capture(claims_of(clerk, first))
    before = reads(clerk)
    capture(claims_of(clerk, second))
    assert (outage.is_on(), reads(clerk)) == (True, before)
    assert ClerkUser.objects.filter(state="incomplete").count() == 2


@override_settings(CLERKSYNC_RATE_LIMIT=10, CLERKSYNC_WEB_RATE_SHARE=0.1)
def test_budget_spent__no_outage(clerk: FakeClerk) -> None:
    """A page that may not ask now says nothing about whether Clerk can be reached."""
    first, second = (clerk.create_user(first_name=name) for name in ("Isla", "Marin"))
    assert (capture(claims_of(clerk, first["id"])) or ClerkUser()).first_name == "Isla"
    began = time.monotonic()
    assert (capture(claims_of(clerk, second["id"])) or ClerkUser()).state == "incomplete"
    assert time.monotonic() - began < 1
    assert (outage.is_on(), reads(clerk)) == (False, 1)


@override_settings(CLERKSYNC_CLAIM_FIELDS={"name": "first_name"})
def test_claims__always_disagree(clerk: FakeClerk, known: str) -> None:
    """A claim that never agrees costs a look at the table now and then, and not on every page."""
    clerk.advance(seconds=5)
    claims = claims_of(clerk, known, name="Other")
    for _ in range(2):
        capture(claims)
    assert is_settled(claims)
    assert reads(clerk) == 1


def test_unknown_to_clerk__nobody_waits(clerk: FakeClerk) -> None:
    """A user whom Clerk does not show yet is not waited for again, and not asked for again at once."""
    claims = claims_of(clerk, "user_2unknown")
    for _ in range(3):
        began = time.monotonic()
        assert (capture(claims) or ClerkUser()).state == "incomplete"
        assert time.monotonic() - began < 1
    assert reads(clerk) == 1
    ClerkUser.objects.update(checked_at=datetime.now(UTC) - timedelta(seconds=11))
    capture(claims)
    assert reads(clerk) == 2


def test_id_that_cannot_be_asked_for(clerk: FakeClerk) -> None:
    """An id that fits into no address makes no error, either."""
    assert (capture(claims_of(clerk, "user_a/../b")) or ClerkUser()).state == "incomplete"
    assert reads(clerk) == 0


def test_key_rejected__logged(clerk: FakeClerk, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong secret key is no page's trouble."""
    clerk_id = clerk.create_user()["id"]
    clerk.secret_key = "sk_test_another"
    with caplog.at_level(logging.WARNING):
        user = capture(claims_of(clerk, clerk_id))
    assert user is not None
    assert user.state == "incomplete"


@override_settings(CLERK_SECRET_KEY="")
def test_no_secret_key(clerk: FakeClerk) -> None:
    """Without a secret key nobody can be read; the id is kept."""
    user = capture(claims_of(clerk, clerk.create_user()["id"]))
    assert user is not None
    assert user.state == "incomplete"


def test_breaker__logged_and_kept(clerk: FakeClerk, known: str) -> None:
    """A user whom Clerk no longer shows goes only as far as the breaker lets them."""
    clerk.delete_user(known)
    clerk.advance(seconds=120)
    age(known, 301)
    with override_settings(CLERKSYNC_MAX_DELETES=0):
        kept = capture(claims_of(clerk, known)) or ClerkUser()
    assert (kept.state, kept.doubt_reason) == ("active", Doubt.SESSION)
    age(known, 301)
    assert (capture(claims_of(clerk, known)) or ClerkUser()).state == "deleted"


def test_mark__defers(clerk: FakeClerk, known: str) -> None:
    """A user who is not fresh is put in doubt, once; a new one is read at once all the same."""
    age(known, 301)
    for _ in range(3):
        capture(claims_of(clerk, known), defer=mark)
    row = ClerkUser.objects.get(pk=known)
    assert (row.doubt_reason, reads(clerk)) == (Doubt.SESSION, 0)
    new = clerk.create_user(first_name="New")["id"]
    assert (capture(claims_of(clerk, new), defer=mark) or ClerkUser()).first_name == "New"


@pytest.mark.django_db(transaction=True)
def test_new__many_at_once(clerk: FakeClerk) -> None:
    """6 new users x 16 threads: 96 answers, 6 rows, 6 requests."""
    ids = [clerk.create_user()["id"] for _ in range(6)]
    clerk.fail("slow", seconds=0.2, times=None, on=READS)
    start = threading.Barrier(16)

    def visit(number: int) -> list[str]:
        start.wait()
        try:
            order = ids[number % 6 :] + ids[: number % 6]
            found = [capture(claims_of(clerk, clerk_id)) for clerk_id in order]
            return [user.state for user in found if user is not None]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(16) as threads:
        states = [state for states in threads.map(visit, range(16)) for state in states]
    assert Counter(states) == {"active": 96}
    assert (ClerkUser.objects.count(), reads(clerk)) == (6, 6)


def test_database__read_only(clerk: FakeClerk, known: str, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be written is left: the row is served as it is."""
    age(known, 301)

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001  # Django's order
        if not sql.lstrip().upper().startswith("SELECT"):
            raise OperationalError("read-only")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse), caplog.at_level(logging.WARNING):
        user = capture(claims_of(clerk, known))
    assert user is not None
    assert user.first_name == "Isla"
    assert [record.message for record in caplog.records] == [
        "The table of users cannot be read or written: read-only"
    ]


@pytest.fixture
def no_table(db: None) -> Iterator[None]:
    """A database without our tables."""

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001  # Django's order
        if "clerksync_" in sql:
            raise ProgrammingError("no such table")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield


def test_database__no_table(clerk: FakeClerk, no_table: None) -> None:
    """Before the migrations there is nobody, and no error."""
    assert capture(claims_of(clerk, "user_1")) is None


def test_steady_state__memory_is_bounded(
    clerk: FakeClerk, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who came first is forgotten first."""
    monkeypatch.setattr("clerksync.known.MAX_KNOWN", 2)
    ids = [known, *(clerk.create_user(synced=True)["id"] for _ in range(2))]
    for clerk_id in ids:
        capture(claims_of(clerk, clerk_id))
    assert [is_settled(claims_of(clerk, clerk_id)) for clerk_id in ids] == [False, True, True]


def test_statements__new_user(clerk: FakeClerk) -> None:
    """A new user costs a bounded number of statements."""
    with CaptureQueriesContext(connection) as queries:
        capture(claims_of(clerk, clerk.create_user()["id"]))
    assert len(queries) <= 18


def test_404__of_a_proxy(clerk: FakeClerk, known: str) -> None:
    """A page that says 404 as Clerk does not is no sign that anybody is gone."""
    clerk.advance(seconds=120)
    age(known, 301)
    page = Response(404, {"Content-Type": "text/html"}, b"<h1>404 Not Found</h1>")
    clerk.fail("callback", call=lambda request: page, on=READS, times=None)
    user = capture(claims_of(clerk, known)) or ClerkUser()
    assert (user.state, user.needs_refresh) == ("active", True)
