"""One answer to "is the mirror right now?": its state, its words, and what it costs to ask."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test import override_settings
from django.utils import timezone

from clerksync import facts, jobs, leases, reasons, runs, status
from clerksync.exceptions import InstanceMismatch
from clerksync.inspection import Inspection
from clerksync.models import ClerkUser, MirrorState, ScheduledJob, SyncRun, WebhookEvent
from clerksync.status import State, Status
from clerksync.undo import UndoFile
from tests.syncing import LISTS, StopAfter, Syncer, change, execute, small_pages, synced

pytestmark = pytest.mark.django_db


def codes(found: Status) -> list[str]:
    return [reason.code for reason in found.reasons]


def event(number: int, *, state: str = "applied", type: str = "user.updated", **ago: float) -> WebhookEvent:
    """A recorded event, received so long ago."""
    at = timezone.now() - timedelta(**ago)
    return WebhookEvent.objects.create(
        svix_id=f"msg_{number}", type=type, state=state, sent_at=at, received_at=at, finished_at=at
    )


def judged(*, missed: int, delivered: int, **ago: float) -> SyncRun:
    """An incremental run of so long ago that judged deliveries."""
    run = runs.begin(SyncRun.Kind.INCREMENTAL, instance_id="ins_x")
    counts = {"missed": missed, "delivered": delivered}
    SyncRun.objects.filter(pk=run.pk).update(
        state="completed", counts=counts, started_at=timezone.now() - timedelta(**ago)
    )
    return run


def test_in_step(syncer: Syncer) -> None:
    """After a full sync the mirror is in step, and says up to when."""
    ids = synced(syncer, 12)
    found = status.read()
    state = MirrorState.objects.get()
    assert (found.state, found.exit_status, found.reasons) == (State.IN_STEP, 0, ())
    assert found.updates_as_of == found.deletes_as_of == found.right_up_to == state.updates_as_of is not None
    assert found.sentence.startswith("In step. Users are right up to ")
    assert (found.users, found.doubts, found.holders) == ({"active": 12}, {}, {})
    assert (found.instance_id, found.environment) == (syncer.clerk.instance_id, "development")
    assert (found.runs["full"].state, found.missed_share) == ("completed", None)
    syncer.clerk.delete_user(ids[0])
    syncer.full()
    assert status.read().users == {"active": 11, "deleted": 1}


def test_broken__nothing_yet() -> None:
    """Before the first sync there is nothing to be right."""
    found = status.read()
    assert (found.state, found.exit_status, codes(found)) == (State.BROKEN, 2, ["never_synced"])
    assert found.sentence == "No full sync has been completed yet. Run: manage.py sync_clerk_users."


@pytest.mark.parametrize(("minutes", "state"), [(50, State.IN_STEP), (70, State.BEHIND)])
def test_stale(syncer: Syncer, minutes: int, state: State) -> None:
    """Past CLERKSYNC_MAX_STALENESS the mirror is behind."""
    synced(syncer, 3)
    later = timezone.now() + timedelta(minutes=minutes)
    assert status.read(now=later).state == state
    with override_settings(CLERKSYNC_MAX_STALENESS=60 * (minutes + 30)):
        assert status.read(now=later).state is State.IN_STEP


def test_stale__by_clerks_clock(syncer: Syncer) -> None:
    """How old the knowledge is does not depend on whether our clock is right."""
    syncer.clerk.advance(seconds=-40_000_000)
    synced(syncer, 3)
    now = timezone.now()
    assert codes(status.read(now=now)) == []
    assert codes(status.read(now=now + timedelta(hours=2))) == ["stale"]


def test_stale__and_failing(syncer: Syncer) -> None:
    """Late and failing is broken: the next sync will not mend it."""
    synced(syncer, 3)
    syncer.clerk.fail(503, times=None, on=LISTS)
    syncer.incremental()
    found = status.read()
    assert (found.state, codes(found)) == (State.BEHIND, ["sync_failed"])
    assert found.reasons[0].command == "manage.py sync_clerk_users --incremental"
    found = status.read(now=timezone.now() + timedelta(hours=2))
    assert (found.state, codes(found)) == (State.BROKEN, ["stale", "sync_failed"])
    assert "Also: The last incremental sync, of " in found.sentence
    syncer.clerk.clear_faults()
    syncer.incremental()
    assert status.read().state is State.IN_STEP


def test_deletes__overdue(syncer: Syncer) -> None:
    """Scans keep the updates fresh; who is gone is known by full syncs only, expected once a day."""
    synced(syncer, 3)
    MirrorState.objects.update(deletes_as_of=F("deletes_as_of") - timedelta(hours=26))
    found = status.read()
    assert (found.state, codes(found)) == (State.BEHIND, ["deletes_overdue"])
    assert found.reasons[0].command == "manage.py sync_clerk_users"
    MirrorState.objects.update(deletes_as_of=None)
    assert codes(status.read()) == ["deletes_overdue"]


def test_deletes__refused(syncer: Syncer) -> None:
    """A refused run waits for somebody to decide."""
    ids = synced(syncer, 30)
    for clerk_id in ids[:20]:
        syncer.clerk.delete_user(clerk_id)
    syncer.full()
    found = status.read()
    assert (found.state, found.exit_status) == (State.BROKEN, 2)
    assert codes(found)[0] == "deletes_refused"
    assert found.reasons[0].command == "manage.py sync_clerk_users --dry-run"


def test_deletes__overdue_by_the_schedule(syncer: Syncer, settings: Any) -> None:
    """Who runs the full sync once a week is not told every day."""
    synced(syncer, 3)
    MirrorState.objects.update(deletes_as_of=F("deletes_as_of") - timedelta(days=6))
    settings.CLERKSYNC_SCHEDULE = {"full": "0 3 * * SUN"}
    assert status.read().state is State.IN_STEP
    MirrorState.objects.update(deletes_as_of=F("deletes_as_of") - timedelta(days=2))
    assert codes(status.read()) == ["deletes_overdue"]
    for expression in ("0 3 * * MON-FRI", None, "nonsense"):  # the longest gap is that of a weekend
        settings.CLERKSYNC_SCHEDULE = {"full": expression}
        assert codes(status.read()) == ["deletes_overdue"]


def test_deletes__refused_to_a_part(syncer: Syncer) -> None:
    """A part of the scheduler that was refused is told of as well, and once."""
    synced(syncer, 3)
    jobs.plan()
    ScheduledJob.objects.filter(part="pending").update(outcome="refused", failures=1)
    assert codes(status.read()) == ["deletes_refused"]
    SyncRun.objects.update(state="refused")
    assert codes(status.read()) == ["deletes_refused"]


def test_part__overdue(syncer: Syncer) -> None:
    """A part whose time has come and that nobody runs; one that is at work is not late."""
    synced(syncer, 3)
    jobs.plan()
    late = ScheduledJob.objects.filter(part__in=["incremental", "prune"])
    late.update(next_at=timezone.now() - timedelta(minutes=9))
    assert status.read().state is State.IN_STEP
    late.update(next_at=timezone.now() - timedelta(minutes=11))
    found = status.read()
    assert (found.state, codes(found)) == (State.BEHIND, ["part_overdue"])
    assert "and nobody runs it: incremental, prune. " in found.sentence
    late.update(expires_at=timezone.now())
    assert status.read().state is State.IN_STEP


@override_settings(USE_TZ=False)
@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_scheduler__without_time_zones(syncer: Syncer, zone: str) -> None:
    """A project with ``USE_TZ = False`` misses its scheduler after the same time."""
    with override_settings(TIME_ZONE=zone):
        synced(syncer, 3)
        jobs.plan()
        jobs.beat(stays=True)
        now = timezone.now()
        assert status.read(now=now).reasons == ()
        assert codes(status.read(now=now + timedelta(minutes=4))) == []
        assert codes(status.read(now=now + timedelta(minutes=6))) == ["scheduler_dead"]


def test_instance__another(syncer: Syncer) -> None:
    """A key of another instance is remembered by whatever has met it, until the right one is back."""
    synced(syncer, 3)
    right = syncer.clerk.instance_id
    MirrorState.objects.update(instance_id="ins_another", key_fingerprint="")
    with pytest.raises(InstanceMismatch):
        syncer.full(dry_run=True)
    assert status.read().state is State.IN_STEP
    assert isinstance(syncer.incremental().error, InstanceMismatch)
    assert "instance_mismatch" in codes(status.read())
    MirrorState.objects.update(instance_id=right)
    syncer.incremental()
    assert "instance_mismatch" not in codes(status.read())
    MirrorState.objects.update(instance_id="ins_another")
    with pytest.raises(InstanceMismatch):
        syncer.full()
    found = status.read()
    assert (found.state, codes(found)) == (State.BROKEN, ["instance_mismatch"])


def test_audit__placeholders(syncer: Syncer) -> None:
    """What the last audit of the table has found is a remark until an audit finds it no more."""
    ids = synced(syncer, 3)
    assert status.read().reasons == ()
    ClerkUser.objects.filter(pk=ids[0]).update(email="placeholder@example.com")
    list(Inspection(None, mirror=False).findings())
    assert status.read().reasons == ()
    list(Inspection(None).findings())
    found = status.read()
    assert (found.state, codes(found)) == (State.IN_STEP, ["placeholders"])
    assert (
        "The last audit found placeholder data in 1 place. Run: manage.py audit_clerk_users."
        in found.sentence
    )
    with syncer.client() as client:
        list(Inspection(client, preview=True).findings())
        assert codes(status.read()) == ["placeholders"]
        list(Inspection(client, undo=UndoFile(None)).findings())
    assert status.read().reasons == ()


def test_run__cut(syncer: Syncer) -> None:
    """A run that was stopped, and one whose process died, are told; one that is at work is not."""
    syncer.clerk.create_users(30)
    small_pages(syncer.clerk)
    stop = StopAfter(1)
    syncer.full()
    syncer.full(on_page=stop, stop=stop.event)
    assert codes(status.read()) == ["sync_cut"]
    syncer.full()
    with leases.hold("incremental"):
        runs.begin(SyncRun.Kind.INCREMENTAL, instance_id="ins_x")
        found = status.read()
        assert (found.state, list(found.holders)) == (State.IN_STEP, ["incremental"])
    found = status.read()
    assert codes(found) == ["sync_cut"]
    assert "ended without a word" in found.sentence


def test_clock__watermark_from_the_future(syncer: Syncer) -> None:
    """What is said to be known cannot be later than now."""
    synced(syncer, 3)
    MirrorState.objects.update(updates_as_of=timezone.now() + timedelta(days=1))
    assert codes(status.read()) == ["clock"]
    assert status.read().state is State.BROKEN


def test_webhooks__silent(syncer: Syncer) -> None:
    """The words of a dead endpoint: since when, what the scan found instead, up to when users are right."""
    ids = synced(syncer, 60)
    now = timezone.now().replace(hour=3, minute=10, second=0, microsecond=0) + timedelta(days=1)
    last = WebhookEvent.objects.create(
        svix_id="msg_1",
        type="user.updated",
        state="applied",
        sent_at=now,
        received_at=now - timedelta(hours=1),
        finished_at=now,
    )
    change(syncer.clerk, ids[:37])
    syncer.clerk.advance(seconds=300)
    syncer.incremental()
    known = now - timedelta(minutes=5)
    SyncRun.objects.update(started_at=known)
    MirrorState.objects.update(updates_as_of=known, deletes_as_of=known, skew_ms=0)
    found = status.read(now=now)
    assert last.received_at.hour == 2
    assert (found.state, found.missed, found.delivered) == (State.BEHIND, 37, 0)
    assert found.sentence == (
        "Webhooks silent since 02:10 UTC. 37 changes found by the scan, 0 by webhook. Users are right up to "
        "03:05 UTC. Run: manage.py check_clerk --probe. After repair: Replay missing in Clerk."
    )
    with override_settings(CLERK_WEBHOOK_SIGNING_SECRET=""):
        assert status.read(now=now).state is State.IN_STEP


def test_webhooks__silent_after_a_good_time(syncer: Syncer) -> None:
    """What was delivered before the silence does not hide it, nor does a single loss make one."""
    synced(syncer, 3)
    judged(missed=0, delivered=500, hours=5)
    judged(missed=2, delivered=0, minutes=10)
    assert status.read().state is State.IN_STEP
    judged(missed=1, delivered=0, minutes=5)
    found = status.read()
    assert codes(found) == ["webhooks_silent"]
    assert found.sentence.startswith("Webhooks silent from the start. 3 changes found by the scan, 0 by")
    judged(missed=0, delivered=1, minutes=1)
    assert status.read().state is State.IN_STEP


def test_webhooks__silent_on_a_quiet_site(syncer: Syncer) -> None:
    """Few changes a month are judged as well, whatever their age; a share is of the last day."""
    synced(syncer, 3)
    for days in range(1, 29):
        judged(missed=2, delivered=0, days=days, minutes=5)
    found = status.read()
    assert (codes(found), found.missed) == (["webhooks_silent"], 0)
    assert "56 changes found by the scan, 0 by webhook" in found.sentence
    judged(missed=0, delivered=1, days=1, minutes=2)
    assert status.read().state is State.IN_STEP


def test_webhooks__silent_until_repaired(syncer: Syncer) -> None:
    """Time without changes mends nothing, nor do runs of other kinds or none that judged anything."""
    synced(syncer, 3)
    judged(missed=0, delivered=7, days=3)
    judged(missed=5, delivered=0, days=2)
    for hours in (1, 26, 30):
        judged(missed=0, delivered=0, hours=hours)
    assert codes(status.read()) == ["webhooks_silent"]
    SyncRun.objects.filter(kind="incremental").update(kind="users")
    assert status.read().state is State.IN_STEP


def test_webhooks__lossy(syncer: Syncer) -> None:
    """More than a tenth of a day's changes is no accident; what is older than a day is forgotten."""
    synced(syncer, 3)
    judged(missed=900, delivered=0, hours=25)
    judged(missed=5, delivered=45, hours=3)
    found = status.read()
    assert (found.state, found.missed_share) == (State.IN_STEP, 0.1)
    judged(missed=1, delivered=3, hours=2)
    found = status.read()
    assert codes(found) == ["webhooks_missed"]
    assert found.reasons[0].text == "6 of 54 changes in the last 24 hours were told by no webhook."


