"""The endpoint of webhooks."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from clerksync import journal, views
from clerksync.models import ClerkUser, MirrorState, RejectedDeliveries, WebhookEvent
from clerksync.testing import FakeClerk
from tests.deliveries import (
    INSTANCE,
    URL,
    USER,
    WEBHOOK_SECRET,
    body_of,
    changed,
    deleted,
    deliver,
    now_ms,
    post,
    signed,
)
from tests.observed import user_json
from tests.syncing import Syncer, execute

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _endpoint(settings: Any) -> None:
    settings.ROOT_URLCONF = "project.urls"
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET


def states() -> list[tuple[str, str]]:
    """Type and state of every event, in order."""
    return list(WebhookEvent.objects.order_by("pk").values_list("type", "state"))


def test_url__has_a_name() -> None:
    """``reverse`` gives the form that Clerk is told."""
    assert reverse("clerksync:webhook") == URL


@pytest.mark.parametrize("url", [URL, URL.rstrip("/")])
def test_url__both_forms_answer(url: str) -> None:
    """A redirect would count as a failure."""
    assert post(signed(changed(now_ms())), url=url).status_code == 200


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "patch", "options"])
def test_method__only_post(method: str, client: Client) -> None:
    """Others are told what this is; HEAD without a body."""
    response = getattr(client, method)(URL)
    assert (response.status_code, response["Allow"]) == (405, "POST")


def test_user__created_updated_and_deleted() -> None:
    """The table knows within the request, without a call to Clerk."""
    at = now_ms()
    assert deliver(changed(at, event_type="user.created")) == "applied"
    assert deliver(changed(at + 1, first_name="Eva")) == "applied"
    assert ClerkUser.objects.values_list("first_name", "source").get(pk=USER) == ("Eva", "webhook")
    assert deliver(deleted(at + 2)) == "applied"
    assert ClerkUser.objects.get().state == "deleted"


def test_user__an_older_event_is_superseded() -> None:
    """And answered 200: another delivery would not help."""
    at = now_ms()
    deliver(changed(at))
    assert deliver(changed(at - 5, first_name="Old")) == "superseded"
    assert ClerkUser.objects.get().first_name == "Ada"


def test_user__unknown_after_a_walk_is_in_doubt() -> None:
    """An event that a full sync has overtaken, of a user whom that sync did not see: perhaps deleted since."""
    at = now_ms() - 60_000
    walked = datetime.fromtimestamp((at + 30_000) / 1000, UTC)
    MirrorState.objects.create(pk=1, instance_id=INSTANCE, deletes_as_of=walked)
    assert deliver(changed(at)) == "applied"
    user = ClerkUser.objects.get()
    assert (user.state, user.doubt_reason) == ("active", "not in Clerk's list")
    MirrorState.objects.update(deletes_as_of=walked - timedelta(seconds=31))
    assert deliver(changed(at, clerk_id="user_2bNeighbourWhoIsNew0000000")) == "applied"
    assert ClerkUser.objects.needs_refresh().get() == user


def test_user__any_order_of_events_ends_in_the_same_row() -> None:
    """Order and duplication decide nothing, and a late update revives nobody."""
    at = now_ms() - 10_000
    bodies = [
        changed(at, event_type="user.created"),
        changed(at + 1_000, first_name="Eva"),
        deleted(at + 2_000),
    ]
    ends = set()
    for number, order in enumerate(itertools.permutations([*bodies, bodies[1]])):
        ClerkUser.objects.all().delete()
        for place, body in enumerate(order):
            deliver(body, svix_id=f"msg_{number}_{place}")
        ends.add(ClerkUser.objects.values_list("state", "observed_ms", "doubt_reason").get())
    assert ends == {("deleted", at + 2_000, "")}


def test_session__carries_the_user() -> None:
    """A sign-in refreshes the user, last sign-in included."""
    at = now_ms()
    user = user_json(USER, updated_at=at, last_sign_in_at=at)
    assert deliver(body_of("session.created", {"id": "sess_1", "user": user}, at=at)) == "applied"
    assert ClerkUser.objects.get().last_sign_in_at is not None


@pytest.mark.parametrize("data", [{"id": "sess_1"}, {"id": "sess_1", "user": None}])
def test_session__without_a_user_says_nothing(data: dict[str, Any]) -> None:
    """It is recorded, and ignored."""
    assert deliver(body_of("session.ended", data)) == "ignored"
    assert not ClerkUser.objects.exists()


def test_event__seconds_and_milliseconds() -> None:
    """The envelope's time comes in both units."""
    at = now_ms() // 1000 * 1000
    deliver(body_of("user.updated", user_json(USER, updated_at=at), at=at // 1000))
    assert ClerkUser.objects.get().observed_ms == at


def test_sample__leaves_no_row() -> None:
    """A test event of the dashboard has invented ids and lacks keys: parked, no row, no tombstone."""
    sample = {"id": USER, "object": "user", "created_at": 1, "updated_at": 2, "email_addresses": []}
    assert deliver(body_of("user.created", sample)) == "parked"
    assert not ClerkUser.objects.exists()
    assert states() == [("user.created", "parked")]


def test_sample__of_a_known_user_only_raises_a_doubt() -> None:
    """Partial observations blank nothing."""
    at = now_ms()
    deliver(changed(at))
    assert deliver(body_of("user.updated", {"id": USER, "updated_at": at + 5}, at=at + 5)) == "applied"
    stored = ClerkUser.objects.get()
    assert (stored.email, stored.needs_refresh) == ("ada@harbour-works.io", True)


def test_replayed__older_than_the_retries_is_not_believed() -> None:
    """What is older than 28 hours raises a doubt and replaces nothing."""
    at = now_ms()
    deliver(changed(at - 40 * 3_600_000))
    assert not ClerkUser.objects.exists()


def test_unknown_type__is_recorded_and_ignored() -> None:
    """Clerk adds types; a failure would disable the endpoint."""
    assert deliver(body_of("spaceship.launched", {"id": "ship_1"})) == "ignored"
    assert states() == [("spaceship.launched", "ignored")]


def test_duplicate__changes_nothing() -> None:
    """The same message again is counted, answered 200, and has no second effect."""
    delivery = signed(changed(now_ms()), svix_id="msg_once")
    first, second = post(delivery), post(delivery)
    assert (first.json()["status"], second.json()["status"]) == ("applied", "duplicate")
    assert WebhookEvent.objects.get().attempts == 2


def test_instance__of_another_one_is_parked(caplog: pytest.LogCaptureFixture) -> None:
    """A development endpoint pointed at production must not mix users; the event can be replayed."""
    MirrorState.objects.create(pk=1, instance_id=INSTANCE)
    at = now_ms()
    foreign = body_of("user.created", user_json(USER, updated_at=at), at=at, instance_id="ins_development")
    assert deliver(foreign) == "parked"
    assert deliver(changed(at, clerk_id=USER + "b")) == "applied"
    assert not ClerkUser.objects.filter(pk=USER).exists()
    assert "another Clerk instance" in caplog.text


def test_instance__redelivered_once_the_table_is_its_own() -> None:
    """A parked event is no duplicate: its redelivery is applied once nothing stands against it."""
    MirrorState.objects.create(pk=1, instance_id="ins_another")
    body = changed(now_ms())
    assert deliver(body, svix_id="msg_parked") == "parked"
    MirrorState.objects.update(instance_id=INSTANCE)
    assert deliver(body, svix_id="msg_parked") == "applied"
    assert deliver(body, svix_id="msg_parked") == "duplicate"
    assert ClerkUser.objects.get().state == "active"


@pytest.mark.parametrize(
    "body", [b"not json", b"[]", b"{}", b'{"type": 5, "data": {}}', b'{"type": "user.deleted", "data": {}}']
)
def test_poison__is_parked(body: bytes) -> None:
    """A signed body that can never be applied costs one delivery and not eight."""
    assert deliver(body) == "parked"
    assert WebhookEvent.objects.get().reason


@pytest.mark.parametrize("name", ["nul \x00", "lone \ud800", "\u202eright to left", "x" * 10_000, "\u241b"])
def test_poison__text_that_databases_refuse(name: str) -> None:
    """One odd name delays nobody."""
    at = now_ms()
    event = {"type": "user.updated", "timestamp": at, "instance_id": INSTANCE}
    body = json.dumps({**event, "data": user_json(USER, updated_at=at, first_name=name)}).encode()
    assert deliver(body) == "applied"
    assert WebhookEvent.objects.get().payload is not None


def test_poison__deep_nesting() -> None:
    """A thousand levels are read the slow way."""
    at = now_ms()
    deep = b'{"a":' * 1_000 + b"1" + b"}" * 1_000
    body = changed(at, unsafe_metadata="DEEP").replace(b'"DEEP"', deep)
    assert deliver(body) == "applied"
    assert ClerkUser.objects.get().email == "ada@harbour-works.io"


def test_too_large__413(settings: Any) -> None:
    """Beyond the limit nothing is read or kept."""
    settings.CLERKSYNC_WEBHOOK_MAX_BYTES = 2_000
    assert post(signed(changed(now_ms(), first_name="x" * 3_000))).status_code == 413
    assert not WebhookEvent.objects.exists()


def test_rejected__leaves_no_row_but_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A forger learns nothing; the operator sees how often, since when and why."""
    body = changed(now_ms())
    for _ in range(3):
        response = Client(enforce_csrf_checks=True).post(
            URL,
            data=body,
            content_type="application/json",
            headers={**signed(body).headers, "svix-signature": "v1,AAAA"},
        )
        assert (response.status_code, response.json()) == (400, {"error": "not accepted"})
    Client().post(URL, data=b"{}", content_type="application/json")
    assert not WebhookEvent.objects.exists()
    counted = dict(RejectedDeliveries.objects.values_list("reason", "count"))
    assert counted == {"signature": 3, "headers": 1}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_no_secret__503(settings: Any) -> None:
    """Never accept unsigned; Clerk delivers again when the secret is there."""
    settings.CLERK_WEBHOOK_SIGNING_SECRET = ""
    assert post(signed(changed(now_ms()))).status_code == 503


def test_database__failing_asks_for_another_delivery() -> None:
    """A transient failure is 503 with Retry-After, and nothing is half done."""

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001  # Django's signature
        if "webhookevent" in sql:
            raise DatabaseError("gone")
        return execute(sql, params, many, context)

    delivery = signed(changed(now_ms()), svix_id="msg_retry")
    with connection.execute_wrapper(refuse):
        response = post(delivery)
    assert (response.status_code, response["Retry-After"]) == (503, "30")
    assert not ClerkUser.objects.exists()
    assert post(delivery).json() == {"status": "applied"}


def test_duplicate__pruned_meanwhile() -> None:
    """A delivery whose event is there, and then is not, is recorded like a new one."""
    body, inserts = changed(now_ms()), []

    def prune(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001  # Django's signature
        result = execute(sql, params, many, context)
        if sql.startswith('INSERT INTO "clerksync_webhookevent"'):
            inserts.append(sql)
            if len(inserts) == 1:
                WebhookEvent.objects.all().delete()
        return result

    deliver(body, svix_id="msg_old")
    with connection.execute_wrapper(prune):
        assert deliver(body, svix_id="msg_old") == "applied"
    assert len(inserts) == 2
    assert WebhookEvent.objects.get().attempts == 1


def test_statements__three_besides_begin_and_commit() -> None:
    """Read the row, record the event, write the row."""
    MirrorState.objects.create(pk=1, instance_id=INSTANCE)
    deliver(changed(now_ms()))
    with CaptureQueriesContext(connection) as queries:
        deliver(changed(now_ms() + 10, first_name="Eva"))
    tables = [
        name
        for query in queries
        for name in ("clerkuser", "webhookevent")
        if f'"clerksync_{name}"' in query["sql"]
    ]
    assert tables == ["clerkuser", "webhookevent", "clerkuser"]


def test_secrets__codes_are_never_kept() -> None:
    """Events of e-mails and SMS carry one-time codes: recorded without payload."""
    for event_type in ("email.created", "sms.created"):
        deliver(body_of(event_type, {"id": "ema_1", "body": "Your code is 123456"}))
    assert set(WebhookEvent.objects.values_list("payload_text", flat=True)) == {None}


def test_secrets__excluded_parts_are_never_kept(settings: Any) -> None:
    """Nor addresses of visitors, and nothing of CLERKSYNC_EXCLUDE_FIELDS, in sessions either."""
    settings.CLERKSYNC_EXCLUDE_FIELDS = ("private_metadata",)
    at = now_ms()
    user = user_json(USER, updated_at=at, private_metadata={"plan": "hush"})
    deliver(body_of("user.created", user, at=at))
    deliver(body_of("session.created", {"id": "sess_1", "user": user}, at=at))
    kept = str(list(WebhookEvent.objects.values()))
    kept += str(list(ClerkUser.objects.values()))
    assert "hush" not in kept
    assert "203.0.113.7" not in kept


def test_prune__old_events_go() -> None:
    """Kept for EVENT_RETENTION_DAYS."""
    deliver(changed(now_ms()))
    deliver(changed(now_ms(), clerk_id=USER + "b"))
    old = WebhookEvent.objects.order_by("pk").first()
    assert old is not None
    WebhookEvent.objects.filter(pk=old.pk).update(received_at=timezone.now() - timedelta(days=31))
    assert journal.prune() == 1
    assert WebhookEvent.objects.count() == 1


def test_atomic_requests__commits_before_the_answer() -> None:
    """The view is exempt on every database."""
    assert {"default", "other"} <= views.webhook._non_atomic_requests  # type: ignore[attr-defined]


def test_login__is_not_required(settings: Any) -> None:
    """LoginRequiredMiddleware lets Clerk pass."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert post(signed(changed(now_ms()))).status_code == 200


def test_reject__survives_a_missing_table() -> None:
    """A rejection that cannot be counted is answered all the same."""

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001  # Django's signature
        if "rejected" in sql:
            raise DatabaseError("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        assert Client().post(URL, data=b"{}", content_type="application/json").status_code == 400


def test_health__answers(client: Client, clerk: FakeClerk) -> None:
    """200 while the mirror is in step, else 503 with the reasons; never kept by a cache."""
    url = reverse("clerksync:health")
    response = client.get(url)
    assert (response.status_code, response.json()["reasons"][0]["code"]) == (503, "never_synced")
    clerk.create_users(2)
    Syncer(clerk).full()
    response = client.get(url)
    assert (response.status_code, response.json()["state"]) == (200, "in_step")
    assert "no-store" in response.headers["Cache-Control"]
    assert "holders" not in response.json()
    MirrorState.objects.update(updates_as_of=None)
    response = client.head(url)
    assert (response.status_code, response.content) == (503, b"")


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_health__only_looks(client: Client, method: str) -> None:
    """Other methods are refused."""
    assert getattr(client, method)(reverse("clerksync:health")).status_code == 405


def test_health__without_tables(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that cannot be read is told, and is no error of the view, whatever ATOMIC_REQUESTS says."""
    execute("ALTER TABLE clerksync_mirrorstate RENAME TO elsewhere")
    try:
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)  # noqa: FBT003  # a setting's value
        response = client.get(reverse("clerksync:health"))
    finally:
        execute("ALTER TABLE elsewhere RENAME TO clerksync_mirrorstate")
    assert (response.status_code, response.json()["reasons"][0]["code"]) == (503, "tables_unreadable")
