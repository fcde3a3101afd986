"""A sound set-up, and one mistake after the other planted into it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.utils import timezone

from clerksync import journal
from clerksync.doctor import examination
from clerksync.doctor.findings import GROUP_OF, GROUPS, State
from clerksync.models import MirrorState, ScheduledJob, SyncRun, WebhookEvent
from clerksync.testing import FakeClerk
from clerksync.testing.deliveries import WEBHOOK_SECRET
from tests.doctor.patients import OURS, ask, ask_json, make_sound, replaced

pytestmark = pytest.mark.django_db(transaction=True)

HERE = "tests.doctor.patients"
LIVE = "pk_live_Y2xlcmsuaGFyYm91ci50ZXN0JA"
OTHER = "ins_2mXbLrPqYdWv8kTzJcNhG4sAeUo"


@pytest.fixture(autouse=True)
def _sound(settings: Any, clerk: FakeClerk, tmp_path: Path) -> None:
    make_sound(settings, clerk, files=tmp_path)


def found(**limits: Any) -> dict[str, tuple[str, str]]:
    """State and words of each finding by its id."""
    report = examination.examine(**limits)
    return {one.id: (one.state.value, f"{one.sentence} {one.advice}") for one in report.findings}


def wrong() -> dict[str, str]:
    """The states of what is wrong."""
    return {id: state for id, (state, _) in found().items() if state in ("warning", "problem")}


def test_sound__all_ok() -> None:
    """Every finding is there once, and all are ok; nobody is told to do anything."""
    status, findings = ask_json()
    on_request = {"probe", "test_alert", "failed_part"}
    assert [one["id"] for one in findings] == [id for id in GROUP_OF if id not in on_request]
    assert [one for one in findings if one["state"] != "ok" or one["advice"]] == []
    assert status == 0


def test_sound__asks_little(clerk: FakeClerk) -> None:
    """Two requests to Clerk, and nothing is written."""
    clerk.clear_requests()
    before = (
        list(WebhookEvent.objects.values()),
        list(SyncRun.objects.values()),
        MirrorState.objects.values().get(),
    )
    examination.examine()
    assert [request.path for request in clerk.requests] == ["/v1/instance", "/v1/jwks"]
    after = (
        list(WebhookEvent.objects.values()),
        list(SyncRun.objects.values()),
        MirrorState.objects.values().get(),
    )
    assert after == before


#: Settings, what they are found as, in which state, and words of the finding.
SETTINGS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"CLERKSYNC_REAL_DOMAIN": []}, "settings", "problem", "Did you mean CLERKSYNC_REAL_DOMAINS?"),
    ({"CLERKSYNC_OVERLAP": "120"}, "settings", "problem", "CLERKSYNC_OVERLAP must be a number"),
    ({"CLERK_SECRET_KEY": LIVE}, "keys", "problem", "holds a publishable key"),
    ({"CLERK_SECRET_KEY": ""}, "keys", "warning", "CLERK_SECRET_KEY is not set"),
    (
        {"CLERK_PUBLISHABLE_KEY": LIVE},
        "keys",
        "problem",
        "is a test key and CLERK_PUBLISHABLE_KEY a live key",
    ),
    ({"CLERK_API_URL": "api.clerk.com"}, "api_url", "problem", "CLERK_API_URL is not the URL of an API"),
    ({"CLERK_JWT_KEY": "MIIB"}, "jwt_key", "problem", "CLERK_JWT_KEY cannot be used"),
    ({"CLERKSYNC_ISSUER": "clerk.harbour.test"}, "issuer", "problem", "is not an issuer's address"),
    ({"CLERKSYNC_AUTHORIZED_PARTIES": [f"{OURS}/"]}, "authorized_parties", "problem", "is not an origin"),
    ({"CLERKSYNC_AUTHORIZED_PARTIES": []}, "authorized_parties", "warning", "whatever site asked for them"),
    ({"CLERK_WEBHOOK_SIGNING_SECRET": "whsec_%"}, "webhook_secret", "problem", "is not base64"),
    ({"CLERK_WEBHOOK_SIGNING_SECRET": ""}, "webhook_secret", "warning", "answered with 503"),
    ({"ROOT_URLCONF": "tests.no_urls"}, "webhook_url", "problem", "every webhook is answered with 404"),
    ({"ROOT_URLCONF": HERE}, "webhook_url", "problem", "/clerk/webhook leads to another view"),
    ({"ROOT_URLCONF": "tests.doctor.language_urls"}, "webhook_url", "warning", "outside of i18n_patterns"),
    ({"SECURE_SSL_REDIRECT": True}, "webhook_answer", "warning", "redirected in circles"),
    (
        {"SECURE_SSL_REDIRECT": True, "SECURE_PROXY_SSL_HEADER": ("HTTP_X_PROTO", "on"), "ALLOWED_HOSTS": []},
        "webhook_answer",
        "problem",
        "ALLOWED_HOSTS is empty",
    ),
    ({"PREPEND_WWW": True}, "webhook_answer", "warning", "www.app.harbour.test at Clerk"),
    (
        {"SECURE_PROXY_SSL_HEADER": ("X-Forwarded-Proto", "https")},
        "proxy",
        "problem",
        "capitals and underscores",
    ),
    (
        {"USE_X_FORWARDED_HOST": True, "ALLOWED_HOSTS": ["*"]},
        "proxy",
        "warning",
        "any visitor chooses the host",
    ),
    (
        {"CLERKSYNC_AUTHORIZED_PARTIES": ["https://www.other.test"]},
        "csrf",
        "warning",
        "www.other.test are refused",
    ),
    ({"SESSION_COOKIE_SECURE": False}, "cookies", "warning", "Set SESSION_COOKIE_SECURE = True."),
    ({"CSRF_COOKIE_SECURE": False}, "cookies", "warning", "Set CSRF_COOKIE_SECURE = True."),
    ({"CLERKSYNC_LINK_BY": ["email"]}, "linking", "problem", "has no rule 'email'"),
    ({"CLERKSYNC_USER_FIELDS": {"nickname": "username"}}, "linking", "problem", "no such column"),
    ({"CLERKSYNC_USER_FIELDS": {"username": "external_id"}}, "new_users", "problem", "username (blank)"),
]


@pytest.mark.parametrize(("changes", "id", "state", "words"), SETTINGS)
def test_settings(settings: Any, changes: dict[str, Any], id: str, state: str, words: str) -> None:
    """A mistake in the settings is found under its name, and said in words."""
    for name, value in changes.items():
        setattr(settings, name, value)
    told = found()
    assert told[id][0] == state
    assert words in told[id][1]
    assert "failed_part" not in told


@pytest.mark.parametrize(
    ("backend", "id", "state", "words"),
    [
        (
            "django.core.cache.backends.locmem.LocMemCache",
            "cache",
            "warning",
            "in the memory of each process",
        ),
        ("django.core.cache.backends.dummy.DummyCache", "cache", "warning", "keeps nothing"),
        (f"{HERE}.ForgettingCache", "cache", "problem", "does not keep"),
        (f"{HERE}.FailingCache", "failed_part", "problem", "'cache' failed unexpectedly (RuntimeError)"),
    ],
)
def test_cache(settings: Any, backend: str, id: str, state: str, words: str) -> None:
    """A cache that is not shared costs something; one that fails does not end the examination."""
    settings.CACHES = {"default": {"BACKEND": backend}}
    told = found()
    assert told[id][0] == state
    assert words in told[id][1]
    assert told["full_sync"][0] == "ok"


@pytest.mark.parametrize(
    ("position", "name", "id", "words"),
    [
        (0, f"{HERE}.RedirectingMiddleware", "webhook_answer", "redirected to /login/, which"),
        (0, f"{HERE}.ForbiddingMiddleware", "webhook_answer", "403: some middleware asks for a login"),
        (0, f"{HERE}.FailingMiddleware", "webhook_answer", "answered with 500"),
        (4, "clerksync.middleware.ClerkMiddleware", "middleware", "stands before AuthenticationMiddleware"),
    ],
)
def test_middleware(settings: Any, position: int, name: str, id: str, words: str) -> None:
    """Middleware in a wrong place is named, and so is what keeps deliveries from our view."""
    names = [one for one in settings.MIDDLEWARE if one != name]
    settings.MIDDLEWARE = [*names[:position], name, *names[position:]]
    told = found()
    assert told[id][0] == "problem"
    assert words in told[id][1]


def test_csrf__without_protection(settings: Any) -> None:
    """Clerk's cookies sign users in, so forms have to be protected."""
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    assert wrong() == {"csrf": "warning"}


