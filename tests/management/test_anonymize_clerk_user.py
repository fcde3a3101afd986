"""``manage.py anonymize_clerk_user``: whatever is kept of a user goes, for good, and is seen to be gone."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import override_settings

from clerksync import __version__, scrubbing, subjects
from clerksync.audit import Audit
from clerksync.models import ClerkUser, SyncRun, WebhookEvent
from clerksync.testing import FakeClerk
from tests.deliveries import body_of, deliver
from tests.erasing import VALUES, add_person, in_files, row, send_events
from tests.syncing import Syncer, table

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may be testing on the same server, in long transactions."""
    monkeypatch.setattr(scrubbing, "PATIENCE_MS", 60_000)


@pytest.fixture
def person(clerk_server: FakeClerk) -> str:
    """Somebody with content in every table, who is still in Clerk."""
    return add_person(clerk_server)


@pytest.fixture
def gone(person: str, clerk_server: FakeClerk) -> str:
    """The same, deleted in Clerk, of which nobody has told us."""
    clerk_server.delete_user(person)
    return person


def anonymize(clerk_id: str, *options: str) -> tuple[int, str]:
    """The exit status and what the command said; it leaves the files alone unless told otherwise.

    Whoever rewrites them waits for the tests of other processes on the same server.
    """
    out = io.StringIO()
    try:
        call_command("anonymize_clerk_user", clerk_id, "--no-input", "--vacuum", "none", *options, stdout=out)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def receipt_of(clerk_id: str, *options: str) -> dict[str, Any]:
    """The receipt of a command that goes well."""
    status, said = anonymize(clerk_id, "--format", "json", *options)
    assert status == 0, said
    receipt: dict[str, Any] = json.loads(said)
    return receipt


def notes_of(clerk_id: str, *options: str) -> list[str]:
    """What the receipt of a command with all defaults notes of the files."""
    notes: list[str] = receipt_of(clerk_id, "--vacuum", "auto", *options)["notes"]
    return notes


def test_files__hold_nothing(gone: str) -> None:
    """A search of all files of the database finds none of the user's values, old ones included."""
    if connection.vendor == "sqlite":  # PostgreSQL compresses long texts, so that not all are found in plain
        assert in_files(*VALUES) == set(VALUES)
    assert in_files("quillane@harbour-works.io")
    assert notes_of(gone, "--verify") == []
    assert in_files(*VALUES) == set()


def test_files__hold_no_samples(gone: str) -> None:
    """What the database has kept of the columns for its planner goes, too."""
    with connection.cursor() as cursor:
        for model in (ClerkUser, WebhookEvent):
            cursor.execute(f"ANALYZE {model._meta.db_table}")
    assert notes_of(gone) == []
    assert in_files(*VALUES) == set()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's readers see no rows that are gone")
