"""Keep a Django table of users in step with Clerk."""

from __future__ import annotations

__version__ = "0.1.0"
