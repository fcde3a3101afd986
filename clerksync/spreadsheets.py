"""Cells of CSV: a program that opens it must not take for a formula what a stranger has written."""

from __future__ import annotations

#: A spreadsheet takes a cell that begins with one of these for a formula; of the first four the wide forms, too.
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")


#: What a terminal obeys, but for the line ends and tabs that a quoted cell may hold.
_CONTROLS = {
    number: f"\\u{number:04x}" for number in (*range(32), *range(127, 160)) if number not in (9, 10, 13)
}


def csv_cell(value: str | None) -> str:
    """The text as a cell: an apostrophe in front if it looks like a formula, control characters as escapes."""
    text = (value or "").translate(_CONTROLS)
    return f"'{text}" if text.startswith(FORMULA) else text
