"""The story of the demo: three commands as a person would type them, what they say, and the sum."""

from __future__ import annotations

import io
import json
import shlex
from dataclasses import dataclass
from typing import TextIO

from django.core.management import call_command
from django.core.management.base import CommandError, OutputWrapper

from clerksync.models import SyncRun
from project.demo_table import Prepared

FIRST_AUDIT = "python manage.py audit_clerk_users --limit 6"
SYNC = "python manage.py sync_clerk_users"
AUDIT = "python manage.py audit_clerk_users"


@dataclass(frozen=True, slots=True)
class Sum:
    """What the reports of the commands add up to."""

    in_clerk: int
    mended: int
    right: int
    deleted: int
    placeholders: int

    def __str__(self) -> str:
        return (
            f"{self.in_clerk} in Clerk. {self.mended} created or updated, {self.right} already right, "
            f"{self.deleted} deleted, {self.placeholders} placeholders."
        )


def tell(prepared: Prepared, out: OutputWrapper) -> None:
    """Audit, sync and audit again, and say what it adds up to.

    Raises:
        CommandError: Something went otherwise than it had to.
    """
    statuses = [_show(line, out) for line in (FIRST_AUDIT, SYNC, AUDIT)]
    result, expected = _add_up(), _expect(prepared)
    out.write(str(result))
    if statuses != [1, 0, 0] or result != expected:
        raise CommandError(f"That is not what should have happened: {expected}")


def run(line: str, out: TextIO | OutputWrapper) -> int:
    """Run a command line of ``manage.py`` in this process and return its exit status."""
    name, *arguments = shlex.split(line.partition("manage.py")[2])
    try:
        call_command(name, *arguments, stdout=out, stderr=out)
    except CommandError as error:
        out.write(f"CommandError: {error}\n")
        return error.returncode
    except SystemExit as ending:  # how a command ends that has no error to tell
        return int(ending.code or 0)
    return 0


def _show(line: str, out: OutputWrapper) -> int:
    out.write(f"$ {line}")
    out.flush()
    status = run(line, out)
    found = line.startswith(AUDIT) and status == 1
    out.write(f"Exit status {status}{': the audit found something, and only looked' if found else ''}.\n\n")
    return status


def _add_up() -> Sum:
    """Read the books of the sync, and look for placeholders once more."""
    last = SyncRun.objects.filter(kind=SyncRun.Kind.FULL).order_by("-pk").first()
    counts = last.counts if last else {}
    return Sum(
        in_clerk=counts.get("seen", 0),
        mended=counts.get("created", 0) + counts.get("updated", 0),
        right=counts.get("unchanged", 0),
        deleted=counts.get("deleted", 0),
        placeholders=_count_placeholders(),
    )


def _count_placeholders() -> int:
    said = io.StringIO()
    run(f"{AUDIT} --offline --format json", said)
    return int(json.loads(said.getvalue())["summary"]["counts"]["placeholder"])


def _expect(prepared: Prepared) -> Sum:
    return Sum(prepared.in_clerk, prepared.wrong, prepared.right, prepared.gone, 0)
