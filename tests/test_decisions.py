"""The apply rule, clause by clause."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec
import pytest

from clerksync.decisions import decide, fold
from clerksync.payloads import Observation, Parser, Source
from clerksync.records import Decision, Doubt, Outcome, Row
from tests.observed import T0, absent, gone, missed, observe, partial, seen, user_json


def after(*observations: Observation) -> Row | None:
    """The row after these observations, one by one."""
    row: Row | None = None
    for observation in observations:
        row = decide(row, observation).row or row
    return row


def row_after(*observations: Observation) -> Row:
    """The same, of a user who has a row."""
    row = after(*observations)
    assert row is not None
    return row


def last(*observations: Observation) -> Decision:
    """What the last of these observations does."""
    return decide(after(*observations[:-1]), observations[-1])


def name(row: Row | None) -> str | None:
    """The first name that the row shows."""
    return row.watched[3] if row else None


def test_version__no_row_is_created() -> None:
    """Nothing is known: the user is inserted."""
    assert last(seen(0, 0)).outcome is Outcome.CREATED


def test_version__greater_replaces() -> None:
    """A greater version replaces the row."""
    assert last(seen(0, 0), seen(1, 1, first_name="Eva")).outcome is Outcome.UPDATED


def test_version__greater_replaces_even_with_an_equal_digest() -> None:
    """A@10, A@20, late B@15 ends in A: the version moves although the content is the same."""
    row = row_after(seen(10, 10), seen(20, 20), seen(15, 15, first_name="Eva"))
    assert (name(row), row.updated_ms) == ("Ada", T0 + 20)


def test_version__smaller_is_late() -> None:
    """A smaller version is kept out."""
    assert last(seen(2, 2), seen(1, 5)) == Decision(Outcome.LATE)


def test_version__an_older_one_in_a_newer_list_is_a_doubt() -> None:
    """Clerk's list, read clearly after the row, shows less than we have: one of both is wrong."""
    assert last(seen(9, 9), seen(1, 5_009, source=Source.LIST)) == Decision(Outcome.LATE)
    row = row_after(seen(9, 9), seen(1, 5_010, source=Source.LIST))
    assert (name(row), row.doubt_reason) == ("Ada", Doubt.REGRESSED)


def test_same_version__same_content_writes_nothing() -> None:
    """Equal version, equal digest: nothing to write, however late the snapshot."""
    assert last(seen(1, 1), seen(1, 9, source=Source.LIST)) == Decision(Outcome.UNCHANGED)


def test_same_version__volatile_fields_are_touched() -> None:
    """A later snapshot that differs in volatile fields only is stored, and is no change."""
    assert last(seen(1, 1), seen(1, 9, last_active_at=T0)).outcome is Outcome.TOUCHED


def test_same_version__older_volatile_fields_are_left_out() -> None:
    """An older snapshot that differs in volatile fields only is no reason to write."""
    assert last(seen(1, 9), seen(1, 1, last_active_at=T0)) == Decision(Outcome.UNCHANGED)


def test_same_version__other_content_is_a_doubt() -> None:
    """A tie keeps the later snapshot and marks the row, whichever came first."""
    for order in itertools.permutations([seen(1, 5, first_name="Eva"), seen(1, 4)]):
        row = row_after(*order)
        assert (name(row), row.doubt_reason, row.doubt_ms) == ("Eva", Doubt.TIE, T0 + 5)


def test_same_version__a_tie_in_time_does_not_depend_on_the_order() -> None:
    """Equal version and equal snapshot: every order ends with the same content."""
    orders = itertools.permutations([seen(1, 1), seen(1, 1, first_name="Eva"), seen(1, 1, first_name="Ida")])
    assert len({name(after(*order)) for order in orders}) == 1


def test_same_version__other_settings_rewrite_silently() -> None:
    """A digest made under other settings is no tie: the row takes the new shape, and no doubt."""
    reshaped = observe(
        user_json(updated_at=T0 + 1),
        s=T0 + 9,
        parser=Parser(exclude=["private_metadata"], store_payload=False),
    )
    decision = last(seen(1, 1), reshaped)
    assert (decision.outcome, decision.row and decision.row.doubt_reason) == (Outcome.TOUCHED, "")


