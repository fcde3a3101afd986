"""The writer, on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.dispatch import Signal
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from clerksync import mirror, signals
from clerksync.differences import compare_fields
from clerksync.exceptions import DeletesRefused
from clerksync.models import ClerkUser
from clerksync.payloads import Observation, Parser, Source
from clerksync.records import Outcome
from tests.observed import T0, absent, gone, missed, observe, seen, user_json

pytestmark = pytest.mark.django_db


def outcomes(*observations: Observation, **options: Any) -> dict[str, str]:
    """What ``apply`` says, by id."""
    changes = mirror.apply(observations, **options)
    return {clerk_id: change.outcome.value for clerk_id, change in changes.items()}


def rows() -> list[tuple[str, int]]:
    """Every row with its revision."""
    return list(ClerkUser.objects.order_by("pk").values_list("clerk_id", "revision"))


def many(count: int, **changes: Any) -> list[Observation]:
    """So many users."""
    return [seen(1, 1, clerk_id=f"user_{number:05}", **changes) for number in range(count)]


@pytest.mark.parametrize("count", [3, 40])
def test_apply__locks_rows_in_the_order_of_their_ids(count: int) -> None:
    """By code points, whatever the order of the batch, so that two writers never wait for each other."""
    ids = [f"user_{'aB'[number % 2]}{number:02}" for number in range(count)]
    mirror.apply([seen(1, 1, clerk_id=clerk_id) for clerk_id in reversed(ids)])
    place = "ctid" if connection.vendor == "postgresql" else "rowid"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT clerk_id FROM clerksync_clerkuser ORDER BY {place}")  # noqa: S608  # ours
        assert [row[0] for row in cursor.fetchall()] == sorted(ids)


def test_apply__stores_every_column() -> None:
    """What was parsed is what the model shows."""
    user = user_json(
        primary_phone_number_id="idn_2",
        phone_numbers=[{"id": "idn_2", "phone_number": "+4930123456", "verification": None}],
        username="ada",
        external_id="7",
        image_url="https://img.clerk.com/x",
        has_image=True,
        two_factor_enabled=True,
        last_sign_in_at=T0 - 1,
        public_metadata={"plan": "pro", "seats": [1, 2]},
    )
    mirror.apply([observe(user, s=T0 + 5)])
    stored = ClerkUser.objects.get(pk="user_a")
    assert (stored.email, stored.email_verified, stored.phone_number, stored.phone_verified) == (
        "ada@harbour-works.io",
        True,
        "+4930123456",
        False,
    )
    assert (stored.username, stored.external_id, stored.has_image, stored.two_factor_enabled) == (
        "ada",
        "7",
        True,
        True,
    )
    assert stored.last_sign_in_at is not None
    assert stored.last_sign_in_at.timestamp() * 1000 == T0 - 1
    assert stored.public_metadata == {"plan": "pro", "seats": [1, 2]}
    assert stored.payload == user
    assert (stored.updated_ms, stored.observed_ms, stored.source, stored.state) == (
        T0,
        T0 + 5,
        "list",
        "active",
    )


def test_apply__an_unchanged_row_is_not_written() -> None:
    """The second time costs one read and no write."""
    mirror.apply(many(50))
    before = rows()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert set(outcomes(*many(50)).values()) == {"unchanged"}
    assert len(queries) == 1
    assert rows() == before


@pytest.mark.parametrize("count", [1, 400])
def test_apply__statements_do_not_depend_on_the_batch(count: int) -> None:
    """One read, one look at who is forgotten and one (repeated) write for new users, however many."""
    with CaptureQueriesContext(connection) as queries:
        mirror.apply(many(count))
    assert [query["sql"].split()[0] for query in queries][:3] == ["SELECT", "SELECT", "SAVEPOINT"]
    assert len([query for query in queries if query["sql"].startswith("SELECT")]) == 2


def test_apply__batches_of_one_transaction_do_not_mix() -> None:
    """PostgreSQL writes them through one temporary table, which keeps its rows until the commit."""
    users = [f"user_{number:05}" for number in range(75)]
    with transaction.atomic():
        mirror.apply(many(75))
        changes = mirror.apply(
            missed(2, clerk_id=clerk_id) if 25 <= number < 50 else seen(2, 2, clerk_id=clerk_id)
            for number, clerk_id in enumerate(users)
        )
    assert len(changes) == 75
    assert rows() == [(clerk_id, 2) for clerk_id in users]
    doubted = ClerkUser.objects.in_doubt().order_by("pk").values_list("pk", flat=True)
    assert list(doubted) == users[25:50]


def test_apply__a_row_changed_past_the_mirror_is_mended() -> None:
    """An ``update()`` that put a placeholder into a row is undone by the next sync."""
    mirror.apply([seen(1, 1)])
    ClerkUser.objects.update(email="user_a@example.com", first_name="New User")
    assert outcomes(seen(1, 2, source=Source.LIST)) == {"user_a": "updated"}
    assert ClerkUser.objects.values_list("email", "first_name").get() == ("ada@harbour-works.io", "Ada")


def test_apply__compare_all_mends_every_column() -> None:
    """Columns outside the placeholder rules are compared when asked for."""
    mirror.apply([seen(1, 1, public_metadata={"plan": "pro"})])
    ClerkUser.objects.update(public_metadata={"plan": "free"}, banned=True)
    same = seen(1, 2, source=Source.LIST, public_metadata={"plan": "pro"})
    assert outcomes(same) == {"user_a": "unchanged"}
    assert outcomes(same, compare_all=True) == {"user_a": "updated"}
    assert ClerkUser.objects.values_list("public_metadata", "banned").get() == ({"plan": "pro"}, False)


def test_apply__dry_run_writes_nothing_and_tells_all() -> None:
    """A dry run names the fields, old and new."""
    mirror.apply([seen(1, 1)])
    before = list(ClerkUser.objects.values())
    changes = mirror.apply([seen(2, 2, first_name="Eva")], dry_run=True, with_fields=True)
    assert changes["user_a"].fields["first_name"] == ("Ada", "Eva")
    assert list(ClerkUser.objects.values()) == before


def test_apply__a_tombstone_keeps_its_data() -> None:
    """A delete leaves the columns and says when and how."""
    mirror.apply([seen(1, 1)])
    assert outcomes(gone(5)) == {"user_a": "deleted"}
    stored = ClerkUser.objects.get()
    assert (stored.state, stored.email, stored.deleted_by) == ("deleted", "ada@harbour-works.io", "event")
    assert stored.deleted_at is not None
    assert stored.deleted_at.timestamp() * 1000 == T0 + 5


def test_apply__a_doubt_leaves_the_tombstone_its_delete() -> None:
    """Bookkeeping writes do not forget when a user was deleted."""
    mirror.apply([seen(1, 1)])
    mirror.apply([gone(5)])
    mirror.apply([seen(1, 4, source=Source.LIST)])
    stored = ClerkUser.objects.get()
    assert (stored.needs_refresh, stored.deleted_by, stored.deleted_at is None) == (True, "event", False)


def test_apply__a_revived_user_is_not_deleted_any_more() -> None:
    """A later read by id clears the delete."""
    mirror.apply([seen(1, 1)])
    mirror.apply([gone(5)])
    assert outcomes(seen(1, 9, source=Source.GET)) == {"user_a": "revived"}
    assert ClerkUser.objects.active().values_list("deleted_at", "deleted_by").get() == (None, "")


def test_apply__users_known_by_id_only_have_no_data() -> None:
    """An incomplete row holds defaults, never invented values."""
    half = Parser().parse_page(b'[{"id": "user_a"}]', source=Source.LIST, observed_ms=T0)
    assert outcomes(*half) == {"user_a": "doubted"}
    stored = ClerkUser.objects.needs_refresh().get()
    assert (stored.state, stored.email, stored.public_metadata, stored.payload) == (
        "incomplete",
        None,
        {},
        None,
    )


def test_apply__nothing_observed_asks_nothing() -> None:
    """No statement for an empty page, nor for users without an id."""
    with CaptureQueriesContext(connection) as queries:
        assert mirror.apply([]) == {}
        assert mirror.apply(Parser().parse_page(b"[{}]", source=Source.LIST, observed_ms=T0)) == {}
    assert len(queries) == 0


def test_apply__a_lost_race_is_decided_again() -> None:
    """A row that was written between the read and the write is not overwritten by what is older."""
    mirror.apply([seen(1, 1)])
    stale = mirror.read(["user_a"])
    mirror.apply([seen(9, 9, first_name="Newest")])
    assert outcomes(seen(5, 5, first_name="Older"), rows=stale) == {"user_a": "late"}
    assert ClerkUser.objects.get().first_name == "Newest"


def test_apply__a_lost_race_with_an_insert_is_decided_again() -> None:
    """Two processes that both saw no row: the second one meets the first one's."""
    mirror.apply([seen(9, 9, first_name="Newest")])
    assert outcomes(seen(5, 5), seen(5, 5, clerk_id="user_b"), rows={}) == {
        "user_a": "late",
        "user_b": "created",
    }