def test_proxy__header_of_another_value(settings: Any) -> None:
    """With the header as the proxy sets it, a redirect to https leads in no circle."""
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert wrong() == {}


def test_no_webhooks(settings: Any) -> None:
    """Who does without webhooks is told so, and nothing is wrong."""
    settings.ROOT_URLCONF = "tests.no_urls"
    settings.CLERK_WEBHOOK_SIGNING_SECRET = ""
    told = found()
    assert [told[id][0] for id in ("webhook_secret", "webhook_url", "last_event", "endpoint")] == [
        "skipped"
    ] * 4
    assert wrong() == {}


def test_clerk__key_not_accepted(clerk: FakeClerk) -> None:
    """A key that was revoked; the clock can be compared all the same."""
    clerk.secret_key = "sk_test_another"
    told = found()
    assert (told["clerk"][0], told["key_accepted"][0], told["clock"][0]) == ("ok", "problem", "ok")
    assert told["instance"] == ("skipped", "Clerk did not tell whose the secret key is. ")


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("html", {}, "Something else answers in Clerk's place"),
        ("redirect", {"to": "https://login.harbour.test/"}, "a redirect to login.harbour.test"),
        ("not_json", {}, "Something else answers"),
        (503, {}, "status 503"),
        (429, {"retry_after": 600}, "status 429"),
    ],
)
def test_clerk__trouble(clerk: FakeClerk, kind: str | int, options: dict[str, Any], words: str) -> None:
    """What answers in Clerk's place, or does not, is named; everything else is looked at."""
    clerk.fail(kind, times=None, on="*", **options)
    told = found(part_seconds=8)
    assert told["clerk"][0] == "problem"
    assert words in told["clerk"][1]
    assert (told["key_accepted"][0], told["instance"][0], told["full_sync"][0]) == (
        "skipped",
        "skipped",
        "ok",
    )


