"""A server that sends any bytes: HTTP as it goes wrong, from anybody who answers in Clerk's place."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from email.parser import BytesHeaderParser
from urllib.parse import parse_qsl

from clerksync.testing import FakeClerk, Request, Response

HOST = "127.0.0.1"
#: What is sent piece by piece after a request.
Pieces = Callable[[], Iterable[bytes]]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    pieces: Pieces
    clerk: FakeClerk
    asked: list[bytes]


class _Connection(socketserver.StreamRequestHandler):
    """Answers lists of users with the pieces, everything else as Clerk does; then hangs up."""

    server: _Server

    def handle(self) -> None:
        """Answer one request."""
        head = self._head()
        if not head:
            return
        self.server.asked.append(head)
        request = _request(head)
        with contextlib.suppress(OSError):
            if request.path != "/v1/users":
                self.wfile.write(_plain(self.server.clerk.handle(request)))
                return
            for piece in self.server.pieces():
                self.wfile.write(piece)

    def _head(self) -> bytes:
        lines: list[bytes] = []
        while (line := self.rfile.readline(65_536)) not in (b"\r\n", b""):
            lines.append(line)
        return b"".join(lines)


@contextlib.contextmanager
def answering(clerk: FakeClerk, pieces: Pieces) -> Iterator[tuple[str, list[bytes]]]:
    """Serve a Clerk whose lists are these bytes; yields its URL, and the heads of what it was asked."""
    server = _Server((HOST, 0), _Connection)
    server.pieces, server.clerk, server.asked = pieces, clerk, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}", server.asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _request(head: bytes) -> Request:
    first, _, rest = head.partition(b"\r\n")
    method, target, _ = first.decode().split(" ")
    path, _, query = target.partition("?")
    return Request(method, path, parse_qsl(query), dict(BytesHeaderParser().parsebytes(rest).items()))


def _plain(response: Response) -> bytes:
    headers = {**response.headers, "Content-Length": str(len(response.body)), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {response.status} So\r\n{lines}\r\n".encode() + response.body