class Heard:
    """Receivers of all signals."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def created(self, clerk_ids: list[str], **kwargs: Any) -> None:
        self.told.append(("created", clerk_ids))

    def updated(self, changes: dict[str, tuple[str, ...]], **kwargs: Any) -> None:
        self.told.append(("updated", changes))

    def deleted(self, clerk_ids: list[str], **kwargs: Any) -> None:
        self.told.append(("deleted", clerk_ids))


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What the signals told."""
    receivers = Heard()
    wired: list[tuple[Signal, Callable[..., None]]] = [
        (signals.user_created, receivers.created),
        (signals.user_updated, receivers.updated),
        (signals.user_deleted, receivers.deleted),
    ]
    for signal, receiver in wired:
        signal.connect(receiver)
    yield receivers
    for signal, receiver in wired:
        signal.disconnect(receiver)


@pytest.mark.django_db(transaction=True)
def test_signals__one_for_each_kind_and_batch(heard: Heard) -> None:
    """Ids in bulk, with the names of the fields that changed."""
    mirror.apply(many(3))
    mirror.apply([seen(2, 2, clerk_id="user_00001", first_name="Eva"), gone(5, clerk_id="user_00002")])
    assert heard.told == [
        ("created", ["user_00000", "user_00001", "user_00002"]),
        ("updated", {"user_00001": ("first_name", "updated_at")}),
        ("deleted", ["user_00002"]),
    ]


