"""What becomes of deleted users: kept, anonymized, removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection, connections, models
from django.db.models import F
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clerksync import breaker, erasure, erasure_checks, forgotten, leaks, retention, signals, subjects
from clerksync.exceptions import SyncInterrupted
from clerksync.models import ClerkUser, ForgottenUser, SyncRun, WebhookEvent
from clerksync.testing import FakeClerk
from tests.deliveries import body_of, deliver
from tests.erasing import add_person, row
from tests.links import linking_on
from tests.observed import user_json
from tests.syncing import Syncer, synced

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def person(clerk_server: FakeClerk) -> str:
    """Somebody who has left, with a tombstone that is a day old."""
    clerk_id = add_person(clerk_server)
    clerk_server.delete_user(clerk_id)
    Syncer(clerk_server).full()
    age()
    return clerk_id


def age(*, hours: int = 25) -> None:
    """Let all rows be older, and the deletes as well."""
    passed = timedelta(hours=hours)
    ClerkUser.objects.update(last_written=F("last_written") - passed, deleted_at=F("deleted_at") - passed)


def prune(how: str, **options: Any) -> dict[str, int]:
    """Prune under this setting; what was done to users."""
    with override_settings(CLERKSYNC_ON_DELETE=how, **options):
        done = retention.prune()
    return {name: done[name] for name in ("anonymized", "removed")}


def test_keep__nothing_is_blanked(person: str) -> None:
    """By default a tombstone keeps what was known."""
    assert prune("keep") == {"anonymized": 0, "removed": 0}
    assert row(person).email == "quillane@harbour-works.io"


def test_anonymize__nothing_of_a_person_is_left(person: str) -> None:
    """Row, payload and events are blanked; the tombstone stays, with its times."""
    before = row(person)
    assert prune("anonymize") == {"anonymized": 1, "removed": 0}
    after = row(person)
    assert after.is_anonymized
    assert (after.email, after.payload_text, after.public_metadata, after.created_at) == (
        None,
        None,
        {},
        None,
    )
    assert (after.state, after.deleted_at, after.deleted_by) == (
        "deleted",
        before.deleted_at,
        before.deleted_by,
    )
    assert (after.updated_ms, after.revision) == (before.updated_ms, before.revision + 1)
    about = WebhookEvent.objects.exclude(object_id__in=("orginv_1", "org_1"))
    assert set(about.values_list("payload_text", flat=True)) == {None}
    assert prune("anonymize") == {"anonymized": 0, "removed": 0}


def test_anonymize__waiting_events(person: str) -> None:
    """An event that waited for a replay waits no longer: there is nothing left to replay."""
    WebhookEvent.objects.filter(object_id=person).update(state="parked", reason="of another Clerk instance")
    prune("anonymize")
    event = WebhookEvent.objects.get(object_id=person)
    assert (event.state, event.reason) == ("ignored", "nothing is kept of its user any more")


def test_anonymize__others_are_left_alone(person: str, clerk_server: FakeClerk) -> None:
    """Nobody else's row is written."""
    others = ClerkUser.objects.exclude(pk=person).order_by("pk")
    before = list(others.values())
    prune("anonymize")
    assert list(others.values()) == before
    assert Syncer(clerk_server).full().counts["unchanged"] == 3


def test_anonymize__later(person: str) -> None:
    """Not before its time."""
    assert prune("anonymize", CLERKSYNC_ANONYMIZE_AFTER_DAYS=30)["anonymized"] == 0
    ClerkUser.objects.update(deleted_at=F("deleted_at") - timedelta(days=31))
    assert prune("anonymize", CLERKSYNC_ANONYMIZE_AFTER_DAYS=30)["anonymized"] == 1


def test_anonymize__in_doubt(person: str, clerk_server: FakeClerk) -> None:
    """A tombstone that may be a mistake keeps its content until that is settled."""
    ClerkUser.objects.filter(pk=person).update(doubt_reason="seen after its delete")
    assert prune("anonymize")["anonymized"] == 0


