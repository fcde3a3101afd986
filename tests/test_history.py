"""The change history: written with the change, undone by ``as_of``, gone with the person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from clerksync import erasure, history, mirror
from clerksync.exceptions import PastUnknown
from clerksync.models import ClerkUser, ClerkUserChange
from clerksync.payloads import Parser, Source
from tests.observed import T0, absent, gone, observe, seen, user_json

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def history_on(settings: Any) -> None:
    """All tests of this module keep the history."""
    settings.CLERKSYNC_HISTORY = True


def changes(clerk_id: str = "user_a") -> list[tuple[str, dict[str, Any]]]:
    """The history of a user, oldest first."""
    rows = ClerkUserChange.objects.filter(clerk_id=clerk_id).order_by("revision")
    return [(row.outcome, row.fields) for row in rows]


def moment(ms: int) -> datetime:
    """A time, in ms after T0."""
    return datetime.fromtimestamp((T0 + ms) / 1000, UTC)


def user() -> ClerkUser:
    """The row."""
    return ClerkUser.objects.get(pk="user_a")


def test_off__by_default(settings: Any) -> None:
    """Nothing is kept, and nothing is read for it."""
    settings.CLERKSYNC_HISTORY = False
    mirror.apply([seen(1, 1)])
    with CaptureQueriesContext(connection) as queries:
        mirror.apply([seen(2, 2, first_name="Bea")])
    assert not any("clerkuserchange" in query["sql"] for query in queries)
    assert changes() == []


def test_recorded__old_and_new() -> None:
    """Columns that changed, with both values; whoever caused it; when, there and here."""
    mirror.apply([seen(1, 1, public_metadata={"plan": "free"})])
    mirror.apply([seen(9, 9, first_name="Bea", public_metadata={"plan": "pro"}, legal_accepted_at=T0)])
    assert changes() == [
        ("created", {}),
        ("updated", {
            "first_name": ("Ada", "Bea"),
            "legal_accepted_at": (None, T0),
            "public_metadata": ('{"plan":"free"}', '{"plan":"pro"}'),
        }),
    ]  # fmt: skip
    change = ClerkUserChange.objects.get(outcome="updated")
    assert (change.source, change.at_ms, change.before_ms, change.revision) == ("webhook", T0 + 9, T0 + 1, 2)


def test_recorded__nothing_that_is_only_written_otherwise() -> None:
    """Columns are compared by what they say, whoever wrote them; flags are told as flags."""
    same: dict[str, Any] = {"legal_accepted_at": T0 + 123, "public_metadata": {"b": [1, 2.5], "a": "ž"}}
    mirror.apply([seen(1, 1, **same)])
    row = user()
    row.banned = True
    row.save()
    mirror.apply([seen(9, 9, first_name="Bea", **same)])
    fields = changes()[-1][1]
    assert fields == {"first_name": ("Ada", "Bea"), "banned": (True, False)}
    assert fields["banned"][0] is True


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_recorded__times(settings: Any, zone: str) -> None:
    """Old times are told in ms, in whatever zone SQLite holds them."""
    settings.TIME_ZONE = zone
    mirror.apply([seen(1, 1, legal_accepted_at=T0 + 123)])
    mirror.apply([seen(2, 2, legal_accepted_at=T0 + 456)])
    assert changes()[-1][1] == {"legal_accepted_at": (T0 + 123, T0 + 456)}


def test_recorded__delete_and_revival() -> None:
    """The state is a column like others."""
    mirror.apply([seen(1, 1)])
    mirror.apply([gone(5)])
    mirror.apply([seen(7, 9, source=Source.GET, first_name="Bea")])
    assert changes()[1:] == [
        ("deleted", {"state": ("active", "deleted")}),
        ("revived", {"first_name": ("Ada", "Bea"), "state": ("deleted", "active")}),
    ]


def test_not_recorded__no_change() -> None:
    """What is unchanged, late, in doubt or volatile only is no change."""
    mirror.apply([seen(5, 5)])
    mirror.apply([seen(5, 6)])
    mirror.apply([seen(4, 4, first_name="Late")])
    mirror.apply([seen(5, 7, last_sign_in_at=T0)])
    assert [outcome for outcome, _ in changes()] == ["created"]


def test_recorded__in_one_statement() -> None:
    """However many users there are."""
    mirror.apply([seen(1, 1, clerk_id=f"user_{number:03}") for number in range(60)])
    batch = [seen(2, 2, clerk_id=f"user_{number:03}", first_name="Bea") for number in range(60)]
    with CaptureQueriesContext(connection) as queries:
        mirror.apply(batch)
    assert len(queries) <= 12
    assert ClerkUserChange.objects.filter(outcome="updated").count() == 60


def test_recorded__with_the_change_or_not_at_all() -> None:
    """A transaction that fails takes both."""
    mirror.apply([seen(1, 1)])
    with transaction.atomic():
        mirror.apply([seen(2, 2, first_name="Bea")])
        transaction.set_rollback(True)
    assert [outcome for outcome, _ in changes()] == ["created"]


def test_excluded__under_the_setting_as_it_is() -> None:
    """An old value that is not to be stored any more is not stored in the history either."""
    private: dict[str, Any] = {
        "private_metadata": {"note": "hush"},
        "public_metadata": {"ssn": "078-05", "plan": "free"},
    }
    mirror.apply([seen(1, 1, **private)])
    with override_settings(CLERKSYNC_EXCLUDE_FIELDS=["private_metadata", "public_metadata.ssn"]):
        parser = Parser.from_settings()
        now = user_json(updated_at=T0 + 5, **private, first_name="Bea")
        now["public_metadata"] = {"ssn": "078-06", "plan": "pro"}
        mirror.apply([observe(now, source=Source.WEBHOOK, s=T0 + 5, parser=parser)])
    fields = changes()[-1][1]
    assert fields["public_metadata"] == ('{"plan":"free"}', '{"plan":"pro"}')
    assert "private_metadata" not in fields
    assert "hush" not in ClerkUserChange.objects.latest("pk").fields_text


def test_as_of__each_version() -> None:
    """Every version that ever was can be had again, metadata, times and state included."""
    mirror.apply([seen(100, 100, public_metadata={"plan": "free"})])
    mirror.apply([seen(200, 200, first_name="Bea", public_metadata={"plan": "pro"}, legal_accepted_at=T0)])
    mirror.apply([gone(300)])
    names = [(past.first_name, past.public_metadata, past.state) for past in map(user().as_of, (
        moment(100), moment(199), moment(200), moment(299), moment(300),
    ))]  # fmt: skip
    free, pro = {"plan": "free"}, {"plan": "pro"}
    assert names == [
        ("Ada", free, "active"), ("Ada", free, "active"), ("Bea", pro, "active"), ("Bea", pro, "active"),
        ("Bea", pro, "deleted"),
    ]  # fmt: skip
    past = user().as_of(moment(150))
    assert (past.updated_at, past.legal_accepted_at, past.deleted_at) == (moment(100), None, None)
    assert past.payload is None


def test_as_of__before_the_user() -> None:
    """There was nobody, which is an error that says so."""
    mirror.apply([seen(100, 100)])
    with pytest.raises(PastUnknown, match="was not there"):
        user().as_of(moment(99))


def test_as_of__before_the_history(settings: Any) -> None:
    """What nobody recorded is not made up; what has not changed since is known all the same."""
    settings.CLERKSYNC_HISTORY = False
    mirror.apply([seen(100, 100)])
    settings.CLERKSYNC_HISTORY = True
    assert user().as_of(moment(100)).first_name == "Ada"
    with pytest.raises(PastUnknown, match="goes back to"):
        user().as_of(moment(99))
    mirror.apply([seen(200, 200, first_name="Bea")])
    assert user().as_of(moment(150)).first_name == "Ada"
    ClerkUserChange.objects.all().delete()
    with pytest.raises(PastUnknown):
        user().as_of(moment(150))


def test_as_of__a_delete_that_has_no_history(settings: Any) -> None:
    """A delete raises no version: when it was is known by the row, or not at all."""
    settings.CLERKSYNC_HISTORY = False
    mirror.apply([seen(100, 100)])
    mirror.apply([gone(300)])
    assert user().as_of(moment(300)).state == "deleted"
    with pytest.raises(PastUnknown, match="goes back to"):
        user().as_of(moment(299))
    settings.CLERKSYNC_HISTORY = True
    mirror.apply([seen(400, 400, source=Source.GET)])
    assert [outcome for outcome, _ in changes()] == ["revived"]
    assert user().as_of(moment(400)).state == "active"
    with pytest.raises(PastUnknown, match="goes back to nothing"):
        user().as_of(moment(350))


def test_prune__by_age(settings: Any) -> None:
    """Old changes go, in batches; newer ones stay."""
    settings.CLERKSYNC_HISTORY_DAYS = 30
    mirror.apply([seen(1, 1), seen(1, 1, clerk_id="user_b")])
    ClerkUserChange.objects.filter(clerk_id="user_b").update(written_at=F("written_at") - timedelta(days=31))
    assert history.prune() == 1
    assert changes("user_b") == []
    assert len(changes()) == 1


def test_anonymized__history_goes_as_well() -> None:
    """Nothing of the person is left in it, and the blanking itself is no change with old values."""
    mirror.apply([seen(1, 1)])
    mirror.apply([seen(2, 2, first_name="Bea")])
    mirror.apply([absent(100_000_000)], max_deletes=1)
    counts = erasure.anonymize(["user_a"], for_good=False)
    assert counts["clerksync_clerkuserchange"] == 3
    assert changes() == []
