"""Alarms: once when it begins, once when it is over, however many processes look and whatever mail does."""

from __future__ import annotations

import io
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import django
import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client, override_settings
from django.utils import timezone

from clerksync import alarms, channels, jobs, signals, status
from clerksync.models import (
    Alarm,
    AlarmNotice,
    AlarmWatch,
    ClerkUser,
    MirrorState,
    ScheduledJob,
    SyncRun,
    WebhookEvent,
)
from clerksync.pace import LOOKS
from clerksync.schedule import Part
from clerksync.status import Reason, State, Status
from clerksync.testing import FakeClerk
from tests.deliveries import WEBHOOK_SECRET, changed, deliver, now_ms
from tests.syncing import Syncer, synced

pytestmark = pytest.mark.django_db

START = datetime(2026, 6, 1, 3, 10, tzinfo=UTC)
OPS = "ops@harbour.test"
#: Strings since Django 6.0, pairs before.
ADMINS: list[Any] = [OPS] if django.VERSION >= (6, 0) else [("Operations", OPS)]
SILENT = Reason(
    "webhooks_silent",
    State.BEHIND,
    "Webhooks silent since 02:10 UTC. 37 changes found by the scan, 0 by webhook.",
    command="manage.py check_clerk --probe",
    hint="After repair: Replay missing in Clerk.",
)
FAILED = Reason(
    "sync_failed", State.BEHIND, "The last full sync failed.", command="manage.py sync_clerk_users"
)
TEXT = (
    "Webhooks silent since 02:10 UTC. 37 changes found by the scan, 0 by webhook. Users are right up to 03:05 UTC. "
    "Run: manage.py check_clerk --probe. After repair: Replay missing in Clerk."
)


@pytest.fixture(autouse=True)
def _admins(settings: Any) -> None:
    settings.ADMINS = ADMINS


def look(*reasons: Reason, minutes: float = 0) -> None:
    """Look at a status with these reasons, so long after the start."""
    state = State.BEHIND if reasons else State.IN_STEP
    found = Status(state=state, reasons=reasons, right_up_to=datetime(2026, 6, 1, 3, 5, tzinfo=UTC))
    alarms.evaluate(found, now=START + timedelta(minutes=minutes))


_numbers = itertools.count()


def parked(count: int = 1) -> None:
    """Events that wait for somebody."""
    for _ in range(count):
        WebhookEvent.objects.create(
            svix_id=f"parked_{next(_numbers)}",
            type="user.updated",
            state="parked",
            sent_at=START,
            received_at=START,
            finished_at=START,
        )


def subjects() -> list[str]:
    return [message.subject.removeprefix("[Django] ") for message in mail.outbox]


@contextmanager
def signalled() -> Iterator[list[tuple[str, str]]]:
    """What the signals tell."""
    told: list[tuple[str, str]] = []

    def on_raised(sender: object, code: str, **kwargs: Any) -> None:
        told.append(("raised", code))

    def on_resolved(sender: object, code: str, **kwargs: Any) -> None:
        told.append(("resolved", code))

    signals.alarm_raised.connect(on_raised)
    signals.alarm_resolved.connect(on_resolved)
    try:
        yield told
    finally:
        signals.alarm_raised.disconnect(on_raised)
        signals.alarm_resolved.disconnect(on_resolved)


def test_subject__one_line() -> None:
    """Whatever a sentence holds, the subject is one line, no header is forged, and there is no HTML."""
    look(Reason("odd", State.BEHIND, "A\r\nBcc: victim@evil.test\n<b>x</b>", command="manage.py check_clerk"))
    look(
        Reason("odd", State.BEHIND, "A\r\nBcc: victim@evil.test\n<b>x</b>", command="manage.py check_clerk"),
        minutes=11,
    )
    [message] = mail.outbox
    assert isinstance(message, mail.EmailMultiAlternatives)
    assert "Clerk: A\\u000d\\u000aBcc: victim@evil.test\\u000a<b>x</b>" in message.subject
    assert message.recipients() == [OPS]
    assert (message.alternatives, message.content_subtype) == ([], "plain")
    assert "Bcc" not in message.message()


