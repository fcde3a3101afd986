"""The table of mutants in ``tests/README.md``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "README.md"
_HEAD = "| mutant | the test that notices it |\n|---|---|\n"
_TABLE = re.compile(re.escape(_HEAD) + r"(?:\|.*\n)*")
_ROW = re.compile(r"^\| (.+) \| `(.+)` \|$", re.MULTILINE)


def read() -> dict[str, str]:
    """The tests by mutant, as the table has them."""
    table = _TABLE.search(FILE.read_text())
    return dict(_ROW.findall(table[0])) if table else {}


def write(killers: Mapping[str, str]) -> None:
    """Replace the table."""
    rows = "".join(f"| {name} | `{killer}` |\n" for name, killer in killers.items())
    text = FILE.read_text()
    FILE.write_text(_TABLE.sub(lambda _: _HEAD + rows, text))
