"""The probe of our own webhook, over real HTTP."""

from __future__ import annotations

import io
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from clerksync import probe
from clerksync.models import WebhookEvent
from tests.deliveries import WEBHOOK_SECRET

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _endpoint(settings: Any) -> None:
    settings.ROOT_URLCONF = "project.urls"
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET


def check(url: str) -> str:
    """The output of the command."""
    out = io.StringIO()
    call_command("check_clerk", "--probe", url, stdout=out)
    return out.getvalue()


def test_probe__arrives(live_server: Any) -> None:
    """Signed, accepted, recorded and ignored; the user is told what to enter and to tick."""
    told = check(f"{live_server.url}/clerk/webhook/")
    assert "Tick: user.created, user.updated, user.deleted" in told
    assert "Do not tick: email.created, sms.created" in told
    assert "its signature was accepted" in told
    assert WebhookEvent.objects.values_list("type", "state").get() == ("clerksync.probe", "ignored")


@pytest.mark.parametrize(
    ("path", "advice"),
    [("/clerk/wrong/", "404: there is no such address"), ("/admin/", "403: something asks for a login")],
)
def test_probe__wrong_address(live_server: Any, path: str, advice: str) -> None:
    """The answer is explained."""
    with pytest.raises(CommandError, match=advice) as caught:
        check(f"{live_server.url}{path}")
    assert caught.value.returncode == 1


class Redirecting(BaseHTTPRequestHandler):
    """A proxy that sends everybody to another host."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(301)
        self.send_header("Location", "https://www.harbour.test/clerk/webhook/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def test_probe__redirected() -> None:
    """Clerk takes a redirect for a failure, and so does the probe."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        outcome = probe.send(f"http://127.0.0.1:{server.server_port}/clerk/webhook/")
        server.shutdown()
    assert not outcome.succeeded
    assert "301: a redirect to https://www.harbour.test" in outcome.message


def test_probe__nobody_there() -> None:
    """No answer is a failure of the probe, not of the command."""
    outcome = probe.send("http://127.0.0.1:9/clerk/webhook/")
    assert not outcome.succeeded
    assert "Check the address" in outcome.message


def test_probe__no_secret(settings: Any) -> None:
    """Without a secret nothing is sent."""
    settings.CLERK_WEBHOOK_SIGNING_SECRET = ""
    assert "is not set" in probe.send("http://127.0.0.1:9/").message


def test_probe__no_web_address() -> None:
    """A path alone is not enough."""
    assert "give it with https://" in probe.send("/clerk/webhook/").message


def test_probe__json(live_server: Any) -> None:
    """For machines: the same finding, and nothing else on standard output."""
    out = io.StringIO()
    call_command(
        "check_clerk", "--format", "json", "--probe", f"{live_server.url}/clerk/webhook/", stdout=out
    )
    (found,) = json.loads(out.getvalue())["findings"]
    assert (found["id"], found["state"]) == ("probe", "ok")


def test_default_url__from_the_settings(settings: Any) -> None:
    """The first allowed host that is no pattern; none, and the command asks for it."""
    settings.ALLOWED_HOSTS = [".harbour.test", "app.harbour.test"]
    assert probe.default_url() == "https://app.harbour.test/clerk/webhook/"
    settings.ALLOWED_HOSTS = ["*"]
    with pytest.raises(CommandError, match="Give the address") as caught:
        call_command("check_clerk", "--probe")
    assert caught.value.returncode == 2