def test_anonymize__late_events(person: str, clerk_server: FakeClerk) -> None:
    """An event that comes late writes nothing, neither into the row nor into the record of events."""
    prune("anonymize")
    user = {"id": person, "first_name": "Quillane", "created_at": 1, "updated_at": 2, "email_addresses": []}
    late = {**user, "has_image": False, "banned": False}
    told = deliver(
        body_of("user.updated", late, at=row(person).updated_ms - 5, instance_id=clerk_server.instance_id)
    )
    assert told == "superseded"
    assert row(person).first_name is None
    assert WebhookEvent.objects.latest("pk").payload_text is None


def test_anonymize__a_mistake_heals(person: str, clerk_server: FakeClerk) -> None:
    """Whom Clerk shows again, by id, is back with all that Clerk holds."""
    user = clerk_server.create_user(first_name="Isla")
    Syncer(clerk_server).full()
    ClerkUser.objects.filter(pk=user["id"]).update(
        state="deleted", deleted_at=F("last_written"), deleted_by="absence"
    )
    prune("anonymize")
    assert row(user["id"]).is_anonymized
    clerk_server.advance(seconds=60)
    assert Syncer(clerk_server).full().counts["revived"] == 1
    assert row(user["id"]).first_name == "Isla"


def test_delete__row_and_id_are_gone(person: str) -> None:
    """No table names the user any more; a digest is kept."""
    SyncRun.objects.create(
        kind="users", state="completed", started_at=timezone.now(), progressed_at=timezone.now(),
        skipped={person: "not readable"}, checkpoint={"cursor": person, "cursors": [person, "user_x"]},
        error=f"{person}: gone",
    )  # fmt: skip
    WebhookEvent.objects.filter(
        object_id="org_1"
    ).delete()  # what names users somewhere stays as long as others
    assert prune("delete") == {"anonymized": 0, "removed": 1}
    assert ForgottenUser.objects.get().digest == forgotten.digest(person)
    for model in (ClerkUser, WebhookEvent, SyncRun):
        assert person not in str(list(model._default_manager.values()))
    run = SyncRun.objects.get(kind="users")
    assert run.checkpoint == {"cursor": "a forgotten user", "cursors": ["user_x"]}


def test_delete__nothing_late_revives(person: str, clerk_server: FakeClerk) -> None:
    """An event, also of the delete itself, inserts no row; nor does a sync."""
    prune("delete")
    send = {"instance_id": clerk_server.instance_id}
    user = {
        "id": person,
        "created_at": 1,
        "updated_at": 2,
        "email_addresses": [],
        "has_image": False,
        "banned": False,
    }
    at = ForgottenUser.objects.get().observed_ms
    assert deliver(body_of("user.updated", user, at=at - 1, **send)) == "superseded"
    gone = {"object": "user", "id": person, "deleted": True}
    assert deliver(body_of("user.deleted", gone, at=at - 1, **send)) == "applied"
    assert Syncer(clerk_server).full().error is None
    assert not ClerkUser.objects.filter(pk=person).exists()


def test_delete__a_mistake_heals(clerk_server: FakeClerk) -> None:
    """A user whom Clerk has after all is doubted by the list, and revived by the read."""
    clerk_id = clerk_server.create_user(first_name="Isla")["id"]
    clerk_server.create_users(3)
    Syncer(clerk_server).full()
    ClerkUser.objects.filter(pk=clerk_id).update(
        state="deleted", deleted_at=F("last_written") - timedelta(hours=2), deleted_by="absence"
    )
    age()
    prune("delete")
    assert not ClerkUser.objects.filter(pk=clerk_id).exists()
    clerk_server.advance(seconds=60)
    assert Syncer(clerk_server).full().counts["revived"] == 1
    assert (row(clerk_id).first_name, ForgottenUser.objects.count()) == ("Isla", 0)


