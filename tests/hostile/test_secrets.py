"""What is secret in the settings is shown by nobody: neither by Django's reports of errors nor by us."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import RequestFactory
from django.urls import reverse
from django.views.debug import ExceptionReporter

from clerksync.testing import FakeClerk
from tests.admin.staff import log_in
from tests.deliveries import WEBHOOK_SECRET
from tests.figures import tell

pytestmark = pytest.mark.django_db

MARK = "s3cr3tmark"
SECRETS: dict[str, Any] = {
    "CLERK_SECRET_KEY": f"sk_live_{MARK}",
    "CLERK_WEBHOOK_SIGNING_SECRET": [f"whsec_{MARK}", WEBHOOK_SECRET],
    "CLERKSYNC_METRICS_TOKEN": f"{MARK}-of-more-than-thirty-two-characters",
    "CLERKSYNC_ALERT_SECRET_URLS": [f"json://user:{MARK}@127.0.0.1:9/{MARK}"],
}
COMMANDS = (
    ["check_clerk"],
    ["check_clerk", "--format", "json"],
    ["check_clerk", "--send-test-alert"],
    ["clerk_status", "--format", "json"],
    ["sync_clerk_users", "--dry-run"],
)


@pytest.fixture
def marked(clerk: FakeClerk, settings: Any) -> FakeClerk:
    """Every secret holds the mark."""
    settings.ROOT_URLCONF = "project.urls"
    for name, value in SECRETS.items():
        setattr(settings, name, value)
    clerk.secret_key = SECRETS["CLERK_SECRET_KEY"]
    return clerk


@pytest.mark.usefixtures("marked")
def test_error_report__hides() -> None:
    """Django hides settings by their names, and ours have such names."""
    try:
        raise RuntimeError("odd")
    except RuntimeError as error:
        reporter = ExceptionReporter(RequestFactory().get("/"), type(error), error, error.__traceback__)
    for report in (reporter.get_traceback_html(), reporter.get_traceback_text()):
        assert MARK not in report
        assert "CLERKSYNC_ALERT_SECRET_URLS" in report


@pytest.mark.usefixtures("marked")
def test_checks__do_not_show(settings: Any) -> None:
    """Nor do system checks, not even of a value that is wrong."""
    assert MARK not in str(run_checks(include_deployment_checks=True))
    for name in SECRETS:
        setattr(settings, name, [f"{MARK} {MARK}", 7, f"{MARK}\n"])
        assert MARK not in str(run_checks(include_deployment_checks=True)), name


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.usefixtures("marked")
def test_commands__do_not_show(command: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """Nor do outputs, errors and logs."""
    caplog.set_level(logging.DEBUG, logger="clerksync")
    out, said = io.StringIO(), ""
    try:
        call_command(*command, stdout=out, stderr=out)
    except (CommandError, SystemExit) as error:
        said = str(error)
    assert MARK not in out.getvalue() + said + caplog.text
    tell("surfaces searched for marks")


@pytest.mark.parametrize(
    "name", ["admin:clerksync_mirrorstate_changelist", "clerksync:health", "clerksync:metrics"]
)
@pytest.mark.usefixtures("marked")
def test_pages__do_not_show(name: str) -> None:
    """Nor do pages, not even to staff."""
    client = log_in(is_superuser=True)
    headers = {"Authorization": f"Bearer {SECRETS['CLERKSYNC_METRICS_TOKEN']}"} if "metrics" in name else {}
    answer = client.get(reverse(name), headers=headers)
    assert answer.status_code in {200, 503}
    assert MARK not in answer.content.decode()
    tell("surfaces searched for marks")