def test_read_by_id__ends_a_tie() -> None:
    """A read by id that is later than the doubt replaces at an equal version and settles it."""
    decision = last(seen(1, 1), seen(1, 2, first_name="Eva"), seen(1, 9, source=Source.GET, first_name="Ida"))
    assert decision.row is not None
    assert (name(decision.row), decision.row.doubt_reason) == ("Ida", "")


def test_read_by_id__settles_without_content_where_nothing_differs() -> None:
    """A doubt that proves groundless is cleared; the content is not written again."""
    decision = last(seen(1, 1), missed(2), seen(1, 9, source=Source.GET))
    assert decision.row is not None
    assert (decision.content, decision.row.doubt_reason) == (None, "")


def test_read_by_id__older_than_the_doubt_settles_nothing() -> None:
    """A read that began before the doubt arose cannot answer it."""
    row = row_after(seen(1, 1), missed(5), seen(1, 4, source=Source.GET))
    assert row.doubt_reason == Doubt.ABSENT


def test_read_by_id__a_lower_version_is_noted_first() -> None:
    """Clerk shows less than we have: the row stays and is in doubt."""
    row = row_after(seen(9, 9), seen(1, 20_000, source=Source.GET, first_name="Eva"))
    assert (name(row), row.doubt_reason, row.regressed_ms) == ("Ada", Doubt.REGRESSED, T0 + 20_000)


@pytest.mark.parametrize(("second", "outcome"), [(79_999, Outcome.DOUBTED), (80_000, Outcome.CORRECTED)])
def test_read_by_id__a_lower_version_is_believed_the_second_time(second: int, outcome: Outcome) -> None:
    """Two reads at least a minute apart overrule a greater version."""
    first = seen(1, 20_000, source=Source.GET, first_name="Eva")
    again = seen(1, second, source=Source.GET, first_name="Eva")
    assert last(seen(9, 9), first, again).outcome is outcome


@pytest.mark.parametrize(("ahead", "outcome"), [(300_000, Outcome.CREATED), (300_001, Outcome.DOUBTED)])
def test_future__a_version_far_after_its_snapshot_is_not_believed(ahead: int, outcome: Outcome) -> None:
    """More than five minutes ahead of the snapshot makes an incomplete row in doubt."""
    assert last(seen(ahead, 0)).outcome is outcome


def test_partial__never_overwrites() -> None:
    """A partial observation raises a doubt and leaves every field."""
    decision = last(seen(1, 1), partial(seen(5, 5, first_name=None)))
    assert decision.row is not None
    assert (decision.content, name(decision.row), decision.row.updated_ms) == (None, "Ada", T0 + 1)


def test_partial__creates_an_incomplete_row() -> None:
    """Known by id only: version and snapshot are 0, so that anything full replaces it."""
    row = row_after(partial(seen(5, 5)))
    assert (row.state, row.updated_ms, row.observed_ms, row.doubt_reason) == (
        "incomplete",
        0,
        0,
        Doubt.UNPARSABLE,
    )


def test_partial__a_full_one_completes_it() -> None:
    """The first full observation of an incomplete row counts as created."""
    assert last(partial(seen(5, 5)), seen(1, 9)).outcome is Outcome.CREATED


def test_delete__buries() -> None:
    """``user.deleted`` leaves a tombstone with the version of the row and the time of the delete."""
    row = row_after(seen(1, 1), gone(5))
    assert (row.state, row.updated_ms, row.observed_ms, row.deleted_by) == (
        "deleted",
        T0 + 1,
        T0 + 5,
        "event",
    )


def test_delete__of_an_unknown_user_leaves_a_tombstone() -> None:
    """The delete may come before the create, which must then be kept out."""
    assert row_after(gone(5), seen(1, 1)).state == "deleted"


def test_delete__older_than_the_row_is_a_doubt() -> None:
    """A delete that is not later than the row contradicts it."""
    row = row_after(seen(5, 5), gone(5))
    assert (row.state, row.doubt_reason) == ("active", Doubt.LATE_DELETE)