def test_clerk__refuses(clerk: FakeClerk) -> None:
    """A status of Clerk's that another try would not change."""
    clerk.fail(403, times=None, on="GET /v1/instance")
    assert wrong() == {"key_accepted": "problem"}


def test_clerk__hangs(clerk: FakeClerk) -> None:
    """A Clerk that does not answer is waited for, but not for long, and the others are looked at."""
    clerk.fail("slow", seconds=60, times=None, on="*")
    began = time.monotonic()
    told = found(part_seconds=8)
    assert time.monotonic() - began < 55
    assert (told["clerk"][0], told["database"][0], told["webhook_answer"][0]) == ("problem", "ok", "ok")


def test_clerk__nobody_there(settings: Any) -> None:
    """A port that nobody listens at."""
    settings.CLERK_API_URL = "http://127.0.0.1:9"
    assert "127.0.0.1:9 takes no connection (ConnectionRefusedError)" in found()["clerk"][1]


@pytest.mark.parametrize(("seconds", "words"), [(60, "behind Clerk's"), (-60, "ahead of Clerk's")])
def test_clock(clerk: FakeClerk, seconds: int, words: str) -> None:
    """Session tokens allow five seconds."""
    clerk.advance(seconds=seconds)
    told = found()["clock"]
    assert told[0] == "problem"
    assert words in told[1]


@pytest.mark.parametrize("fault", ["no_date", "wrong_date"])
def test_clock__not_told(clerk: FakeClerk, fault: str) -> None:
    """Without a time that can be right nothing can be compared."""
    clerk.fail(fault, times=None, on="*")
    told = found()["clock"]
    assert told[0] == "warning"
    assert "tell no time" in told[1]


