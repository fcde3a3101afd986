"""PgBouncer in transaction mode in front of a PostgreSQL server, for a test; a package of Debian's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.listening import HOST, free_port, wait

_SECONDS = 20
_CONFIGURATION = """
[databases]
* = host={directory} port=5432 user=postgres
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool}
server_reset_query =
logfile = {log}
"""


def find() -> str | None:
    """Where it is; root finds it in /usr/sbin, which is not on everybody's path."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def running(server: Path, *, pool: int) -> Iterator[int]:
    """Run it in front of the server whose socket is in that directory; yields its port.

    Args:
        server: The directory.
        pool: How many connections it shares out.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="clerksync-pool-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        configuration, log = directory / "pgbouncer.ini", directory / "log"
        configuration.write_text(
            _CONFIGURATION.format(directory=server, host=HOST, port=port, pool=pool, log=log)
        )
        # It refuses to be root, and finds the socket as whoever owns it.
        user = ["--user", server.owner()] if os.geteuid() == 0 else []
        command = [str(find()), "--quiet", *user, str(configuration)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            try:
                wait(process, port, seconds=_SECONDS)
                yield port
            finally:
                process.terminate()
