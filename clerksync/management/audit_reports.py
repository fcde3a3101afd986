"""How an audit is told: its findings as a table, JSON or CSV, and the result in words."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from itertools import islice

from django.core.management.base import OutputWrapper
from msgspec.structs import asdict, replace
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clerksync.findings import MENDABLE, Finding, FindingKind, Summary
from clerksync.management.output import printable
from clerksync.masking import PERSONAL, mask
from clerksync.spreadsheets import csv_cell

COLUMNS = Finding.__struct_fields__
#: Shown in the table only where one of the findings has it.
OPTIONAL = ("model", "pk")


def masked(finding: Finding) -> Finding:
    """The finding with as much of its value as everybody may see."""
    is_personal = finding.model is not None or finding.field in PERSONAL
    return replace(finding, value=mask(finding.value)) if finding.value and is_personal else finding


def write_table(out: OutputWrapper, found: Iterator[Finding], summary: Summary, *, limit: int) -> None:
    """So many findings for people, and the result."""
    rows = list(islice(found, limit))
    more = sum(1 for _ in found)
    if rows:
        out.write(_table(rows))
    if more:
        out.write(f"{more} more are not shown; see all with --limit {len(rows) + more}.")
    out.write(_in_words(summary))
    for line in _repair_in_words(summary):
        out.write(line)


def write_json(out: OutputWrapper, found: Iterator[Finding], summary: Summary, *, limit: int) -> None:
    """One object, whole even if the audit breaks off: then ``complete`` is false."""
    separator = '{"findings": [\n'
    try:
        for finding in found:
            out.write(separator + json.dumps(asdict(finding)), ending="")
            separator = ",\n"
    finally:
        opening = separator if separator.startswith("{") else "\n"
        out.write(f'{opening}], "summary": {json.dumps(asdict(summary))}}}')


def write_csv(out: OutputWrapper, found: Iterator[Finding], summary: Summary, *, limit: int) -> None:
    """One line for each finding."""
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows([csv_cell(getattr(finding, name)) for name in COLUMNS] for finding in found)


#: By ``--format``.
WRITERS = {"table": write_table, "json": write_json, "csv": write_csv}


def _table(findings: list[Finding]) -> str:
    columns = [
        name for name in COLUMNS if name not in OPTIONAL or any(getattr(one, name) for one in findings)
    ]
    table = Table()
    for name in columns:
        table.add_column(name, overflow="fold")
    for finding in findings:
        cells = (getattr(finding, name) for name in columns)
        table.add_row(*(Text("-" if cell is None else printable(cell)) for cell in cells))
    # Into a file or a pipe nothing is cut off, whatever COLUMNS says.
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 200
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def _in_words(summary: Summary) -> str:
    """What was found in one line, with what to do about it."""
    skipped = f" {summary.skipped} users could not be read." if summary.skipped else ""
    if not summary.findings:
        return f"{'No findings' if skipped else 'Clean'}: {_population(summary)}, no placeholders.{skipped}"
    advice = "" if summary.left is not None else f" {_advice(summary)}"
    return f"{_number(summary.counts)}.{advice}{skipped}"


def _number(counts: dict[FindingKind, int]) -> str:
    by_number = sorted(counts.items(), key=lambda item: -item[1])
    kinds = ", ".join(f"{number} {kind}" for kind, number in by_number if number)
    total = sum(counts.values())
    return f"{total} {'finding' if total == 1 else 'findings'}: {kinds}"


def _repair_in_words(summary: Summary) -> Iterator[str]:
    would = "would be " if summary.dry_run else ""
    if summary.repaired is not None:
        done = ", ".join(f"{number} {outcome}" for outcome, number in summary.repaired.items()) or "nothing"
        yield f"Of the users concerned {would or 'were '}read by id: {done}."
    if summary.filled is not None:
        yield f"In other tables {would or 'were '}filled: {summary.filled}, and not: {summary.not_filled}."
    if summary.undo_file is not None:
        yield f"Take the values back with: manage.py audit_clerk_users --undo {summary.undo_file}"
    if summary.left is not None and any(summary.left.values()):
        yield f"Left: {_number(summary.left)}."
    elif summary.left is not None and summary.findings:
        yield "Left: nothing."


def _population(summary: Summary) -> str:
    rows = " and ".join(f"{number} rows of {label}" for label, number in summary.rows_in_models.items())
    beside = f", {rows}" if rows else ""
    if summary.users_in_table is None:
        return rows or "nothing to look at"
    if summary.users_in_clerk is None:
        return f"{summary.users_in_table} users in the table (not compared with Clerk){beside}"
    if summary.users_in_clerk == summary.users_in_table:
        return f"{summary.users_in_table} users in Clerk and in the table{beside}"
    return f"{summary.users_in_clerk} users in Clerk, {summary.users_in_table} in the table{beside}"


def _advice(summary: Summary) -> str:
    counts = summary.counts
    if summary.users_in_table is None and not counts[FindingKind.STALE]:
        return _advice_about_others(counts)
    if summary.rows_in_models and any(counts[kind] for kind in MENDABLE):
        return "Run the same with --fix; --dry-run shows what that would do."
    if any(counts[kind] for kind in (FindingKind.DIFFERS, FindingKind.LOCAL_AHEAD)):
        return "Run: manage.py audit_clerk_users --fix"
    if any(counts[kind] for kind in MENDABLE):
        return "Run: manage.py sync_clerk_users"
    if counts[FindingKind.REMOTE]:
        return "Correct them in Clerk; a sync cannot."
    if summary.users_in_clerk is None:
        return "Run the audit without --offline to compare them with Clerk."
    return "What Clerk holds of these users could not be read."


def _advice_about_others(counts: dict[FindingKind, int]) -> str:
    if counts[FindingKind.DIFFERS] or counts[FindingKind.EXTRA]:
        return "What differs from the table of users, or is not in it, is yours to decide."
    if counts[FindingKind.REMOTE]:
        return "Correct them in Clerk; a sync cannot."
    return "Clerk has nothing to put there."
