"""What is kept for a time only, and goes when that is over."""

from __future__ import annotations

from threading import Event

from clerksync import erasure, history, journal, runs


def prune(*, days: int | None = None, stop: Event | None = None) -> dict[str, int]:
    """Let go of old events, of the records of old small syncs, of old changes, and of deleted users.

    Args:
        days: So many days of events are kept, instead of those of the settings.
        stop: Once set, it ends after the batch that it is at.

    Returns:
        How many of each, by name.

    Raises:
        SyncInterrupted: ``stop`` was set; the next run goes on.
    """
    return {
        "events": journal.prune(days=days),
        "runs": runs.prune(),
        "changes": history.prune(),
        **erasure.prune(stop=stop),
    }
