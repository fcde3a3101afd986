"""A TCP proxy in front of PostgreSQL's unix socket, which can take the database away and give it back."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"


class Proxy:
    """Passes connections on while it is up; going down ends them all."""

    def __init__(self, target: Path) -> None:
        self.target = target
        with socket.create_server((HOST, 0)) as listening:
            self.port: int = listening.getsockname()[1]
        self._open: list[socket.socket] = []
        self._listening: socket.socket | None = None

    def up(self) -> None:
        """Accept connections."""
        self._listening = socket.create_server((HOST, self.port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def down(self) -> None:
        """End all connections and accept none."""
        closing = [*self._open, *filter(None, [self._listening])]
        self._open, self._listening = [], None
        for one in closing:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(str(self.target))
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
