"""``manage.py check_clerk``: text, JSON, exit statuses, and a mail on request."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import django
import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from clerksync.testing import FakeClerk
from project.defaults import BASE_DIR
from tests import processes
from tests.doctor.patients import ask, ask_json, make_sound

pytestmark = pytest.mark.django_db(transaction=True)

OPS = "ops@harbour-works.io"
ADMINS: list[Any] = [OPS] if django.VERSION >= (6, 0) else [("Operations", OPS)]
BACKENDS = "django.core.mail.backends"


@pytest.fixture
def _sound(settings: Any, clerk: FakeClerk, tmp_path: Path) -> None:
    make_sound(settings, clerk, files=tmp_path)


@pytest.mark.usefixtures("_sound")
def test_text(settings: Any) -> None:
    """Findings in groups, what to do below each, and the result in the last line; no colours in a pipe."""
    status, said = ask()
    lines = said.splitlines()
    assert (status, lines[0], lines[-1]) == (0, "Settings", "Nothing is wrong: 35 ok, 0 skipped.")
    assert re.search("^  ok +keys +", said, re.MULTILINE)
    settings.CSRF_COOKIE_SECURE = False
    status, said = ask()
    assert (status, said.splitlines()[-1]) == (1, "1 warning; what to do stands behind the arrows.")
    assert "-> Set CSRF_COOKIE_SECURE = True." in said
    assert "\x1b" not in said


@pytest.mark.usefixtures("_sound")
def test_ignore(settings: Any) -> None:
    """What is ignored is still told, and does not count."""
    settings.CSRF_COOKIE_SECURE = False
    status, findings = ask_json("--ignore", "cookies", "--ignore", "csrf")
    told = {one["id"]: one for one in findings}
    assert (status, told["cookies"]["state"], told["csrf"]["state"]) == (0, "skipped", "ok")
    assert told["cookies"]["sentence"].startswith("Ignored: CSRF_COOKIE_SECURE off")


@pytest.mark.parametrize(
    "arguments", [("--ignore", "nonsense"), ("--format", "xml"), ("--probe", "--send-test-alert")]
)
def test_wrong_use(arguments: tuple[str, ...]) -> None:
    """Options that do not exist, or not together."""
    with pytest.raises(CommandError):
        call_command("check_clerk", *arguments)


@pytest.mark.parametrize(
    ("admins", "backend", "state", "words"),
    [
        ([], f"{BACKENDS}.smtp.EmailBackend", "problem", "ADMINS is empty"),
        (ADMINS, f"{BACKENDS}.smtp.EmailBackend", "problem", "could not be sent (ConnectionRefusedError)"),
        (
            ADMINS,
            f"{BACKENDS}.locmem.EmailBackend",
            "warning",
            "Django's locmem backend, where nobody reads it",
        ),
        (
            ADMINS,
            "tests.management.test_check_clerk.SendingBackend",
            "ok",
            "A mail to 1 of ADMINS was handed over",
        ),
    ],
)
def test_alert(settings: Any, admins: Any, backend: str, state: str, words: str) -> None:
    """What became of the mail is told, without an address."""
    settings.ADMINS = admins
    mail_by(settings, backend)
    status, said = ask("--format", "json", "--send-test-alert")
    (found,) = json.loads(said)["findings"]
    assert (found["id"], found["state"], status) == ("test_alert", state, int(state != "ok"))
    assert words in found["sentence"]
    assert "ops@" not in said


def test_alert__turned_off(settings: Any) -> None:
    """Who has turned mails off is told so."""
    settings.ADMINS = ADMINS
    mail_by(settings, f"{__name__}.SendingBackend")
    settings.CLERKSYNC_ALERT_EMAILS = False
    status, said = ask("--send-test-alert")
    assert (status, "CLERKSYNC_ALERT_EMAILS is off" in said) == (1, True)


def mail_by(settings: Any, backend: str) -> None:
    """Send mails by this backend; a server, where it asks for one, is a port that nobody listens at."""
    if django.VERSION < (6, 1):
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = backend, "127.0.0.1", 9
        return
    place = {"host": "127.0.0.1", "port": 9} if "smtp" in backend else {}
    settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": place}}


class SendingBackend:
    """Takes mails as a server does."""

    def __init__(self, **options: Any) -> None:
        pass

    def send_messages(self, messages: list[mail.EmailMessage]) -> int:
        assert [message.to for message in messages] == [[OPS]]
        return len(messages)


def test_process__nothing_works(tmp_path: Path) -> None:
    """Without a database and Clerk, and with errors in the settings, it still says what to do, and exits 1."""
    variables = processes.PRODUCTION | {
        "DATABASE_URL": f"sqlite:///{tmp_path}/missing/db.sqlite3",
        "CLERKSYNC_MAX_DELETE": "3",
        "CLERK_API_URL": "http://127.0.0.1:9",
        "CLERK_SECRET_KEY": "sk_test_harbour",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check_clerk"],
        cwd=BASE_DIR,
        env=variables,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, "")
    for words in (
        "Did you mean CLERKSYNC_MAX_DELETES?",
        "127.0.0.1:9 takes no connection",
        "The database cannot be asked",
    ):
        assert words in done.stdout
    assert "sk_test_harbour" not in done.stdout
