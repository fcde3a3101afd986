"""A TCP proxy in front of PostgreSQL's unix socket, which can take the database away and give it back."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"


@dataclass
class Cut:
    """Ends a connection once, where the client says something for so many times.

    With ``is_passed`` the server is told and answers, but the client never hears of it; otherwise the server
    is not told either. ``is_done`` says that it has happened.
    """

    text: bytes
    number: int
    is_passed: bool
    is_done: threading.Event = field(default_factory=threading.Event)

    def is_due(self, data: bytes) -> bool:
        """Whether this is the place."""
        if self.is_done.is_set() or self.text not in data:
            return False
        self.number -= 1
        if self.number == 0:
            self.is_done.set()
        return self.number == 0


class Proxy:
    """Passes connections on while it is up; going down ends them all."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.cut: Cut | None = None
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
                is_muted = threading.Event()
                for pass_on in (self._ask, self._answer):
                    threading.Thread(target=pass_on, args=(near, far, is_muted), daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket, is_muted: threading.Event) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                if self.cut is not None and self.cut.is_due(data):
                    if not self.cut.is_passed:
                        break
                    is_muted.set()
                far.sendall(data)
        _end(near, far)

    def _answer(self, near: socket.socket, far: socket.socket, is_muted: threading.Event) -> None:
        with suppress(OSError):
            while (data := far.recv(65536)) and not is_muted.is_set():
                near.sendall(data)
        _end(near, far)


def _end(*connected: socket.socket) -> None:
    for one in connected:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
