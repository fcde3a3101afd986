"""Cells of CSV: a program that opens it must not take for a formula what a stranger has written."""

from __future__ import annotations

#: A spreadsheet takes a cell that begins with one of these for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_cell(value: str | None) -> str:
    """The text as a cell, with an apostrophe in front if it looks like a formula."""
    text = value or ""
    return f"'{text}" if text.startswith(FORMULA) else text