def test_delete__breaker_still_counts(clerk_server: FakeClerk) -> None:
    """Who was found gone is blanked at once, and removed when the limit of deletes counts it no longer."""
    syncer = Syncer(clerk_server)
    ids = synced(syncer, 40)
    for clerk_id in ids[:8]:
        clerk_server.delete_user(clerk_id)
    assert syncer.full().counts["deleted"] == 8
    left = breaker.remaining_deletes(now_ms=clerk_server.clock.now_ms())
    age(hours=2)
    assert prune("delete") == {"anonymized": 8, "removed": 0}
    assert all(row(clerk_id).is_anonymized for clerk_id in ids[:8])
    assert breaker.remaining_deletes(now_ms=clerk_server.clock.now_ms()) == left == 0
    age()
    assert prune("delete") == {"anonymized": 0, "removed": 8}


def test_delete__told_by_an_event(clerk_server: FakeClerk) -> None:
    """That is no mistake of a list's: the row goes after an hour."""
    syncer = Syncer(clerk_server)
    user = clerk_server.get(synced(syncer, 3)[0])
    clerk_server.delete_user(user["id"])
    clerk_server.send_webhook("user.deleted", user)
    assert row(user["id"]).deleted_by == "event"
    age(hours=2)
    assert prune("delete") == {"anonymized": 0, "removed": 1}


def test_delete__too_early(person: str) -> None:
    """A row that was written just now stays: somebody may be about to write it again."""
    ClerkUser.objects.update(last_written=timezone.now())
    assert prune("delete")["removed"] == 0


def test_delete__who_comes_back_at_this_moment(person: str) -> None:
    """Nothing is blanked of a user who is back when it is their turn."""
    user = link(person)

    def revive(execute: Any, sql: str, *args: Any) -> Any:
        is_chosen = "deleted_at" in sql and "ORDER BY" in sql
        result = execute(sql, *args)
        if is_chosen and sql.startswith("SELECT"):
            ClerkUser.objects.filter(pk=person).update(state="active", deleted_at=None)
        return result

    blank = "clerksync.djangousers.blank_django_user"
    with (
        override_settings(CLERKSYNC_ON_DELETE="delete", CLERKSYNC_USER_ON_DELETE=blank),
        connection.execute_wrapper(revive),
    ):
        assert erasure.prune() == {"anonymized": 0, "removed": 0}
    user.refresh_from_db()
    assert user.email == "quillane@harbour-works.io"
    assert WebhookEvent.objects.get(object_id=person).payload_text is not None


def test_delete__while_a_run_needs_the_id(person: str, clerk_server: FakeClerk) -> None:
    """A sync that may be resumed keeps its place."""
    SyncRun.objects.update(state="interrupted", checkpoint={"cursor": person}, started_at=F("finished_at"))
    assert prune("delete")["removed"] == 0
    assert ClerkUser.objects.filter(pk=person).exists()


@contextmanager
def orders(on_delete: Any, *, related_name: str | None = None) -> Iterator[Any]:
    """A model of a project's own that points at users, with its table."""

    class Order(models.Model):
        user = models.ForeignKey(ClerkUser, on_delete=on_delete, null=True, related_name=related_name)
        watchers = models.ManyToManyField(ClerkUser, related_name="+")

        class Meta:
            app_label = "project"

        def __str__(self) -> str:
            return str(self.pk)

    try:
        with connection.schema_editor() as editor:
            editor.create_model(Order)
        yield Order
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Order)
        del apps.all_models["project"]["order"], apps.all_models["project"]["order_watchers"]
        apps.clear_cache()


def test_delete__protected(person: str, clerk_server: FakeClerk) -> None:
    """A row that another model protects stays, without content, and the others go."""
    other = ClerkUser.objects.active().values_list("pk", flat=True)[0]
    clerk_server.delete_user(other)
    Syncer(clerk_server).full()
    age()
    with orders(models.PROTECT) as model:
        model.objects.create(user_id=person)
        assert prune("delete")["removed"] == 1
        assert row(person).is_anonymized
        model.objects.all().delete()
    assert not ClerkUser.objects.filter(pk=other).exists()


