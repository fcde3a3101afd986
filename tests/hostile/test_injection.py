"""Marks in every text of a user, an event and an error: no page, table, log or mail obeys them."""

from __future__ import annotations

import csv
import io
import json
import logging
from datetime import timedelta
from typing import Any

import django
import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.core import mail
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from clerksync import alarms
from clerksync.models import ClerkUser, MirrorState, ScheduledJob, SyncRun, WebhookEvent
from clerksync.testing import FakeClerk
from project.demo_clerk import playing
from tests.admin.staff import log_in
from tests.deliveries import WEBHOOK_SECRET, body_of, changed, now_ms
from tests.figures import tell
from tests.hostile.forging import sign
from tests.syncing import Syncer

pytestmark = pytest.mark.django_db(transaction=True)

HTML = "<script>alert(1)</script>"
ATTRIBUTE = "\"'><img src=x onerror=alert(2)>"
FORMULA = "=cmd|' /C calc'!A0"
TERMINAL = "\x1b]8;;http://evil.test\x07\x1b[31mred"
LINES = "a\r\nBcc: victim@evil.test\r\nFORGED"
MARKUP = "[red]red[/red][link=http://evil.test]x[/link]{{ 7|add:7 }}{% now %}%(a)s{0}"
MARKS = {
    "html": HTML, "attribute": ATTRIBUTE, "formula": FORMULA, "terminal": TERMINAL, "lines": LINES, "markup": MARKUP,
    "script_end": "</script><script>alert(3)</script><!--", "template": "${7*7}{{constructor}}", "url": "javascript:alert(4)",
}  # fmt: skip
COMMANDS = (
    ["clerk_status"], ["clerk_status", "--format", "json"],
    ["sync_clerk_users"], ["sync_clerk_users", "--dry-run"], ["sync_clerk_users", "--incremental"],
    ["audit_clerk_users"], ["audit_clerk_users", "--format", "json"], ["audit_clerk_users", "--format", "csv"],
    ["audit_clerk_users", "--show-values"], ["link_clerk_users", "--dry-run"], ["replay_clerk_events", "--dry-run"],
    ["check_clerk"],
)  # fmt: skip


@pytest.fixture
def planted(clerk: FakeClerk, settings: Any) -> Syncer:
    """A table, events and runs in which every text is a mark."""
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET
    settings.ROOT_URLCONF = "project.urls"
    for number, mark in enumerate(MARKS.values()):
        plant(clerk, f"user_{number}", mark)
    for mark in (HTML, FORMULA, TERMINAL, LINES, MARKUP):
        clerk.create_user(clerk_id=f"user_{mark}", first_name=mark)
        clerk.set_raw(clerk.create_user()["id"], json.dumps({"id": f"user_{mark}", mark: mark}).encode())
    syncer = Syncer(clerk)
    syncer.full()
    for mark in MARKS.values():
        deliver(changed(now_ms(), clerk_id=f"user_w{len(mark)}", first_name=mark, username=mark))
        deliver(body_of("user.updated", {"id": mark, mark: mark}, instance_id=mark))
        deliver(body_of(mark, {"id": mark}))
        deliver(body_of("role.created", {"id": mark}), svix_id=mark if mark.isprintable() else None)
    return syncer


def plant(clerk: FakeClerk, clerk_id: str, mark: str) -> None:
    """A user all of whose texts are this mark."""
    names = "first_name", "last_name", "username", "external_id", "image_url", "locale"
    email = {"id": "idn_1", "email_address": mark, "verification": {"status": mark, "strategy": mark}}
    phone = {"id": "idn_2", "phone_number": mark, "verification": None}
    clerk.create_user(clerk_id=clerk_id)
    user = {
        **clerk.get(clerk_id),
        **dict.fromkeys(names, mark),
        "primary_email_address_id": "idn_1",
        "email_addresses": [email],
        "primary_phone_number_id": "idn_2",
        "phone_numbers": [phone],
        **{f"{kind}_metadata": {mark: mark} for kind in ("public", "private", "unsafe")},
    }
    clerk.set_raw(clerk_id, json.dumps(user).encode())


def deliver(body: bytes, *, svix_id: str | None = None) -> None:
    """Deliver a signed event."""
    delivery = sign(body, svix_id=svix_id)
    response = Client().post(
        reverse("clerksync:webhook"), delivery.body, content_type="application/json", headers=delivery.headers
    )
    assert response.status_code == 200, response.content


def check_html(text: str, where: str) -> None:
    """A browser sees text, and no element or address of the marks."""
    for bad in (HTML, "<img src=x", "<script>alert(", '="javascript:alert', "='javascript:alert"):
        assert bad not in text, (where, text[max(0, text.find(bad) - 200) : text.find(bad) + 80])


def check_lines(text: str, where: str) -> None:
    """A terminal sees no commands, and a reader no forged line."""
    assert "\x1b" not in text, where
    assert "\x07" not in text, where
    assert not [line for line in text.splitlines() if line.startswith(("FORGED", "Bcc:"))], where