@pytest.mark.parametrize(
    ("database", "doing"), [("", "SELECT 1"), ("postgres", "SELECT pg_current_xact_id()")]
)
def test_files__while_others_work(
    gone: str, database: str, doing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL keeps old rows for readers, and for writers of any database: the receipt says for whom."""
    reader = connection.copy()
    reader.settings_dict = {**reader.settings_dict, "NAME": database or reader.settings_dict["NAME"]}
    try:
        with transaction_of(reader, doing) as pid, monkeypatch.context() as impatient:
            impatient.setattr(scrubbing, "PATIENCE_MS", 100)
            notes = notes_of(gone)
    finally:
        reader.close()
    # Other tests on the same server may be named as well.
    told = [note.partition("processes ")[2].partition(". ")[0].split(", ") for note in notes]
    assert any(str(pid) in pids for pids in told), notes
    assert notes_of(gone) == []
    assert in_files(*VALUES) == set()


@contextmanager
def transaction_of(reader: Any, doing: str) -> Iterator[int]:
    """Let another connection be amid a transaction; its process."""
    with reader.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(doing)
        cursor.execute("SELECT pg_backend_pid()")
        yield cursor.fetchone()[0]
        cursor.execute("ROLLBACK")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no roles")
def test_files__of_another_owner(gone: str) -> None:
    """PostgreSQL only warns whoever may not rewrite a table."""
    tables = [ClerkUser._meta.db_table]
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE visitor")
        cursor.execute(f"GRANT SELECT ON {tables[0]} TO visitor")
        try:
            cursor.execute("SET ROLE visitor")
            notes = scrubbing.scrub(tables, using="default")
        finally:
            cursor.execute("RESET ROLE")
            cursor.execute("DROP OWNED BY visitor")
            cursor.execute("DROP ROLE visitor")
    assert [note.partition(":")[0] for note in notes] == [
        f"{name} was not rewritten (only its owner or the database's may do that)"
        for name in (f'"{tables[0]}"', scrubbing.SAMPLES)
    ]


def test_receipt__says_what_and_when(gone: str) -> None:
    """It names the tables and the version."""
    receipt = receipt_of(gone, "--verify")
    assert (receipt["clerk_id"], receipt["version"], receipt["in_clerk"]) == (gone, __version__, False)
    assert receipt["rows"]["clerksync_clerkuser"] == 1
    assert receipt["rows"]["clerksync_webhookevent"] == 5
    assert receipt["values"] > len(VALUES)
    assert receipt["found"] == []


def test_receipt__in_words(gone: str) -> None:
    """The same for people."""
    status, said = anonymize(gone, "--verify")
    assert status == 0
    assert f"{gone}, 20" in said
    assert "clerksync_clerkuser: 1 row blanked\n" in said
    assert "texts of the user were looked for in all tables\n" in said


def test_receipt__a_second_time(gone: str) -> None:
    """Once nothing is known of the user there is nothing to look for, which is no proof; the receipt says so."""
    receipt_of(gone)
    receipt = receipt_of(gone, "--verify")
    assert (receipt["values"], receipt["found"]) == (0, [])
    assert subjects.NOTHING_TO_LOOK_FOR in receipt["notes"]


def test_row__is_a_tombstone(gone: str) -> None:
    """The id stays, for what points at it."""
    anonymize(gone)
    user = row(gone)
    assert (user.is_anonymized, user.deleted_by, user.email, user.digest) == (
        True,
        "operator",
        None,
        "erased",
    )


def test_still_in_clerk__refused(person: str) -> None:
    """The user has to be deleted there first; nothing is blanked."""
    status, said = anonymize(person)
    assert (status, "Delete the user in Clerk first" in said) == (4, True)
    assert row(person).email == "quillane@harbour-works.io"


def test_another_instance__refused(gone: str, clerk_server: FakeClerk) -> None:
    """A key that opens another instance knows nobody, and proves nothing, even by force."""
    clerk_server.instance.instance_id = "ins_another"
    assert anonymize(gone, "--force")[0] == 4
    assert row(gone).email is not None


def test_clerk_unreachable__refused(gone: str, clerk_server: FakeClerk) -> None:
    """Nobody knows whether the user is gone; by force it goes on, and says so."""
    clerk_server.fail(403, times=None, on="*")
    assert anonymize(gone)[0] == 1
    assert row(gone).email is not None
    assert "Clerk was not asked" in anonymize(gone, "--force")[1]
    assert row(gone).email is None


def test_force__nothing_comes_back(person: str, clerk_server: FakeClerk) -> None:
    """Sweeps, scans, events, reads by id and pages write nothing of a user whom Clerk still has."""
    status, said = anonymize(person, "--force")
    assert (status, "Clerk still has the user: delete them there as well." in said) == (0, True)
    before = table()[person]
    clerk_server.update_user(person, last_name="Anew")
    clerk_server.advance(seconds=600)
    syncer = Syncer(clerk_server)
    for report in (syncer.full(), syncer.full(compare_all=True), syncer.incremental(), syncer.users(person)):
        assert report.error is None
    send_events(clerk_server, person)
    assert table()[person] == before
    about = WebhookEvent.objects.exclude(object_id__in=("orginv_1", "org_1"))
    assert set(about.values_list("payload_text", flat=True)) == {None}
    with syncer.client() as client:
        assert list(Audit(client).findings()) == []


def test_force__webhook(person: str, clerk_server: FakeClerk) -> None:
    """An event about the user is recorded, without what it says."""
    anonymize(person, "--force")
    user = next(user for user in clerk_server.users() if user["id"] == person)
    deliver(
        body_of(
            "user.updated", user, at=clerk_server.clock.now_ms() + 9, instance_id=clerk_server.instance_id
        )
    )
    assert WebhookEvent.objects.latest("pk").payload_text is None
    assert row(person).first_name is None


def test_lift__the_user_is_read_again(person: str, clerk_server: FakeClerk) -> None:
    """Who was anonymized by mistake is read from Clerk by the next sync."""
    anonymize(person, "--force")
    status, said = anonymize(person, "--lift")
    assert (status, "will be read from Clerk again" in said) == (0, True)
    clerk_server.advance(seconds=60)
    assert Syncer(clerk_server).full().counts["revived"] == 1
    assert row(person).email == "quillane@harbour-works.io"


def test_lift__nobody(person: str) -> None:
    """Who is not deleted needs no lifting."""
    assert anonymize(person, "--lift") == (2, f"{person} is no deleted user")


def test_unknown_id(person: str) -> None:
    """A misspelt id is told, and leaves no row behind."""
    assert anonymize("user_nobody")[0] == 2
    assert not ClerkUser.objects.filter(pk="user_nobody").exists()


@pytest.mark.parametrize(("answer", "done"), [("yes", True), ("no", False)])
def test_confirmation(gone: str, monkeypatch: pytest.MonkeyPatch, answer: str, done: bool) -> None:  # noqa: FBT001  # a parameter
    """Without --no-input it asks, and anything but yes changes nothing."""
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    with nullcontext() if done else pytest.raises(CommandError, match="Nothing was done"):
        call_command("anonymize_clerk_user", gone, stdout=io.StringIO())
    assert (row(gone).email is None) is done


def test_verify__finds_what_is_left(gone: str) -> None:
    """A text that stands where nobody looks for it is told, with status 1; the texts are not."""
    SyncRun.objects.update(error="could not write quillane@harbour-works.io")
    status, said = anonymize(gone, "--verify")
    assert (status, "clerksync_syncrun.error: found in " in said, "quillane" in said) == (1, True, False)


def test_verify__later(gone: str) -> None:
    """Once the user is anonymized the texts must be given; nothing is changed."""
    anonymize(gone)
    revision = row(gone).revision
    assert anonymize(gone, "--verify", "--value", "quillane@harbour-works.io")[0] == 0
    SyncRun.objects.update(error="could not write quillane@harbour-works.io")
    assert anonymize(gone, "--verify", "--value", "quillane@harbour-works.io")[0] == 1
    assert row(gone).revision == revision


def test_verify__of_others(gone: str, clerk_server: FakeClerk) -> None:
    """What another user has as well is theirs, and no leak."""
    clerk_server.create_user(first_name="Quillane", email="quillane@harbour-works.io")
    Syncer(clerk_server).full()
    receipt = receipt_of(gone, "--verify", "--force")
    assert {leak["column"]: (leak["rows"], leak["shared"]) for leak in receipt["found"]} == {
        "email": (0, 1),
        "first_name": (0, 1),
        "payload_text": (0, 1),
    }


def test_django_user__told(gone: str) -> None:
    """The receipt says that the linked Django user still holds what it held."""
    user = User.objects.create(username="quillane")
    ClerkUser.objects.filter(pk=gone).update(user=user)
    assert f"The linked Django user {user.pk} keeps what its own fields hold" in anonymize(gone)[1]


def test_django_user__fails(gone: str) -> None:
    """If the project's code fails nothing is blanked."""
    ClerkUser.objects.filter(pk=gone).update(user=User.objects.create(username="quillane"))
    with override_settings(CLERKSYNC_USER_ON_DELETE=lambda user: 1 / 0):
        assert anonymize(gone)[0] == 1
    assert row(gone).email is not None


def test_vacuum__none(gone: str) -> None:
    """The files can be left as they are, and the receipt says what that means."""
    assert "left as they are" in anonymize(gone)[1]


def test_twice(gone: str) -> None:
    """The second time there is nothing to blank."""
    anonymize(gone)
    assert receipt_of(gone)["rows"] == {}