def test_clock__slow_answer(clerk: FakeClerk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that takes longer than clocks may differ says nothing against them."""
    monkeypatch.setattr("clerksync.doctor.clerk.MAX_SKEW", 1)
    clerk.fail("slow", seconds=3, times=None, on="*")
    assert found(part_seconds=60, seconds=90)["clock"][0] == "ok"


def test_instance__of_another_table() -> None:
    """The key opens another instance than the one whose users the table holds, and events come from."""
    MirrorState.objects.update(instance_id=OTHER)
    told = found()
    assert f"and the table holds the users of {OTHER}" in told["instance"][1]
    assert wrong() == {"instance": "problem"}


def test_instance__of_another_kind(clerk: FakeClerk) -> None:
    """A test key that opens production."""
    clerk.instance.environment = "production"
    assert wrong() == {"instance": "warning"}


def test_event_instance() -> None:
    """An endpoint of another instance delivers here, too."""
    WebhookEvent.objects.update(instance_id=OTHER)
    assert wrong() == {"event_instance": "problem"}


def test_signing_key__another_pem(clerk: FakeClerk) -> None:
    """The PEM is not that of the instance any more."""
    clerk.rotate_signing_key()
    told = found()
    assert "CLERK_JWT_KEY is no key of the instance" in told["signing_key"][1]
    assert wrong() == {"signing_key": "problem"}


def test_signing_key__of_another_instance(settings: Any, clerk: FakeClerk) -> None:
    """The id of a key names an instance."""
    settings.CLERK_JWT_KEY = ""
    clerk.rotate_signing_key(key_id=OTHER)
    assert f"are of {OTHER}" in found()["signing_key"][1]


def test_signing_key__unreadable(clerk: FakeClerk) -> None:
    """Clerk's keys cannot be read."""
    clerk.fail(404, times=None, on="GET /v1/jwks")
    assert wrong() == {"signing_key": "problem"}


def test_webhooks__dead_endpoint() -> None:
    """Changes are found by the scan, and none by webhook."""
    SyncRun.objects.filter(kind="incremental").update(counts={"missed": 37, "delivered": 0})
    told = found()["endpoint"]
    assert told[0] == "problem"
    assert "37 changes found by the scan, 0 by webhook. Run: manage.py check_clerk --probe." in told[1]


def test_webhooks__none_yet() -> None:
    """Nothing is wrong before the first event, but it is said."""
    WebhookEvent.objects.all().delete()
    status, findings = ask_json()
    assert (status, [one["id"] for one in findings if one["state"] == "skipped"]) == (
        0,
        ["last_event", "event_instance"],
    )


def test_webhooks__rejected() -> None:
    """Rejected deliveries are told by reason, with the cause of each."""
    for reason in ("signature", "signature", "timestamp"):
        journal.count_rejection(reason)
    told = found()["rejected"]
    assert told[0] == "warning"
    assert "2 for signature, 1 for timestamp" in told[1]
    assert "compare CLERK_WEBHOOK_SIGNING_SECRET with the endpoint's" in told[1].replace(
        "Signature", "signature"
    )


def test_webhooks__parked() -> None:
    """Events wait for somebody."""
    WebhookEvent.objects.update(state="parked")
    assert wrong() == {"events": "warning"}


@pytest.mark.parametrize(
    ("change", "id", "state"),
    [
        ({"updates_as_of": None}, "full_sync", "problem"),
        ({"deletes_as_of": timedelta(days=2)}, "full_sync", "warning"),
        ({"updates_as_of": timedelta(hours=3)}, "incremental_sync", "warning"),
    ],
)
def test_runs__late(change: dict[str, timedelta | None], id: str, state: str) -> None:
    """A sync that never ended well, or not for long, is late."""
    now = timezone.now()
    MirrorState.objects.update(**{name: ago and now - ago for name, ago in change.items()})
    assert wrong() == {id: state}


@pytest.mark.parametrize(("kind", "id"), [("full", "full_sync"), ("incremental", "incremental_sync")])
def test_runs__failed(kind: str, id: str) -> None:
    """The last run failed."""
    SyncRun.objects.filter(kind=kind).update(state="failed")
    assert wrong() == {id: "warning"}


def test_scheduler__not_in_use() -> None:
    """Cron may do the work."""
    ScheduledJob.objects.all().delete()
    assert (found()["scheduler"][0], wrong()) == ("skipped", {})


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"next_at": timezone.now() - timedelta(hours=1)}, "warning", "nobody runs it: full."),
        ({"failures": 2, "outcome": "refused"}, "warning", "full (deletes refused)."),
        (
            {"seen_at": timezone.now() - timedelta(hours=1)},
            "warning",
            "The scheduler has not been seen since",
        ),
        (
            {"failures": 3, "outcome": "failed", "failing_since": timezone.now()},
            "warning",
            "part full has failed 3 times in a row",
        ),
    ],
)
def test_scheduler(changes: dict[str, Any], state: str, words: str) -> None:
    """A part that nobody runs any more, and one that fails."""
    ScheduledJob.objects.filter(part="full").update(**changes)
    told = found()["scheduler"]
    assert told[0] == state
    assert words in told[1]


def test_migrations__pending() -> None:
    """Tables that are not there are told as migrations that were not run, and nothing reads them."""
    call_command("migrate", "clerksync", "zero", verbosity=0)
    try:
        told = found()
    finally:
        call_command("migrate", "clerksync", verbosity=0)
    assert told["migrations"][0] == "problem"
    assert "clerksync.0001_initial" in told["migrations"][1]
    assert (told["full_sync"][0], told["clerk"][0], "failed_part" in told) == ("skipped", "ok", False)


