"""Histories that end with the table being what Clerk holds, whatever happened on the way."""

from __future__ import annotations
