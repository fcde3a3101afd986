"""Processes that are killed, stopped, raced and cut off from what they need."""

from __future__ import annotations
