"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import django
from django.db import connection


def describe() -> dict[str, Any]:
    """The machine and what else it does; for JSON."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "django": django.get_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def in_words(told: dict[str, Any], versions: dict[str, str]) -> str:
    """The same in one line."""
    return (
        f"{told['cores']} cores ({told['processor']}), {told['memory_gb']} GB, {told['system']}; "
        f"Python {told['python']}, Django {told['django']}, {', '.join(versions.values())}; "
        f"load at the start {told['load']}"
    )


def database() -> dict[str, str]:
    """The version of the default database."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW server_version")
            return {"database": f"PostgreSQL {cursor.fetchone()[0].split()[0]}"}
        cursor.execute("SELECT sqlite_version()")
        return {"database": f"SQLite {cursor.fetchone()[0]}"}


def peak_mb() -> int:
    """The most memory that this process has had, on Linux.

    Not ``ru_maxrss``: a process begins with that of the one that started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:"))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
