"""Faults that are built into the product on purpose: some test must notice each of them."""

from __future__ import annotations
