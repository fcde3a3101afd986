"""The admin: users, runs and webhook events to look at, to read again from Clerk and to replay."""

from __future__ import annotations

from clerksync.admin.dashboard import DashboardAdmin
from clerksync.admin.events import RejectedDeliveriesAdmin, WebhookEventAdmin
from clerksync.admin.jobs import AlarmAdmin, ScheduledJobAdmin
from clerksync.admin.runs import SyncRunAdmin
from clerksync.admin.users import ClerkUserAdmin

__all__ = [
    "AlarmAdmin",
    "ClerkUserAdmin",
    "DashboardAdmin",
    "RejectedDeliveriesAdmin",
    "ScheduledJobAdmin",
    "SyncRunAdmin",
    "WebhookEventAdmin",
]