def test_delete__ends_the_doubt_of_an_absence() -> None:
    """A list without the user said the same; in both orders the tombstone is out of doubt."""
    for order in itertools.permutations([gone(5), missed(9)]):
        row = row_after(seen(1, 1), *order)
        assert (row.state, row.doubt_reason, row.doubt_ms, row.retry_ms) == ("deleted", "", 0, 0)


def test_tombstone__takes_the_later_delete() -> None:
    """The greater time of two deletes stays, in any order."""
    assert {row_after(*order).observed_ms for order in itertools.permutations([gone(5), gone(7)])} == {T0 + 7}


def test_tombstone__a_list_that_shows_the_user_is_a_doubt() -> None:
    """Even an older list: the read by id decides, not we."""
    row = row_after(seen(1, 1), gone(5), seen(1, 4, source=Source.LIST))
    assert (row.state, row.doubt_reason) == ("deleted", Doubt.SEEN_AFTER_DELETE)


@pytest.mark.parametrize(("version", "outcome"), [(5, Outcome.LATE), (6, Outcome.DOUBTED)])
def test_tombstone__a_later_version_by_webhook_is_a_doubt(version: int, outcome: Outcome) -> None:
    """An update from after the delete is a contradiction; one from before it is just late."""
    assert last(seen(1, 1), gone(5), seen(version, 9)).outcome is outcome


def test_tombstone__a_later_read_by_id_revives() -> None:
    """Clerk has the user after all."""
    assert last(seen(1, 1), gone(5), seen(1, 6, source=Source.GET)).outcome is Outcome.REVIVED


def test_tombstone__an_earlier_read_by_id_does_not_revive() -> None:
    """A read that began before the delete says nothing about it."""
    assert last(seen(1, 1), gone(5), seen(9, 5, source=Source.GET)).outcome is Outcome.LATE


def test_tombstone__a_later_404_settles_its_doubt() -> None:
    """The user is gone, as we said."""
    row = row_after(seen(1, 1), gone(5), seen(1, 4, source=Source.LIST), absent(9))
    assert (row.state, row.doubt_reason) == ("deleted", "")


def test_absent__buries_a_user_who_is_old_enough() -> None:
    """A 404 by id of a full row is a delete, known by absence."""
    row = row_after(seen(1, 1), missed(5), absent(9))
    assert (row.state, row.deleted_by, row.doubt_reason) == ("deleted", "absence", "")


@pytest.mark.parametrize(("age", "state"), [(59_999, "active"), (60_000, "deleted")])
def test_absent__a_user_of_less_than_a_minute_stays(age: int, state: str) -> None:
    """A replica may not know a new user yet."""
    row = row_after(seen(1, 1, created_at=T0 + 20_000 - age), absent(20_000))
    assert row.state == state


def test_absent__an_incomplete_row_stays_in_doubt() -> None:
    """Nobody knows how old it is; the tries, each when it is due, grow further apart."""
    reads = [absent(9), absent(60_009), absent(180_009)]
    rows = [row_after(partial(seen(5, 5)), *reads[:tries]) for tries in (1, 2, 3)]
    assert [(row.state, row.doubt_reason, row.retry_ms - T0 - 9) for row in rows] == [
        ("incomplete", Doubt.ABSENT, 60_000),
        ("incomplete", Doubt.ABSENT, 180_000),
        ("incomplete", Doubt.ABSENT, 420_000),
    ]


def test_absent__earlier_than_the_row_is_a_doubt() -> None:
    """A 404 from before the snapshot does not bury it."""
    row = row_after(seen(5, 5), absent(5))
    assert (row.state, row.doubt_reason) == ("active", Doubt.ABSENT)


def test_absent__earlier_than_the_doubt_leaves_it_due() -> None:
    """A sync raised the doubt while another one asked; its own read, right after, must not be put off."""
    row = row_after(seen(1, 1), missed(9), absent(9))
    assert (row.state, row.doubt_ms, row.retry_ms, row.doubt_tries) == ("active", T0 + 9, T0 + 9, 0)


#: Reads by id that settle nothing, of active and of incomplete rows.
UNSETTLED: dict[str, tuple[Observation, Callable[[int], Observation]]] = {
    "unreadable": (seen(1, 1), lambda s: partial(seen(1, s, source=Source.GET))),
    "absent, incomplete": (partial(seen(1, 1)), absent),
    "absent, too young": (seen(1, 1, created_at=T0), absent),
}


