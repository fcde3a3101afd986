"""Messages through apprise, really sent to a server of the test's."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from clerksync import channels

pushes: Any = pytest.importorskip("clerksync.pushes", reason="apprise is not installed")


class _Hook(BaseHTTPRequestHandler):
    """Keeps what it is sent; refuses where the path says so."""

    taken: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append(json.loads(body))
        self.send_response(500 if "refuse" in self.path else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address of apprise, and what arrives there."""
    taken: list[dict[str, Any]] = []
    handler = type("Hook", (_Hook,), {"taken": taken})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"json://127.0.0.1:{server.server_port}", taken
        finally:
            server.shutdown()
            thread.join()


def test_push(hook: tuple[str, list[dict[str, Any]]]) -> None:
    """Title and text arrive as they are."""
    url, taken = hook
    assert pushes.push(f"{url}/key", "Clerk: <b>x</b>", "One.\n\nTwo: *three*.\n") is True
    [told] = taken
    assert told["title"] == "Clerk: <b>x</b>"
    assert told["message"].split() == ["One.", "Two:", "*three*."]


@pytest.mark.parametrize("path", ["/refuse-secret", "nowhere"])
def test_push__refused(
    hook: tuple[str, list[dict[str, Any]]], caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """A server that refuses, or that is not there, is no success; the address is in no log."""
    url = f"{hook[0]}{path}" if path.startswith("/") else "json://127.0.0.1:9/secret"
    caplog.set_level(logging.DEBUG, logger="apprise")
    with caplog.at_level(logging.DEBUG):
        assert pushes.push(url, "Title", "Text") is False
        assert pushes.is_understood(url) is True
    assert "secret" not in caplog.text


def test_unknown(caplog: pytest.LogCaptureFixture) -> None:
    """What is no address of apprise is told as that, without being shown."""
    assert pushes.is_understood("nonsense://a-secret") is False
    assert pushes.push("nonsense://a-secret", "Title", "Text") is False
    assert "secret" not in caplog.text


def test_silence__of_this_thread_only(caplog: pytest.LogCaptureFixture) -> None:
    """What others do with apprise meanwhile is logged as ever."""
    log = logging.getLogger("apprise")
    with pushes._silence():
        log.warning("ours")
        thread = threading.Thread(target=log.warning, args=("theirs",))
        thread.start()
        thread.join()
    log.warning("later")
    assert [record.message for record in caplog.records] == ["theirs", "later"]


def test_channel(hook: tuple[str, list[dict[str, Any]]], settings: Any) -> None:
    """A channel is called by a hash of its address."""
    url = f"{hook[0]}/secret"
    settings.ADMINS = []
    settings.CLERKSYNC_ALERT_SECRET_URLS = [url]
    [name] = channels.configured()
    assert name.startswith("push:")
    assert len(name) == 17
    assert channels.send(name, "Title", "Text") == ""
    settings.CLERKSYNC_ALERT_SECRET_URLS = []
    assert channels.send(name, "Title", "Text") == "the address is gone"
    assert len(hook[1]) == 1
