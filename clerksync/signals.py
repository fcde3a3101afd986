"""Signals; those about users are sent after the commit, once for each batch and never once for each user."""

from __future__ import annotations

from django.dispatch import Signal

#: Users that are new in the table, or back after a delete.
#: Provides args: clerk_ids (list of str).
user_created = Signal()

#: Users whose content has changed.
#: Provides args: changes (dict of clerk id to a tuple of the names of the changed fields).
user_updated = Signal()

#: Users that are gone; their rows stay as tombstones.
#: Provides args: clerk_ids (list of str).
user_deleted = Signal()

#: Users of whom nothing is kept any more but, perhaps, the id: what else holds their data is to let go of it.
#: Provides args: clerk_ids (list of str).
users_anonymized = Signal()

#: Those who are new, changed or gone, and users who were corrected: rows whose content or state was written. What a receiver
#: of ``user_updated`` wants to know costs the writer a comparison of every column; this costs nothing.
#: Provides args: clerk_ids (list of str).
users_written = Signal()

#: A full or incremental sync that has done its work.
#: Provides args: run (SyncRun).
sync_completed = Signal()

#: A sync that ended without doing its work.
#: Provides args: run (SyncRun), error (ClerkSyncError).
sync_failed = Signal()

#: A reason of the status has become an alarm.
#: Provides args: code (str, the reason), text (str, with what to do), since (datetime).
alarm_raised = Signal()

#: It is over.
#: Provides args: the same.
alarm_resolved = Signal()

#: A request that is about to go to Clerk; what a receiver raises keeps it back and reaches the caller.
#: Provides args: url (str, of the API, without the path of the request).
pre_request = Signal()
