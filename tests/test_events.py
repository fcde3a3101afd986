"""Handlers, and replays of recorded events."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from clerksync import handlers
from clerksync.events import ClerkEvent, on
from clerksync.models import ClerkUser, MirrorState, WebhookEvent
from clerksync.replay import select_due, select_events
from tests.deliveries import INSTANCE, USER, WEBHOOK_SECRET, body_of, changed, deliver, now_ms, post, signed
from tests.observed import user_json

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _endpoint(settings: Any) -> None:
    settings.ROOT_URLCONF = "project.urls"
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET


class Project:
    """A project's handlers."""

    def __init__(self) -> None:
        self.heard: list[ClerkEvent] = []
        self.is_broken = False
        self.committed: list[bool] = []

    def hear(self, event: ClerkEvent) -> None:
        self.committed.append(not connection.in_atomic_block and WebhookEvent.objects.exists())
        if self.is_broken:
            raise ValueError("of the project")
        self.heard.append(event)


@pytest.fixture
def project() -> Iterator[Project]:
    """Handlers of organizations and of changed users."""
    heard = Project()
    on("organization.created", "user.updated")(heard.hear)
    yield heard
    handlers.off(heard.hear)


def replay(*arguments: str) -> str:
    """The output of the command."""
    out = io.StringIO()
    call_command("replay_clerk_events", *arguments, stdout=out)
    return out.getvalue()


def test_handler__is_called_after_the_commit(project: Project) -> None:
    """With the type, the ids, the time and the object."""
    at = now_ms()
    assert deliver(body_of("organization.created", {"id": "org_1", "name": "Harbour"}, at=at)) == "applied"
    event = project.heard[0]
    assert (event.type, event.object_id, event.instance_id, event.data["name"]) == (
        "organization.created",
        "org_1",
        INSTANCE,
        "Harbour",
    )
    assert event.occurred_at is not None
    assert event.occurred_at.timestamp() * 1000 == at
    assert project.committed == [True]


def test_handler__is_called_once_for_a_duplicate(project: Project) -> None:
    """Redeliveries of what was handled call nobody."""
    delivery = signed(body_of("organization.created", {"id": "org_1"}), svix_id="msg_twice")
    post(delivery)
    post(delivery)
    assert len(project.heard) == 1


def test_handler__that_failed_is_recorded_and_the_mirror_is_right(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """Answered 200: Clerk can do nothing about it."""
    project.is_broken = True
    assert deliver(changed(now_ms())) == "applied"
    recorded = WebhookEvent.objects.get()
    assert (recorded.state, recorded.handled) == ("failed", True)
    assert recorded.reason.endswith("Project.hear: ValueError")
    assert ClerkUser.objects.filter(pk=USER).exists()
    assert "of the project" in caplog.text


def test_handler__that_failed_can_be_called_again(project: Project) -> None:
    """A replay calls it without touching the mirror."""
    project.is_broken = True
    deliver(changed(now_ms()))
    revision = ClerkUser.objects.get().revision
    with pytest.raises(CommandError):
        replay()
    project.is_broken = False
    assert "1 applied" in replay()
    assert (len(project.heard), ClerkUser.objects.get().revision) == (1, revision)
    assert replay().strip() == "nothing to replay"


def test_handler__others_are_called_when_one_fails(project: Project) -> None:
    """Failures do not keep the event from the next handler."""
    project.is_broken = True
    second = Project()
    on("organization.created")(second.hear)
    try:
        deliver(body_of("organization.created", {"id": "org_1"}))
    finally:
        handlers.off(second.hear)
    assert len(second.heard) == 1


def test_handler__of_a_process_that_died_is_called_by_the_redelivery(project: Project) -> None:
    """The record says that the handlers are still to be called."""
    delivery = signed(body_of("organization.created", {"id": "org_1"}), svix_id="msg_died")
    post(delivery)
    WebhookEvent.objects.update(handled=False)
    assert post(delivery).json() == {"status": "duplicate"}
    assert len(project.heard) == 2
    assert WebhookEvent.objects.get().handled


def test_handler__of_a_process_that_died_is_called_by_a_replay(project: Project) -> None:
    """Once it is clear that nobody is at it any more; the mirror is not touched."""
    deliver(changed(now_ms()))
    revision = ClerkUser.objects.get().revision
    WebhookEvent.objects.update(handled=False)
    assert replay().strip() == "nothing to replay"
    WebhookEvent.objects.update(finished_at=timezone.now() - timedelta(minutes=6))
    assert "1 applied" in replay()
    assert (len(project.heard), ClerkUser.objects.get().revision) == (2, revision)
    assert WebhookEvent.objects.get().handled
    assert replay().strip() == "nothing to replay"


@pytest.mark.django_db(databases=["default", "other"], transaction=True)
def test_replay__few_found_by_their_index() -> None:
    """Who looks for what is to be replayed does not walk over the millions that were applied."""
    # SQLite's plan, which is the same for a table of any size.
    for chosen in (select_events(), select_due(timezone.now())):
        assert "clerksync_event_state" in chosen.using("other").explain()


def park_two() -> None:
    """Two events of one user, which arrive in the wrong order and are parked."""
    MirrorState.objects.update_or_create(pk=1, defaults={"instance_id": "ins_other"})
    at = now_ms()
    deliver(changed(at, first_name="Second"), svix_id="msg_second")
    deliver(changed(at - 1_000, first_name="First"), svix_id="msg_first")
    MirrorState.objects.update(instance_id=INSTANCE)


def test_replay__applies_parked_events_in_their_order() -> None:
    """In the order that they happened, not in which they came."""
    park_two()
    lines = replay().splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["msg_first", "msg_second"]
    assert lines[2] == "2 applied"
    assert ClerkUser.objects.get().first_name == "Second"


def test_replay__twice_makes_no_difference() -> None:
    """Replays are idempotent."""
    park_two()
    replay()
    before = list(ClerkUser.objects.values())
    replay("--id", "msg_first", "--id", "msg_second")
    assert list(ClerkUser.objects.values()) == before


def test_replay__dry_run_lists_only() -> None:
    """Nothing changes."""
    park_two()
    assert "Nothing was replayed." in replay("--dry-run")
    assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"parked"}


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--type", "user.created"], 0),
        (["--type", "user.updated"], 2),
        (["--state", "failed"], 0),
        (["--since", "2999-01-01"], 0),
        (["--since", "2020-01-01T00:00:00+00:00"], 2),
    ],
)
def test_replay__chooses(arguments: list[str], count: int) -> None:
    """By type, state and time."""
    park_two()
    assert replay("--dry-run", *arguments).count("msg_") == count


