"""All kinds of work in the middle of which processes are killed, by name."""

from __future__ import annotations

from tests.crash.event_scenes import Replay, Webhooks
from tests.crash.page_scenes import Linking, PageLoads
from tests.crash.scene import Scene
from tests.crash.sync_scenes import Audit, FullSync, IncrementalSync, Refresh, Scheduler

SCENES: dict[str, type[Scene]] = {
    "full": FullSync,
    "incremental": IncrementalSync,
    "refresh": Refresh,
    "webhooks": Webhooks,
    "replay": Replay,
    "pages": PageLoads,
    "linking": Linking,
    "scheduler": Scheduler,
    "audit": Audit,
}
