"""The fake Clerk on a real socket: HTTP/1.1 with keep-alive, on the loopback address."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, unquote

from clerksync.testing.wire import Handler, Request, Response

HOST = "127.0.0.1"
# Closing with a linger of no time sends a reset; Windows packs the two numbers as shorts.
RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Served:
    """A fake Clerk that is being served; ``url`` is what to set as ``CLERK_API_URL``."""

    url: str
    port: int


class Answering(Protocol):
    """What can be served: the fake Clerk, or anything else that answers requests."""

    def handle(self, request: Request) -> Response:
        """Answer a request."""


@contextlib.contextmanager
def serve(clerk: Answering, *, port: int = 0) -> Iterator[Served]:
    """Serve a fake Clerk until the block ends."""
    server = _Server((HOST, port), _Connection)
    server.answer = clerk.handle
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        bound = server.server_address[1]
        yield Served(url=f"http://{HOST}:{bound}", port=int(bound))
    finally:
        server.stopping.set()
        server.shutdown()
        thread.join()
        server.cut_connections()
        server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    """One daemon thread for each connection; HTTPServer would look its own name up in the DNS."""

    daemon_threads = True
    request_queue_size = 128
    # On Windows this option would let two servers share a port.
    allow_reuse_address = os.name != "nt"

    answer: Handler

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.stopping = threading.Event()
        self.resets: set[socket.socket] = set()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one connection, and keep track of it for as long as it lasts."""
        with self._lock:
            self._open[threading.current_thread()] = request
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                del self._open[threading.current_thread()]

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; one that is to be reset must not be told goodbye first."""
        if request in self.resets:
            self.resets.discard(request)
            request.close()
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong in the fake, and nothing about clients that hang up."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def cut_connections(self) -> None:
        """End the connections that clients keep open, and wait for their threads."""
        with self._lock:
            opened = dict(self._open)
        for thread, connection in opened.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=2)


class _Connection(BaseHTTPRequestHandler):
    """Translates between the socket and requests and responses."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        """Read one request and answer it."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
            return
        if self.parse_request():
            self._send(cast("_Server", self.server).answer(self._request()))

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def _request(self) -> Request:
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        return Request(
            method=self.command,
            path=unquote(path),
            query=parse_qsl(query, keep_blank_values=True),
            headers=dict(self.headers.items()),
            body=self.rfile.read(length) if length else b"",
        )

    def _send(self, response: Response) -> None:
        if response.delay:
            cast("_Server", self.server).stopping.wait(response.delay)
        if response.abort is not None:
            self._abort(reset=response.abort == "reset")
            return
        headers = {"Content-Length": str(len(response.body)), **response.headers}
        # A body shorter than announced ends with the connection.
        if int(headers["Content-Length"]) > len(response.body):
            self.close_connection = True
            headers["Connection"] = "close"
        self.send_response_only(response.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    def _abort(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            cast("_Server", self.server).resets.add(self.connection)
