"""The admin: users and runs to look at, and users to read again from Clerk."""

from __future__ import annotations

from clerksync.admin.runs import SyncRunAdmin
from clerksync.admin.users import ClerkUserAdmin

__all__ = ["ClerkUserAdmin", "SyncRunAdmin"]
