"""Run a script that may talk to this machine alone: ``python -m tests.loopback manage.py demo``.

An attempt to reach another host, or to look one up, ends the script with an error. Ctrl-C works even
where the tests themselves were started without it.
"""

from __future__ import annotations

import runpy
import signal
import sys
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


def refuse_other_hosts(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise if a socket is about to leave the machine; an audit hook, so nothing can undo it."""
    match event, arguments:
        case ("socket.connect" | "socket.sendto" | "socket.bind", (_, (str() as host, *_))):
            pass
        case ("socket.getaddrinfo" | "socket.gethostbyname" | "socket.gethostbyaddr", (host, *_)):
            pass
        case _:
            return
    if host != HOST:
        raise RuntimeError(f"{event} of {host!r}")


def main(script: str, *arguments: str) -> None:
    """Run the script as Python would."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.addaudithook(refuse_other_hosts)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