def test_once_and_once() -> None:
    """One mail when it begins, with the status and what to do, none while it lasts, one when it is over."""
    with signalled() as told:
        for minutes in range(0, 180, 7):
            look(SILENT, minutes=minutes)
        assert subjects() == ["Clerk: Webhooks silent since 02:10 UTC"]
        assert mail.outbox[0].body == f"{TEXT}\n\nSince 03:10 UTC.\n"
        assert mail.outbox[0].to == [OPS]
        for minutes in (179, 181, 240, 300):
            look(minutes=minutes)
        assert subjects()[1:] == ["Clerk: Over: Webhooks silent since 02:10 UTC"]
        assert f"it began at 03:10 UTC:\n\n{TEXT}\n\nNow: " in mail.outbox[1].body
    assert told == [("raised", "webhooks_silent"), ("resolved", "webhooks_silent")]


def test_again() -> None:
    """What comes back after it was over is told again."""
    look(SILENT)
    look(minutes=10)
    look(SILENT, minutes=20)
    assert len(mail.outbox) == 3
    assert Alarm.objects.get().since == START + timedelta(minutes=20)
    look(minutes=30)
    assert len(mail.outbox) == 4


def test_flickering() -> None:
    """What comes and goes within minutes makes one mail."""
    for minutes in range(0, 60, 2):
        look(*[SILENT] * (minutes % 4 == 0), minutes=minutes)
    assert len(mail.outbox) == 1


def test_mended_soon() -> None:
    """A sync that failed once is mended by the next; one that goes on failing is told of."""
    with signalled() as told:
        look(FAILED)
        look(FAILED, minutes=9)
        look(minutes=20)
        assert (mail.outbox, told) == ([], [])
        look(FAILED, minutes=30)
        look(FAILED, minutes=41)
        assert subjects() == ["Clerk: The last full sync failed"]


def test_each_cause() -> None:
    """Causes are told apart; several of a kind are one."""
    look(
        SILENT,
        Reason("doubts", State.BEHIND, "One.", command="a"),
        Reason("doubts", State.BEHIND, "Two.", command="b"),
    )
    assert len(mail.outbox) == 2
    assert Alarm.objects.get(code="doubts").text == (
        "One. Users are right up to 03:05 UTC. Run: a. Also: Two. Run: b."
    )


