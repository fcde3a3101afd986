"""The tables: users, the state of the mirror, runs, scheduled jobs, alarms, events, counts, who is forgotten."""

from __future__ import annotations

from clerksync.models.alarms import Alarm, AlarmNotice, AlarmWatch
from clerksync.models.counts import CountedEvents, HourlyCount, TotalCount
from clerksync.models.events import RejectedDeliveries, WebhookEvent
from clerksync.models.history import ClerkUserChange
from clerksync.models.privacy import ForgottenUser
from clerksync.models.runs import MirrorState, ScheduledJob, SyncRun
from clerksync.models.users import SHORT_NAMES, ClerkUser

__all__ = [
    "SHORT_NAMES",
    "Alarm",
    "AlarmNotice",
    "AlarmWatch",
    "ClerkUser",
    "ClerkUserChange",
    "CountedEvents",
    "ForgottenUser",
    "HourlyCount",
    "MirrorState",
    "RejectedDeliveries",
    "ScheduledJob",
    "SyncRun",
    "TotalCount",
    "WebhookEvent",
]