@override_settings(USE_TZ=False, TIME_ZONE="Pacific/Auckland")
@pytest.mark.parametrize(("minutes", "count"), [(5, 2), (-5, 0)])
def test_replay__since_without_time_zones(minutes: int, count: int) -> None:
    """A project with ``USE_TZ = False`` may name a zone all the same."""
    park_two()
    since = datetime.now(UTC) - timedelta(minutes=minutes)
    assert replay("--dry-run", "--since", since.isoformat()).count("msg_") == count
    here = timezone.now() - timedelta(minutes=minutes)
    assert replay("--dry-run", "--since", here.isoformat()).count("msg_") == count


def test_replay__refuses_an_unknown_state() -> None:
    """A typo must not look like nothing to do."""
    with pytest.raises(CommandError, match="known are: applied") as caught:
        replay("--state", "parkt")
    assert caught.value.returncode == 2


def test_replay__says_what_it_cannot_see(settings: Any) -> None:
    """Events without content, and parts that are never stored."""
    deliver(body_of("email.created", {"id": "ema_1"}), svix_id="msg_code")
    assert "its content was not kept" in replay("--id", "msg_code")
    settings.CLERKSYNC_EXCLUDE_FIELDS = ("private_metadata",)
    deliver(changed(now_ms()), svix_id="msg_user")
    assert "without what is never stored (private_metadata)" in replay("--id", "msg_user")


def test_replay__what_is_excluded_is_no_change(settings: Any) -> None:
    """The content was read without it the first time as well."""
    settings.CLERKSYNC_EXCLUDE_FIELDS = ("private_metadata",)
    at = now_ms()
    user = user_json(USER, updated_at=at, private_metadata={"plan": "hush"})
    deliver(body_of("user.created", user, at=at), svix_id="msg_user")
    before = list(ClerkUser.objects.values())
    replay("--id", "msg_user")
    assert list(ClerkUser.objects.values()) == before


def test_prune__command(capsys: pytest.CaptureFixture[str]) -> None:
    """Says how many went."""
    deliver(changed(now_ms()))
    WebhookEvent.objects.update(received_at="2020-01-01T00:00:00Z")
    call_command("prune_clerk_data")
    told = "1 events deleted, 0 records of syncs deleted, 0 changes of users deleted, 0 users anonymized, 0 rows of users removed\n"
    assert capsys.readouterr().out == told


def test_handler__of_a_blank_user(project: Project) -> None:
    """Handlers are told what an event says of whom nothing is kept; what they fail for is not tried again."""
    deliver(body_of("user.deleted", {"id": USER, "deleted": True}, at=now_ms()))
    project.is_broken = True
    deliver(changed(now_ms() - 5_000))
    event = WebhookEvent.objects.latest("pk")
    assert (event.payload_text, event.state, event.handled) == (None, "ignored", True)
    assert "ValueError" in event.reason
    project.is_broken = False
    deliver(changed(now_ms() - 4_000))
    assert project.heard[-1].data["id"] == USER