def test_delete__protected_for_long(person: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log is told once of a row that stays, and the row goes when nothing protects it any more."""
    with orders(models.PROTECT) as model:
        model.objects.create(user_id=person)
        for _ in range(3):
            prune("delete")
            age()
        assert caplog.text.count(f"the row of {person} stays, without content") == 1
        model.objects.all().delete()
    assert prune("delete")["removed"] == 1


def test_delete__many(clerk_server: FakeClerk) -> None:
    """The books are read once, however many batches there are."""
    ids = clerk_server.create_users(8)[:3]
    Syncer(clerk_server).full()
    clerk_server.advance(seconds=600)
    for clerk_id in ids:
        clerk_server.delete_user(clerk_id)
    Syncer(clerk_server).full()
    age()
    with (
        override_settings(CLERKSYNC_ON_DELETE="delete", CLERKSYNC_USER_ON_DELETE=print),
        CaptureQueriesContext(connection) as queries,
    ):
        assert erasure.prune()["removed"] == 3
    reads = [query for query in queries if f'FROM "{SyncRun._meta.db_table}"' in query["sql"]]
    assert len(reads) <= 2  # beside the books, the checkpoints of open runs


def test_delete__set_null(person: str) -> None:
    """What points at a row in another way does what it says."""
    with orders(models.SET_NULL) as model:
        model.objects.create(user_id=person)
        assert prune("delete")["removed"] == 1
        assert model.objects.get().user_id is None


def test_check__cascade() -> None:
    """The setting is refused while rows of others would go with a user; the message names the model."""
    with orders(models.CASCADE), override_settings(CLERKSYNC_ON_DELETE="delete"):
        (error,) = erasure_checks.check_cascades(None)
        assert (error.id, "project.Order.user" in error.msg) == ("clerksync.E060", True)
        with override_settings(CLERKSYNC_ON_DELETE="anonymize"):
            assert erasure_checks.check_cascades(None) == []
    with override_settings(CLERKSYNC_ON_DELETE="delete"):
        assert erasure_checks.check_cascades(None) == []


def test_check__hidden_cascade() -> None:
    """A foreign key without a way back from the user is found as well."""
    with orders(models.CASCADE, related_name="+"), override_settings(CLERKSYNC_ON_DELETE="delete"):
        (error,) = erasure_checks.check_cascades(None)
    assert "project.Order.user" in error.msg


def test_check__links() -> None:
    """The rows that tie a model to many users go with a user, and are nobody's loss."""
    with orders(models.SET_NULL), override_settings(CLERKSYNC_ON_DELETE="delete"):
        assert erasure_checks.check_cascades(None) == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nowhere.blank", "is a dotted path that leads nowhere"),
        ("clerksync.djangousers.WORDS", "is the dotted path of nothing that can be called"),
    ],
)
def test_check__user_on_delete(path: str, problem: str) -> None:
    """A path that leads to no function is an error."""
    with override_settings(CLERKSYNC_USER_ON_DELETE=path):
        (error,) = erasure_checks.check_user_on_delete(None)
    assert (error.id, error.msg) == ("clerksync.E061", f"CLERKSYNC_USER_ON_DELETE {problem}.")


def link(clerk_id: str) -> User:
    """A Django user of the row, filled from it."""
    user = User.objects.create(
        username=clerk_id,
        email="quillane@harbour-works.io",
        first_name="Quillane",
        last_name="Brackwater-Oduya",
    )
    ClerkUser.objects.filter(pk=clerk_id).update(user=user)
    return user


def test_django_user__blanked(person: str) -> None:
    """The callable that comes along takes name, address and password, and keeps the row."""
    user = link(person)
    blank = "clerksync.djangousers.blank_django_user"
    with linking_on(email="email"):
        assert prune("anonymize", CLERKSYNC_USER_ON_DELETE=blank)["anonymized"] == 1
    user.refresh_from_db()
    assert (user.email, user.first_name, user.last_name, user.is_active) == ("", "", "", False)
    assert person not in user.username
    assert not user.has_usable_password()
    assert row(person).user_id == user.pk