def test_admin__shows_text(planted: Syncer) -> None:
    """Every list and every page of the admin."""
    staff = log_in(is_superuser=True)
    seen = 0
    for model in apps.get_app_config("clerksync").get_models():
        name = f"admin:clerksync_{model._meta.model_name}"
        if not admin.site.is_registered(model):
            continue
        pages = [reverse(f"{name}_changelist")]
        pages += [f"{pages[0]}?q={mark}" for mark in ("script", "<script>alert(1)</script>")]
        if model is not MirrorState:  # which has one page for all
            pages += [
                reverse(f"{name}_change", args=[quote(row.pk)]) for row in model._default_manager.all()[:40]
            ]
        for page in pages:
            response = staff.get(page, follow=True)
            assert response.status_code in {200, 403}, page
            check_html(response.content.decode(), page)
            seen += 1
    assert seen > 40
    tell("surfaces searched for marks", seen)


@pytest.mark.parametrize(
    "name", ["clerksync:health", "clerksync:metrics", "clerksync-api:user-list", "admin:index"]
)
def test_page__shows_text(planted: Syncer, name: str) -> None:
    """What else is served."""
    try:
        url = reverse(name)
    except NoReverseMatch:
        pytest.skip(f"the project does not serve {name}")
    response = log_in(is_superuser=True).get(url)
    if "html" in response.headers.get("Content-Type", ""):
        check_html(response.content.decode(), name)
    check_lines(response.content.decode(), name)
    tell("surfaces searched for marks")


@pytest.mark.parametrize("name", MARKS)
def test_demo__shows_text(clerk: FakeClerk, settings: Any, name: str) -> None:
    """The pages of the demo, to the user whose names are marks and to others."""
    settings.ROOT_URLCONF, settings.DEMO = "project.demo_urls", True
    settings.CLERKSYNC_SIGN_IN_URL = "/"
    plant(clerk, "user_marked", MARKS[name])
    client = Client(headers={"Accept": "text/html"})
    with playing(clerk):
        for _ in range(2):
            for path in ("/", "/profile/", "/name/"):
                answer = client.get(path, follow=True)
                assert answer.status_code == 200
                check_html(answer.content.decode(), path)
            client.post("/session/sign-in/", {"clerk_id": "user_marked"})
        answer = client.post(
            "/name/", {"first_name": MARKS[name], "last_name": MARKS[name], "how": MARKS[name]}
        )
        # A form gives back what was typed, and a value is no address.
        check_html(answer.content.decode().replace('value="javascript:', ""), "/name/")
    assert ClerkUser.objects.get().pk == "user_marked"
    tell("surfaces searched for marks", 6)


def test_alarm__tells_no_marks(planted: Syncer, settings: Any) -> None:
    """What alarms say is ours: of users, events and errors nothing but numbers."""
    settings.ADMINS = (
        ["ops@harbour.test"] if django.VERSION >= (6, 0) else [("Operations", "ops@harbour.test")]
    )
    long_ago = timezone.now() - timedelta(days=40)
    WebhookEvent.objects.filter(pk__in=WebhookEvent.objects.values("pk")[:5]).update(
        state="failed", reason=LINES
    )
    SyncRun.objects.update(state="failed", error=LINES, started_at=long_ago, finished_at=long_ago)
    ScheduledJob.objects.create(
        part="full", failures=9, message=LINES, failing_since=long_ago, next_at=long_ago
    )
    for minutes in (0, 60):
        alarms.evaluate(now=timezone.now() + timedelta(minutes=minutes))
    assert len(mail.outbox) >= 2
    for message in mail.outbox:
        text = f"{message.subject}\n{message.body}"
        check_lines(text, "mail")
        check_html(text, "mail")
        assert not any(mark in text for mark in MARKS.values())
        assert message.recipients() == ["ops@harbour.test"]
    tell("surfaces searched for marks", len(mail.outbox))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command__prints_text(
    planted: Syncer, command: list[str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither output, errors nor log obey a mark."""
    caplog.set_level(logging.DEBUG, logger="clerksync")
    out, err = io.StringIO(), io.StringIO()
    said = ""
    try:
        call_command(*command, stdout=out, stderr=err)
    except CommandError as error:
        said = str(error)
    except SystemExit as error:
        said = str(error)
    printed = capsys.readouterr()
    for text in (out.getvalue(), err.getvalue(), said, printed.out, printed.err):
        # In CSV a quoted cell may hold line ends.
        check_lines(" ".join(text.splitlines()) if "csv" in command else text, " ".join(command))
    for record in caplog.records:
        check_lines(record.getMessage(), record.name)
        assert "\n" not in record.getMessage(), record.getMessage()
    if "csv" in command:
        cells = [cell for row in csv.reader(io.StringIO(out.getvalue())) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]
    if "json" in command:
        json.loads(out.getvalue())
    for message in mail.outbox:
        assert "\n" not in str(message.subject)
        check_lines(str(message.body), "mail")
    tell("surfaces searched for marks")


def test_rows__keep_the_marks(planted: Syncer) -> None:
    """What is harmless in the table is kept as it came."""
    names = set(ClerkUser.objects.values_list("first_name", flat=True))
    assert set(MARKS.values()) <= names
    assert WebhookEvent.objects.filter(svix_id=FORMULA).exists()