@pytest.mark.parametrize("name", UNSETTLED)
def test_open__reads_beside_the_one_that_is_due(name: str) -> None:
    """The distance grows with tries, and not with readers who ask at the same time, or pages that do in between."""
    first, read = UNSETTLED[name]
    rows = [row_after(first, missed(9), *map(read, times)) for times in ([10], [10, 11, 30_000])]
    assert [(row.doubt_tries, row.retry_ms - T0) for row in rows] == [(1, 60_010)] * 2
    due = row_after(first, missed(9), *map(read, [10, 11, 58_000]))  # Clerk's Date may be behind by a little
    assert (due.doubt_tries, due.retry_ms - T0) == (2, 178_000)


@pytest.mark.parametrize("name", UNSETTLED)
def test_open__read_from_before_the_doubt(name: str) -> None:
    """Whatever it says, the doubt stays as it is, and due its own read."""
    first, read = UNSETTLED[name]
    before = row_after(first, missed(9))
    assert row_after(first, missed(9), read(8), read(9)) == before


def test_missed__is_a_doubt_that_is_due_at_once() -> None:
    """Sweeps settle absences in the same run."""
    row = row_after(seen(1, 1), missed(5))
    assert (row.state, row.doubt_reason, row.retry_ms) == ("active", Doubt.ABSENT, T0 + 5)


def test_missed__a_user_seen_after_the_list_is_a_doubt_too() -> None:
    """The read that settles it must then be later than the row."""
    row = row_after(seen(9, 9), missed(5))
    assert (row.doubt_reason, row.doubt_ms) == (Doubt.ABSENT, T0 + 9)


def test_tampered__is_mended_at_the_same_version() -> None:
    """A row whose watched columns are not what was applied takes the content again."""
    row = row_after(seen(1, 1))
    tampered = msgspec.structs.replace(row, watched=("x@example.com", None, None, "Ada", "Marsh"))
    assert decide(tampered, seen(1, 1, source=Source.LIST)).outcome is Outcome.UPDATED


def test_fold__several_observations_are_one_decision() -> None:
    """A batch with the same user twice is one write with one new revision."""
    decision = fold(None, [seen(2, 2, first_name="Eva"), seen(1, 1)])
    assert decision.row is not None
    assert (decision.outcome, name(decision.row), decision.row.revision) == (Outcome.CREATED, "Eva", 1)


def test_fold__an_older_list_before_a_newer_event_is_no_doubt() -> None:
    """Of one batch, what comes first is the older version, whatever arrived first."""
    newer, listed = seen(9, 9), seen(1, 60_000, source=Source.LIST)
    for batch in ([newer, listed], [listed, newer]):
        row = fold(None, batch).row
        assert row is not None
        assert (row.updated_ms, row.doubt_reason) == (newer.updated_ms, "")


def test_fold__any_order_of_webhooks_ends_in_the_same_row() -> None:
    """Order and duplication of a user's events decide nothing."""
    events = [
        seen(1, 1),
        seen(2, 2, first_name="Eva"),
        seen(3, 3, first_name="Ida"),
        gone(9),
        seen(2, 2, first_name="Eva"),
    ]
    states = {
        (row.state, row.observed_ms) for order in itertools.permutations(events) if (row := after(*order))
    }
    assert states == {("deleted", T0 + 9)}


def test_doubt__a_new_suspicion_keeps_the_distance_of_the_reads() -> None:
    """A user whom no read settles is not read again at each list that shows the same."""
    row = row_after(partial(seen(5, 5)), partial(seen(5, 9_000, source=Source.GET)))
    again = row_after(
        partial(seen(5, 5)), partial(seen(5, 9_000, source=Source.GET)), partial(seen(5, 20_000))
    )
    assert again.retry_ms == row.retry_ms == T0 + 69_000


def test_doubt__an_absence_is_due_at_once_all_the_same() -> None:
    """Sweeps settle absences in the same run."""
    row = row_after(partial(seen(5, 5)), partial(seen(5, 9_000, source=Source.GET)), missed(20_000))
    assert row.retry_ms == T0 + 20_000