@pytest.mark.django_db(transaction=True)
def test_signals__nothing_before_the_commit(heard: Heard) -> None:
    """A rolled-back batch tells nobody."""
    with transaction.atomic():
        mirror.apply(many(3))
        assert heard.told == []
        transaction.set_rollback(True)
    assert heard.told == []


@pytest.mark.django_db(transaction=True)
def test_signals__a_broken_receiver_costs_nothing(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    """The users are in the table, the other receivers are told, and the error is logged."""

    def broken(**kwargs: Any) -> None:
        raise ValueError("of the host application")

    signals.user_created.connect(broken, weak=False)
    try:
        mirror.apply(many(1))
    finally:
        signals.user_created.disconnect(broken)
    assert ClerkUser.objects.count() == 1
    assert heard.told == [("created", ["user_00000"])]
    assert "of the host application" in caplog.text


def bury(*numbers: int, **options: Any) -> dict[str, str]:
    """Find these users gone."""
    ids = [f"user_{number:05}" for number in numbers]
    mirror.apply([missed(100, clerk_id=clerk_id) for clerk_id in ids])
    return outcomes(*[absent(200, clerk_id=clerk_id) for clerk_id in ids], **options)


def test_breaker__three_at_any_rate() -> None:
    """Even of a small table three users may go."""
    mirror.apply(many(5))
    assert set(bury(0, 1, 2).values()) == {"deleted"}
    with pytest.raises(DeletesRefused, match="--allow-deletes 1"):
        bury(3)
    assert ClerkUser.objects.active().count() == 2


def test_breaker__a_fifth_of_a_table_of_a_hundred() -> None:
    """21 of 100 are refused as a whole, 20 are not."""
    mirror.apply(many(100))
    with pytest.raises(DeletesRefused):
        bury(*range(21))
    assert ClerkUser.objects.active().count() == 100
    assert set(bury(*range(20)).values()) == {"deleted"}


def test_breaker__counts_over_a_day() -> None:
    """What was buried today counts, what was buried before does not."""
    mirror.apply(many(5))
    bury(0, 1, 2)
    later = 25 * 3_600_000
    mirror.apply([missed(later, clerk_id="user_00003")])
    assert outcomes(absent(later + 1, clerk_id="user_00003")) == {"user_00003": "deleted"}


def test_breaker__an_operator_may_allow_more() -> None:
    """``max_deletes`` replaces the limit."""
    mirror.apply(many(10))
    assert set(bury(*range(8), max_deletes=8).values()) == {"deleted"}


@pytest.mark.parametrize("limit", [1, lambda active: active // 10])
def test_breaker__setting(limit: Any, settings: Any) -> None:
    """MAX_DELETES is a number or takes the number of active users."""
    settings.CLERKSYNC_MAX_DELETES = limit
    mirror.apply(many(10))
    with pytest.raises(DeletesRefused):
        bury(0, 1)
    assert bury(0) == {"user_00000": "deleted"}


def test_breaker__deletes_by_event_are_exempt() -> None:
    """What Clerk reports is believed."""
    mirror.apply(many(10))
    assert set(outcomes(*[gone(5, clerk_id=f"user_{n:05}") for n in range(10)]).values()) == {Outcome.DELETED}


def test_payload__of_deep_nesting_can_be_read() -> None:
    """What the careful way stored, the model gives back."""
    deep = b'{"a":' * 1_200 + b"1" + b"}" * 1_200
    body = json.dumps(user_json(unsafe_metadata=7)).encode().replace(b": 7", b": " + deep)
    mirror.apply([Parser().parse_user(body, source=Source.GET, observed_ms=T0)])
    payload = ClerkUser.objects.get().payload
    assert payload is not None
    assert "a" in payload["unsafe_metadata"]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/New_York"])
def test_compare_fields__without_time_zones(zone: str) -> None:
    """With ``USE_TZ = False`` columns hold naive times, of the project's zone."""
    with override_settings(USE_TZ=False, TIME_ZONE=zone):
        observation = seen(1, 1, created_at=T0 - 3_600_000)
        mirror.apply([observation])
        assert observation.fields is not None
        assert compare_fields(ClerkUser.objects.get(), observation.fields) == {}
        assert mirror.apply([observation], compare_all=True)["user_a"].outcome is Outcome.UNCHANGED