def test_webhooks__lossy_after_a_silence(syncer: Syncer) -> None:
    """What a silence has swallowed is in no share; what is lost later is."""
    synced(syncer, 3)
    judged(missed=20, delivered=0, hours=4)
    judged(missed=9, delivered=3, hours=3, minutes=55)
    judged(missed=1, delivered=9, hours=2)
    found = status.read()
    assert (found.state, found.missed) == (State.IN_STEP, 30)
    judged(missed=2, delivered=3, hours=1)
    found = status.read()
    assert codes(found) == ["webhooks_missed"]
    assert found.reasons[0].text.startswith("3 of 15 changes ")


def test_webhooks__last_event(syncer: Syncer) -> None:
    """An event that we sent ourselves proves nothing about Clerk's endpoint."""
    synced(syncer, 3)
    last = event(1, hours=3)
    event(2, type="clerksync.probe", hours=1)
    assert status.read().last_event_at == last.received_at


def test_events__remarks(syncer: Syncer) -> None:
    """Parked and failed events wait for somebody, and make no user wrong."""
    synced(syncer, 3)
    event(1, state="parked", days=3)
    event(2, state="failed", days=3)
    event(3, state="failed", hours=3)
    found = status.read()
    assert (found.state, found.parked, found.failed) == (State.IN_STEP, 1, 2)
    assert "Also: 2 webhook events were not handled. Run: manage.py replay_clerk_events" in found.sentence