def test_django_user__callable_fails(person: str, caplog: pytest.LogCaptureFixture) -> None:
    """Then nothing of this user is blanked, the log says so, and the next run tries again."""
    link(person)

    def fail(user: User) -> None:
        raise KeyError(user.email)

    assert prune("anonymize", CLERKSYNC_USER_ON_DELETE=fail)["anonymized"] == 0
    assert row(person).email == "quillane@harbour-works.io"
    assert f"{person} was not anonymized: CLERKSYNC_USER_ON_DELETE failed (KeyError)" in caplog.text
    assert prune("anonymize")["anonymized"] == 1


@pytest.mark.parametrize(("how", "active"), [("deactivate", False), ("leave", True)])
def test_django_user__on_delete(clerk_server: FakeClerk, how: str, active: bool) -> None:  # noqa: FBT001  # a parameter
    """It is deactivated with the delete, unless it is to be left."""
    clerk_id = clerk_server.create_user()["id"]
    clerk_server.create_users(3)
    Syncer(clerk_server).full()
    user = link(clerk_id)
    clerk_server.delete_user(clerk_id)
    clerk_server.advance(seconds=600)
    with linking_on(), override_settings(CLERKSYNC_USER_ON_DELETE=how):
        Syncer(clerk_server).full()
    user.refresh_from_db()
    assert user.is_active is active


def test_signal__ids(person: str) -> None:
    """Receivers are told after the commit, so that they can let go of what they hold."""
    told: list[str] = []

    def receive(clerk_ids: list[str], **kwargs: Any) -> None:
        told.extend(clerk_ids)

    signals.users_anonymized.connect(receive)
    try:
        prune("anonymize")
        age()
        prune("delete")
    finally:
        signals.users_anonymized.disconnect(receive)
    assert told == [person, person]


def test_stop__between_batches(person: str) -> None:
    """A stop lets the next run go on."""
    stop = Event()
    stop.set()
    with override_settings(CLERKSYNC_ON_DELETE="anonymize"), pytest.raises(SyncInterrupted):
        erasure.prune(stop=stop)


def test_for_good__events_are_searched_in_no_transaction(person: str) -> None:
    """Others may write while all events are read."""
    held: list[bool] = []

    def watch(execute: Any, sql: str, *args: Any) -> Any:
        held.extend([connection.in_atomic_block] if " LIKE " in sql and sql.startswith("SELECT") else [])
        return execute(sql, *args)

    with connection.execute_wrapper(watch):
        subjects.let_go(person, in_clerk=False, scrub="none")
    assert held == [False, False]
    assert set(WebhookEvent.objects.values_list("payload_text", flat=True)) == {None}


def test_for_good__whose_events(person: str, clerk_server: FakeClerk) -> None:
    """What is found for several users at once is told of each."""
    other = ClerkUser.objects.active().values_list("pk", flat=True)[0]
    told = {"id": "org_2", "members": [other]}
    deliver(body_of("organization.created", told, instance_id=clerk_server.instance_id))
    found = subjects.find_events([other, person])
    assert WebhookEvent.objects.get(pk__in=found[other]).object_id == "org_2"
    others = WebhookEvent.objects.filter(pk__in=found[person]).values_list("object_id", flat=True)
    assert set(others) == {person, "sess_1", "orgmem_1", "orginv_1", "org_1"}


@pytest.mark.parametrize(
    ("text", "found"),
    [('{"to": "a@b.c"}', True), ("A@B.C", True), ('{"to": "aa@b.cd"}', False), ("not a@b.c alone", False)],
)
def test_for_good__short_texts(text: str, found: bool) -> None:  # noqa: FBT001  # a parameter
    """A short address is looked for as a whole text, since longer ones hold it."""
    assert leaks.holds(text, ["a@b.c"]) is found