def test_database__broken(tmp_path: Path) -> None:
    """Without a database everything else is looked at; no path and no name of a host is told."""
    missing = str(tmp_path / "missing" / "db.sqlite3")
    with replaced(ENGINE="django.db.backends.sqlite3", NAME=missing, OPTIONS={}):
        told = found()
    assert told["database"][0] == "problem"
    assert "The database cannot be asked (OperationalError)." in told["database"][1]
    assert (told["clerk"][0], told["webhook_answer"][0], told["instance"][0]) == ("ok", "ok", "skipped")
    assert told["full_sync"][0] == "skipped"


def test_database__hangs() -> None:
    """A server that takes the connection and says nothing."""
    pytest.importorskip("psycopg")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        place = {
            "HOST": "127.0.0.1",
            "PORT": str(server.getsockname()[1]),
            "USER": "x",
            "PASSWORD": "harbour-pw",
        }
        with replaced(ENGINE="django.db.backends.postgresql", NAME="x", OPTIONS={}, **place):
            began = time.monotonic()
            told = found(part_seconds=3)
    assert time.monotonic() - began < 55
    assert told["database"][1].startswith("The database does not answer within 2.7 seconds.")
    assert told["clerk"][0] == "ok"


def test_limit__of_everything(settings: Any, clerk: FakeClerk) -> None:
    """Whatever hangs, the end comes."""
    clerk.fail("slow", seconds=60, times=None, on="*")
    began = time.monotonic()
    examination.examine(seconds=1)
    assert time.monotonic() - began < 15


def test_failed_part__of_a_wrong_type(settings: Any) -> None:
    """A key that is none makes Clerk's part fail, which is said; what it would tell is skipped."""
    settings.CLERK_SECRET_KEY = 7
    told = found()
    assert "CLERK_SECRET_KEY must be a string" in told["settings"][1]
    assert "The part 'clerk' failed unexpectedly (AttributeError)." in told["failed_part"][1]
    assert (told["clerk"][0], told["key_accepted"][0], told["full_sync"][0]) == ("skipped", "skipped", "ok")


def test_new_users__failing_callable(settings: Any) -> None:
    """A function of the project that fails is told with the type of its exception, and no more."""
    settings.CLERKSYNC_USER_FIELDS = {"first_name": f"{HERE}.somebody"}
    told = found()["new_users"]
    assert told[0] == "warning"
    assert "first_name: the callable failed (ZeroDivisionError)" in told[1]


WRECKS: list[Callable[[FakeClerk, Any], object]] = [
    lambda clerk, settings: setattr(clerk, "secret_key", "sk_test_another"),
    lambda clerk, settings: clerk.fail(400, times=None, on="*", message=f"bad {settings.CLERK_SECRET_KEY}"),
    lambda clerk, settings: setattr(settings, "CLERK_SECRET_KEY", "sk_live harbour-key"),
    lambda clerk, settings: setattr(settings, "CLERK_WEBHOOK_SIGNING_SECRET", "whsec_%harbour-key"),
    lambda clerk, settings: setattr(settings, "CLERK_API_URL", "https://harbour-key@127.0.0.1"),
    lambda clerk, settings: setattr(settings, "CLERK_JWT_KEY", "harbour-key"),
    lambda clerk, settings: setattr(settings, "MIDDLEWARE", [f"{HERE}.FailingMiddleware"]),
    lambda clerk, settings: setattr(settings, "CACHES", {"default": {"BACKEND": f"{HERE}.FailingCache"}}),
    lambda clerk, settings: setattr(settings, "CLERKSYNC_USER_FIELDS", {"username": "external_id"}),
    lambda clerk, settings: setattr(settings, "CLERK_WEBHOOK_SIGNING_SECRET", [1]),
    lambda clerk, settings: setattr(settings, "CLERK_SECRET_KEY", 7),
]


@pytest.mark.parametrize("wreck", WRECKS)
def test_output__no_secrets(
    settings: Any,
    clerk: FakeClerk,
    wreck: Callable[[FakeClerk, Any], object],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever is wrong, neither form of the output holds a secret or a person, and it never crashes."""
    secrets = [
        clerk.secret_key,
        WEBHOOK_SECRET,
        "harbour-key",
        "harbour-works.io",
        django_settings.SECRET_KEY,
    ]
    wreck(clerk, settings)
    for form in ("text", "json"):
        status, said = ask("--format", form)
        assert status == 1
        assert [secret for secret in secrets if secret in said] == []
    assert "Traceback" not in capfd.readouterr().out


def test_groups__every_id_once() -> None:
    """An id stands for one thing."""
    assert len(GROUP_OF) == sum(len(ids) for ids in GROUPS.values())
    assert json.dumps([state.value for state in State]) == '["ok", "skipped", "warning", "problem"]'