def test_doubts(syncer: Syncer) -> None:
    """Users in doubt bound what is known; for long, they make the mirror late; who cannot be read is told apart."""
    ids = synced(syncer, 6)
    clerk_now = MirrorState.objects.get().updates_as_of
    assert clerk_now is not None
    since = clerk_now - timedelta(minutes=30)
    doubt = {"doubt_reason": "same version, other content", "doubt_ms": since.timestamp() * 1000}
    ClerkUser.objects.filter(pk=ids[0]).update(**doubt)
    found = status.read()
    assert (found.state, found.right_up_to, found.doubts) == (
        State.IN_STEP,
        since,
        {"same version, other content": 1},
    )
    found = status.read(now=timezone.now() + timedelta(minutes=50))
    assert codes(found) == ["doubts"]
    ClerkUser.objects.filter(pk=ids[0]).update(doubt_reason="not readable in full")
    assert status.read().right_up_to == clerk_now


@override_settings(USE_TZ=False)
@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_doubts__without_time_zones(syncer: Syncer, zone: str) -> None:
    """A project with ``USE_TZ = False`` is told the same of users in doubt."""
    with override_settings(TIME_ZONE=zone):
        ids = synced(syncer, 6)
        clerk_now = MirrorState.objects.get().updates_as_of
        assert clerk_now is not None
        since = clerk_now - timedelta(minutes=30)
        ClerkUser.objects.filter(pk=ids[0]).update(
            doubt_reason="same version, other content", doubt_ms=since.timestamp() * 1000
        )
        found = status.measure().status
        assert (found.state, found.right_up_to) == (State.IN_STEP, since)
        assert f"right up to {since.astimezone(UTC):%H:%M} UTC" in found.sentence
        assert codes(status.read(now=timezone.now() + timedelta(minutes=50))) == ["doubts"]