def event_of(kind: str, clerk_id: str, clerk: FakeClerk) -> bytes:
    """An event that tells something of the user, a minute after everything else."""
    user = user_json(clerk_id, updated_at=2, first_name="Quillane")
    member = {"user_id": clerk_id, "identifier": "quillane@harbour-works.io", "first_name": "Quillane"}
    data = {
        "user.updated": user,
        "session.created": {"object": "session", "id": "sess_2", "user_id": clerk_id, "user": user},
        "organizationMembership.created": {"id": "orgmem_2", "public_user_data": member},
    }
    clerk.advance(seconds=60)
    return body_of(kind, data[kind], at=clerk.clock.now_ms(), instance_id=clerk.instance_id)


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Work that another process does, and ends before the block does."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
        assert not thread.is_alive()


KINDS = ("user.updated", "session.created", "organizationMembership.created")


@pytest.mark.parametrize("kind", KINDS)
def test_race__event_of_a_user_who_is_being_anonymized(
    person: str, clerk_server: FakeClerk, kind: str
) -> None:
    """An event that was judged by the row as it had been is recorded without what it says."""
    link(person)
    amid, writing = Event(), Event()

    def dawdle(user: User) -> None:
        amid.set()
        assert writing.wait(30)
        time.sleep(0.3)  # the event is recorded by now, or waits for us

    def watch(execute: Any, sql: str, *args: Any) -> Any:
        if not sql.startswith("SELECT"):
            writing.set()
        return execute(sql, *args)

    with (
        override_settings(CLERKSYNC_USER_ON_DELETE=dawdle),
        meanwhile(lambda: erasure.anonymize([person], for_good=True)),
    ):
        assert amid.wait(30)
        with connection.execute_wrapper(watch):
            deliver(event_of(kind, person, clerk_server))
    assert WebhookEvent.objects.latest("pk").payload_text is None
    assert row(person).is_anonymized


@pytest.mark.parametrize("kind", KINDS)
def test_race__user_of_an_event_that_is_being_recorded(
    person: str, clerk_server: FakeClerk, kind: str
) -> None:
    """Whoever anonymizes the user waits for the event, and blanks it."""
    statements: list[str] = []
    with ExitStack() as others:

        def interrupt(execute: Any, sql: str, *args: Any) -> Any:
            result = execute(sql, *args)
            statements.extend([sql] if connection.in_atomic_block and not sql.startswith("BEGIN") else [])
            if len(statements) == 2:  # the event is recorded, and the row was written or read again
                others.enter_context(meanwhile(lambda: erasure.anonymize([person], for_good=True)))
                time.sleep(0.3)  # long enough, if nobody waits
            return result

        with connection.execute_wrapper(interrupt):
            deliver(event_of(kind, person, clerk_server))
    assert len(statements) == 2
    assert WebhookEvent.objects.latest("pk").payload_text is None
    assert row(person).is_anonymized


def test_delete__linked(person: str) -> None:
    """The row stays without content, or whoever signs up with the same address would be taken for this user."""
    user = link(person)
    with linking_on():
        assert prune("delete") == {"anonymized": 1, "removed": 0}
        assert row(person).is_anonymized
        assert row(person).user_id == user.pk
        assert (
            prune("delete", CLERKSYNC_USER_ON_DELETE="clerksync.djangousers.blank_django_user")["removed"]
            == 0
        )
        age(hours=2)
        assert (
            prune("delete", CLERKSYNC_USER_ON_DELETE="clerksync.djangousers.blank_django_user")["removed"]
            == 1
        )


def test_anonymize__row_of_other_code(person: str) -> None:
    """A tombstone may have no digest and yet hold all that is known: it is not taken for blank."""
    ClerkUser.objects.filter(pk=person).update(digest="")
    assert not row(person).is_anonymized
    assert prune("anonymize")["anonymized"] == 1
    assert (row(person).is_anonymized, row(person).email, row(person).payload_text) == (True, None, None)
    assert prune("anonymize")["anonymized"] == 0