def test_mail__fails(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A mail that fails breaks nothing, is logged, and is tried again later; the signal is not repeated."""
    tries: list[str] = []

    def fail(subject: str, body: str) -> None:
        tries.append(subject)
        raise ConnectionRefusedError

    monkeypatch.setattr(channels, "mail_admins", fail)
    with signalled() as told:
        for minutes in (0, 1, 9, 11):
            look(SILENT, minutes=minutes)
    assert (len(tries), told) == (2, [("raised", "webhooks_silent")])
    assert (
        "email was not told of the alarm webhooks_silent (ConnectionRefusedError); tried again" in caplog.text
    )
    monkeypatch.undo()
    look(SILENT, minutes=22)
    assert len(mail.outbox) == 1


def test_mail__never_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was not told that it began is not told that it is over."""

    def fail(subject: str, body: str) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(channels, "mail_admins", fail)
    look(SILENT)
    monkeypatch.undo()
    for minutes in (10, 30):
        look(minutes=minutes)
    assert mail.outbox == []


def test_mail__off() -> None:
    """Without mail the signals tell all the same."""
    with override_settings(CLERKSYNC_ALERT_EMAILS=False), signalled() as told:
        look(SILENT)
        look(minutes=10)
    assert (mail.outbox, [kind for kind, _ in told]) == ([], ["raised", "resolved"])


def test_receiver__fails(caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that fails keeps neither the others nor the mail back."""

    def fail(**kwargs: Any) -> None:
        raise ValueError

    signals.alarm_raised.connect(fail)
    try:
        with signalled() as told:
            look(SILENT)
    finally:
        signals.alarm_raised.disconnect(fail)
    assert len(told) == 1
    # Django logs what a receiver raises, and mails that, too.
    assert subjects().count("Clerk: Webhooks silent since 02:10 UTC") == 1
    assert "ValueError" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_together__one_mail() -> None:
    """Eight threads that look at the same moment send one mail for each cause, at the start and at the end."""

    def together(*reasons: Reason, minutes: float) -> None:
        barrier = threading.Barrier(8)

        def one() -> None:
            try:
                barrier.wait()
                for _ in range(3):
                    look(*reasons, minutes=minutes)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with signalled() as told:
        together(SILENT, minutes=0)
        assert len(mail.outbox) == 1
        together(minutes=10)
    assert (len(mail.outbox), len(told)) == (2, 2)


@override_settings(USE_TZ=False, TIME_ZONE="Pacific/Auckland")
def test_without_time_zones(syncer: Syncer) -> None:
    """A project with ``USE_TZ = False`` is told of users in doubt, and when that is over."""
    ids = synced(syncer, 2)
    now = timezone.now()
    doubt_ms = (now - timedelta(hours=2)).timestamp() * 1000
    ClerkUser.objects.filter(pk=ids[0]).update(doubt_reason="not readable in full", doubt_ms=doubt_ms)
    ClerkUser.objects.filter(pk=ids[1]).update(doubt_reason="seen after its delete", doubt_ms=doubt_ms)
    alarms.evaluate(now=now)
    ClerkUser.objects.update(doubt_reason="", doubt_ms=0)
    alarms.evaluate(now=now + timedelta(minutes=6))
    assert subjects() == [
        "Clerk: 2 users have been in doubt for too long",
        "Clerk: Over: 2 users have been in doubt for too long",
    ]


def test_unreadable__keeps() -> None:
    """A database that cannot be read says nothing of the other alarms."""
    look(SILENT)
    gone = Reason(
        "tables_unreadable", State.BROKEN, "The tables cannot be read.", command="manage.py migrate"
    )
    look(gone, minutes=30)
    assert Alarm.objects.get().resolved_at is None


@pytest.mark.django_db(transaction=True)
def test_health__once_a_minute(client: Client, clerk: FakeClerk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The health URL has somebody look, once a minute over all processes."""
    synced(Syncer(clerk), 2)
    WebhookEvent.objects.create(
        svix_id="m", type="user.updated", state="parked", sent_at=START, received_at=START, finished_at=START
    )
    calls: list[None] = []
    evaluate = alarms.evaluate

    def counted() -> None:
        calls.append(None)
        evaluate()

    monkeypatch.setattr(alarms, "evaluate", counted)
    answers = [client.get("/clerk/health/").status_code for _ in range(3)]
    looked()
    assert (answers, len(calls)) == ([200] * 3, 1)
    assert subjects() == ["Clerk: 1 webhook event could not be applied"]
    AlarmWatch.objects.update(looked_at=timezone.now() - timedelta(seconds=61))
    client.get("/clerk/health/")
    looked()
    assert (len(calls), len(mail.outbox)) == (2, 1)


@pytest.mark.django_db(transaction=True)
def test_thread__setting_of_a_wrong_type(
    client: Client, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread tells the log, and not only whoever reads stderr; ``check`` has named the setting before."""
    settings.CLERKSYNC_ALERT_EVENTS = "5"
    parked()
    alarms.look_soon()
    looked()
    (record,) = [record for record in caplog.records if record.name == "clerksync.alarms"]
    assert getattr(record, "event", "") == "alarms_unseen"
    assert "TypeError" in (record.exc_text or "")


def looked() -> None:
    """Wait for the thread that looks."""
    assert alarms._thread is not None
    alarms._thread.join(30)
    assert not alarms._thread.is_alive()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ask", ["health", "metrics", "webhook"])
def test_requests__mail_server_hangs(
    client: Client, clerk: FakeClerk, settings: Any, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    """No request waits for a mail server that does not answer, and the other channels go on."""
    pytest.importorskip("prometheus_client")
    settings.CLERKSYNC_METRICS_NETWORKS = ["127.0.0.1"]
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET
    release, mailed = threading.Event(), threading.Event()

    def hang(subject: str, body: str) -> None:
        mailed.set()
        release.wait(60)

    monkeypatch.setattr(channels, "mail_admins", hang)
    monkeypatch.setattr(channels, "PATIENCE", 0.1)
    monkeypatch.setattr(LOOKS, "_began", -1e9)
    parked()
    try:
        with signalled() as told:
            match ask:
                case "webhook":
                    assert deliver(changed(now_ms())) == "applied"
                case _:
                    assert client.get(f"/clerk/{ask}/").status_code in (200, 503)
            assert not release.is_set()
            looked()
        assert ("raised", "events_parked") in told
        assert mailed.is_set()
        notice = AlarmNotice.objects.get(alarm="events_parked", channel="email")
        assert (notice.news, notice.told) == ("raised", "")
        assert notice.due_at is not None
        assert notice.due_at > timezone.now() + timedelta(minutes=9)
        before = len(mail.outbox)
        alarms.evaluate(now=timezone.now() + timedelta(minutes=11))  # still hanging: no second thread
        assert AlarmNotice.objects.get(alarm="events_parked", channel="email").told == ""
    finally:
        release.set()
        channels._threads["email"].join(30)
    monkeypatch.undo()
    alarms.evaluate(now=timezone.now() + timedelta(minutes=22))
    assert len(mail.outbox) > before
    assert AlarmNotice.objects.get(alarm="events_parked", channel="email").told == "raised"


PARKED = "Clerk: 1 webhook event could not be applied"


def parked_now() -> None:
    """An event that no prune deletes."""
    parked()
    WebhookEvent.objects.update(received_at=timezone.now())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("command", "mails"),
    [
        ("sync_clerk_users --no-progress", [PARKED]),
        ("sync_clerk_users --pending", [PARKED]),
        ("sync_clerk_users --dry-run", []),
        ("prune_clerk_data", [PARKED]),
        ("replay_clerk_events --type none.such", [PARKED]),
        ("replay_clerk_events --dry-run", []),
    ],
)
def test_commands__look_afterwards(clerk: FakeClerk, command: str, mails: list[str]) -> None:
    """Where cron runs the parts, each command that does one looks at its end; a dry run writes nothing."""
    synced(Syncer(clerk), 2)
    parked_now()
    for _ in range(2):
        call_command(*command.split(), stdout=io.StringIO(), stderr=io.StringIO())
    assert subjects() == mails


@pytest.mark.django_db(transaction=True)
def test_commands__keep_their_status(
    clerk: FakeClerk, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A command that fails looks as well, and fails as before; one that has done its part does not fail for alarms."""
    synced(Syncer(clerk), 2)
    parked_now()
    clerk.secret_key = "sk_test_another"
    with pytest.raises(CommandError) as caught:
        call_command("sync_clerk_users", "--incremental", stdout=io.StringIO())
    assert (caught.value.returncode, PARKED in subjects()) == (2, True)
    settings.CLERKSYNC_ALERT_EVENTS = "5"
    call_command("prune_clerk_data", stdout=io.StringIO())
    assert caplog.messages[-1] == "the alarms could not be looked at"


@pytest.mark.django_db(transaction=True)
def test_commands__mail_server_hangs(clerk: FakeClerk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command waits for a mail server as long as the scheduler does, and ends."""
    synced(Syncer(clerk), 2)
    parked_now()
    release = threading.Event()
    monkeypatch.setattr(channels, "mail_admins", lambda subject, body: release.wait(60))
    monkeypatch.setattr(channels, "PATIENCE", 0.1)
    try:
        call_command("prune_clerk_data", stdout=io.StringIO())
        assert not release.is_set()
        assert AlarmNotice.objects.get(channel="email").told == ""
    finally:
        release.set()
        channels._threads["email"].join(30)


@pytest.mark.django_db(transaction=True)
def test_webhook__no_statement_but_once_a_minute(
    settings: Any, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    """A webhook has no statement to spare; one a minute in each process looks."""
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET
    calls: list[None] = []
    monkeypatch.setattr(alarms, "look_soon", lambda: calls.append(None))
    for _ in range(3):
        deliver(changed(now_ms()))
    assert calls == []
    monkeypatch.setattr(LOOKS, "_began", time.monotonic() - 61)
    for _ in range(3):
        deliver(changed(now_ms()))
    assert len(calls) == 1


def test_look_soon__after_the_transaction(client: Client) -> None:
    """In a transaction nobody looks before its end; in tests that is never."""
    before = alarms._thread
    parked()
    client.get("/clerk/health/")
    assert AlarmWatch.objects.get().looked_at is not None
    assert alarms._thread is before
    assert not Alarm.objects.exists()


def test_repeated__once_a_day(settings: Any) -> None:
    """What goes on is told again after a day, by mail and not by signal, and is over once."""
    with signalled() as told:
        for hours in (0, 1, 23, 25, 26, 50):
            look(SILENT, minutes=60 * hours)
        assert subjects() == [
            "Clerk: Webhooks silent since 02:10 UTC",
            "Clerk: Still: Webhooks silent since 02:10 UTC",
            "Clerk: Still: Webhooks silent since 02:10 UTC",
        ]
        look(minutes=60 * 51)
        look(minutes=60 * 90)
    assert subjects()[3:] == ["Clerk: Over: Webhooks silent since 02:10 UTC"]
    assert told == [("raised", "webhooks_silent"), ("resolved", "webhooks_silent")]


def test_events__threshold(settings: Any) -> None:
    """So many parked events are a cause for alarm, and fewer are none."""
    settings.CLERKSYNC_ALERT_EVENTS = 3
    parked(2)
    alarms.evaluate()
    assert not Alarm.objects.filter(code="events_parked").exists()
    parked(1)
    alarms.evaluate()
    assert "Clerk: 3 webhook events could not be applied" in subjects()


def test_channel__added_while_it_lasts(settings: Any) -> None:
    """Who is named only while something is wrong is told of it; who is no longer named is not."""
    settings.ADMINS = []
    look(SILENT)
    assert mail.outbox == []
    settings.ADMINS = ADMINS
    look(SILENT, minutes=10)
    assert len(mail.outbox) == 1
    settings.ADMINS = []
    look(minutes=20)
    assert len(mail.outbox) == 1


@contextmanager
def addresses(*refusing: str) -> Iterator[list[tuple[str, str, str]]]:
    """Addresses of apprise that take messages, but for those that refuse."""
    taken: list[tuple[str, str, str]] = []

    def push(url: str, title: str, body: str) -> bool:
        if url in refusing:
            return False
        taken.append((url, title, body))
        return True

    pushes = pytest.importorskip("clerksync.pushes", reason="apprise is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pushes, "push", push)
        yield taken


def test_addresses__each_on_its_own(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """One that refuses keeps no other, is tried again alone, and is told that it is over only if it was told."""
    good, bad = "json://hooks.harbour.test/good-secret", "json://hooks.harbour.test/bad-secret"
    settings.CLERKSYNC_ALERT_SECRET_URLS = [bad, good]
    with addresses(bad) as taken:
        look(SILENT)
        look(SILENT, minutes=11)
    assert [(url, title) for url, title, _ in taken] == [(good, "Clerk: Webhooks silent since 02:10 UTC")]
    assert len(mail.outbox) == 1
    with addresses() as taken:
        look(SILENT, minutes=22)
    assert [url for url, *_ in taken] == [bad]
    with addresses() as taken:
        look(minutes=40)
    assert sorted(url for url, *_ in taken) == sorted([good, bad])
    assert all(title.startswith("Clerk: Over: ") for _, title, _ in taken)
    assert "secret" not in caplog.text
    assert not any("secret" in str(row) for row in AlarmNotice.objects.values())


def test_status__scheduler_dead(clerk: FakeClerk) -> None:
    """A scheduler that is not heard of is missed; one that never ran, ran once, or was forgotten is not."""
    synced(Syncer(clerk), 2)
    jobs.plan()
    assert status.read().reasons == ()
    jobs.beat(stays=True)
    assert status.read().reasons == ()
    ScheduledJob.objects.update(seen_at=timezone.now() - timedelta(minutes=6))
    [reason] = status.read().reasons
    assert (reason.code, reason.state) == ("scheduler_dead", State.BEHIND)
    assert (
        "Run: manage.py run_clerk_scheduler. If something else runs the parts by now:"
        in status.read().sentence
    )
    jobs.beat(stays=False)
    assert status.read().reasons == ()
    jobs.beat(stays=True)
    call_command("run_clerk_scheduler", "--forget")
    assert status.read(now=timezone.now() + timedelta(minutes=6)).reasons == ()


@pytest.mark.parametrize(
    ("failures", "outcome", "expected"), [(2, "failed", 0), (3, "failed", 1), (3, "refused", 0)]
)
def test_status__part_failed(clerk: FakeClerk, failures: int, outcome: str, expected: int) -> None:
    """A part that goes on failing is a reason, also if it left no run behind."""
    synced(Syncer(clerk), 2)
    jobs.plan()
    ScheduledJob.objects.filter(part="prune").update(
        failures=failures, outcome=outcome, failing_since=timezone.now()
    )
    reasons = [reason for reason in status.read().reasons if reason.code != "deletes_refused"]
    assert [reason.code for reason in reasons] == ["part_failed"] * expected
    for reason in reasons:
        assert reason.text.startswith("The scheduled part prune has failed 3 times in a row, since ")
        assert reason.command == "manage.py prune_clerk_data"


@pytest.mark.django_db(transaction=True)
def test_scheduler__looks(clerk: FakeClerk) -> None:
    """The scheduler looks after its parts."""
    clerk.create_users(2)
    WebhookEvent.objects.create(
        svix_id="m",
        type="user.updated",
        state="parked",
        sent_at=START,
        received_at=timezone.now(),
        finished_at=timezone.now(),
    )
    call_command("run_clerk_scheduler", "--once")
    assert subjects() == ["Clerk: 1 webhook event could not be applied"]
    begun = ScheduledJob.objects.exclude(part__in=[Part.FULL, Part.AUDIT])
    assert set(begun.values_list("outcome", flat=True)) == {"completed"}
    assert SyncRun.objects.filter(state="completed").exists()


@pytest.mark.django_db(transaction=True)
def test_scheduler__another_instance(clerk: FakeClerk) -> None:
    """A key of another instance is an alarm at once, and over once the key is right again."""
    synced(Syncer(clerk), 2)
    jobs.plan()
    ScheduledJob.objects.update(next_at=START - timedelta(days=9999))
    MirrorState.objects.update(instance_id="ins_another", key_fingerprint="")
    with pytest.raises(CommandError):
        call_command("run_clerk_scheduler", "--once")
    assert ScheduledJob.objects.get(part="full").outcome == "mismatch"
    assert (
        "Clerk: The secret key opens another Clerk instance than the one whose users are in the table"
        in subjects()
    )
    MirrorState.objects.update(instance_id=clerk.instance_id)
    ScheduledJob.objects.update(next_at=START - timedelta(days=9999))
    call_command("run_clerk_scheduler", "--once")
    assert "instance_mismatch" not in [reason.code for reason in status.read().reasons]