def test_json__says_nothing_of_persons(syncer: Syncer) -> None:
    """Neither the JSON for operators nor the public one holds data of users; hosts and errors are not public."""
    ids = synced(syncer, 3)
    user = syncer.clerk.get(ids[0])
    SyncRun.objects.update(state="failed", error="GET /v1/users: no answer from 10.0.0.7")
    with leases.hold("full") as lease:
        found = status.read()
    operators, public = json.dumps(found.as_dict()), json.dumps(found.public())
    assert (lease.holder in operators, lease.holder in public) == (True, False)
    assert ("10.0.0.7" in operators, "10.0.0.7" in public) == (True, False)
    for text in (operators, public):
        assert not any(part in text for part in (*ids, user["last_name"]))
    assert found.as_dict().keys() - found.public().keys() == {"holders"}


def test_cost__constant(syncer: Syncer, django_assert_num_queries: Any) -> None:
    """Six queries, whatever there is."""
    with django_assert_num_queries(7):
        status.read()
    ids = synced(syncer, 20)
    ClerkUser.objects.filter(pk__in=ids[:9]).update(doubt_reason="not readable in full")
    for number in range(20):
        judged(missed=1, delivered=9, minutes=number)
        event(number, state=["parked", "failed", "applied"][number % 3], hours=number)
    with django_assert_num_queries(7):
        status.read()


