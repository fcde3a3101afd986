"""The project under real web servers, with the settings and databases of the tests."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

from clerksync.testing.deliveries import Delivery
from project.defaults import BASE_DIR
from tests import processes
from tests.listening import HOST, free_port, wait

_SECONDS = 60

#: Command lines of Python.
GUNICORN = (
    "-m",
    "gunicorn",
    "--workers",
    "2",
    "--no-control-socket",
    "--bind",
    "{host}:{port}",
    "project.wsgi",
)
UVICORN = (
    "-m",
    "uvicorn",
    "--log-level",
    "warning",
    "--host",
    "{host}",
    "--port",
    "{port}",
    "project.asgi:application",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    location: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    port: int

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Fetch a page."""
        return self._send("GET", path, None, headers)

    def post(self, path: str, delivery: Delivery, headers: Mapping[str, str] | None = None) -> Answer:
        """Deliver as Svix does: one request, and no redirect is followed."""
        named = {"Content-Type": "application/json", **delivery.headers, **(headers or {})}
        return self._send("POST", path, delivery.body, named)

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=_SECONDS)) as connection:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.headers.get("Location", ""), response.read())


@contextmanager
def serve(command: tuple[str, ...], **changes: str) -> Iterator[Server]:
    """Run a server on a free port until the block ends; ``changes`` are of its environment."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, *(part.format(host=HOST, port=port) for part in command)],
        cwd=BASE_DIR,
        env=processes.environment(**changes),
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            wait(process, port, seconds=_SECONDS)
            yield Server(port)
        finally:
            process.terminate()
