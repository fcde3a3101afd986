"""How an examination is told to people: in groups, with what to do below each finding."""

from __future__ import annotations

import shutil

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clerksync.doctor.examination import Report
from clerksync.doctor.findings import GROUPS, Finding, State
from clerksync.management.output import printable

_STYLES = {State.OK: "green", State.SKIPPED: "dim", State.WARNING: "yellow", State.PROBLEM: "bold red"}
#: Into a file or a pipe lines are not broken for a terminal that is not there.
_WIDTH = 120


def in_words(report: Report, *, in_colour: bool) -> str:
    """The findings by group, and the result in one line; ``in_colour`` also means: for a terminal's width."""
    width = shutil.get_terminal_size((120, 24)).columns if in_colour else _WIDTH
    console = Console(width=width, color_system="auto" if in_colour else None, highlight=False)
    with console.capture() as capture:
        for group in GROUPS:
            found = [finding for finding in report.findings if finding.group == group]
            if found:
                console.print(Text(group, style="bold"))
                console.print(_table(found))
        console.print(Text(_summary(report)))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _table(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=9)
    table.add_column(width=18, no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = _STYLES[finding.state]
        table.add_row(Text(f"  {finding.state}", style=style), finding.id, Text(printable(finding.sentence)))
        if finding.advice:
            table.add_row("", "", Text(f"-> {printable(finding.advice)}"))
    return table


def _summary(report: Report) -> str:
    problems, warnings = report.count(State.PROBLEM), report.count(State.WARNING)
    if not problems and not warnings:
        return f"Nothing is wrong: {report.count(State.OK)} ok, {report.count(State.SKIPPED)} skipped."
    parts = (_plural(problems, "problem"), _plural(warnings, "warning"))
    return f"{', '.join(part for part in parts if part)}; what to do stands behind the arrows."


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}" if number else ""