#: Rows of a large site, as far as they matter to the plan.
MANY = 6_000


@pytest.mark.django_db(transaction=True)
def test_cost__by_index(django_assert_num_queries: Any) -> None:
    """No query reads a table from end to end: each goes by an index that holds what it is after."""
    fill()
    with django_assert_num_queries(7) as captured:
        facts.read(timezone.now())
    for query in captured.captured_queries:
        plan = " / ".join(explain(query["sql"]))
        assert not scans(plan), f"{query['sql']}\n{plan}"


def fill() -> None:
    """Many users, events and runs; few of them in doubt or parked."""
    now = timezone.now()
    ClerkUser.objects.bulk_create(
        ClerkUser(
            clerk_id=f"user_{number}",
            state="active",
            first_seen=now,
            last_written=now,
            doubt_reason="not readable in full" if number % 1_000 == 0 else "",
        )
        for number in range(MANY)
    )
    WebhookEvent.objects.bulk_create(
        WebhookEvent(
            svix_id=f"msg_{number}",
            type="user.updated",
            state="parked" if number % 1_000 == 0 else "applied",
            sent_at=now,
            received_at=now - timedelta(minutes=number),
            finished_at=now,
        )
        for number in range(MANY)
    )
    SyncRun.objects.bulk_create(
        SyncRun(
            kind="incremental",
            state="completed",
            started_at=now - timedelta(minutes=5 * number),
            progressed_at=now,
        )
        for number in range(2_000)
    )
    if connection.vendor == "postgresql":
        execute("VACUUM ANALYZE clerksync_clerkuser, clerksync_webhookevent, clerksync_syncrun")
    else:
        execute("ANALYZE")


def explain(sql: str) -> list[str]:
    """How the database goes about a statement."""
    words = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
    return [str(row[-1]) for row in execute(words + sql)]


def scans(plan: str) -> bool:
    """Whether a whole table of the large ones is read."""
    large = ("clerksync_clerkuser", "clerksync_webhookevent", "clerksync_syncrun")
    if connection.vendor == "postgresql":
        return any(f"Seq Scan on {name}" in plan for name in large)
    return any(f"SCAN {name}" in plan and "USING" not in plan for name in large)


@pytest.mark.django_db(transaction=True)
def test_broken__no_tables() -> None:
    """A database in which nothing was migrated is an answer, with what to do."""
    execute("ALTER TABLE clerksync_mirrorstate RENAME TO elsewhere")
    try:
        found = status.read()
    finally:
        execute("ALTER TABLE elsewhere RENAME TO clerksync_mirrorstate")
    assert (found.state, codes(found), found.exit_status) == (State.BROKEN, ["tables_unreadable"], 2)
    assert found.reasons[0].command == "manage.py migrate"
    assert json.dumps(found.public())


@pytest.mark.django_db(transaction=True)
def test_broken__no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is down is an answer, too."""
    before = connection.settings_dict["NAME"]
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "NAME", "/nowhere/at/all")
    try:
        found = status.read()
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
    assert (found.state, codes(found)) == (State.BROKEN, ["database_unreachable"])
    assert "/nowhere" not in json.dumps(found.public())


def test_times__with_the_day_where_it_is_another() -> None:
    """A time of today is told by the minute, another with its day."""
    now = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
    assert reasons.clock(now - timedelta(minutes=30), now=now) == "00:30 UTC"
    assert reasons.clock(now - timedelta(hours=2), now=now) == "2026-03-01 23:00 UTC"


def test_deletes__refused_and_mended_by_hand(syncer: Syncer) -> None:
    """A full sync that somebody has let delete them ends what the scheduler was refused."""
    synced(syncer, 3)
    jobs.plan()
    ScheduledJob.objects.filter(part="full").update(outcome="refused", failures=1, finished_at=timezone.now())
    assert codes(status.read()) == ["deletes_refused"]
    syncer.full()
    assert status.read().state is State.IN_STEP
