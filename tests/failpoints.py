"""Named places where a test may kill a process: ``CLERKSYNC_TEST_FAIL_AT=sync.page-written:3`` kills at the third.

The product knows nothing of them: a process that tests start calls ``arm()``, which wraps the function that
begins or ends there. Without the variable nothing is wrapped.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from itertools import count
from typing import Any, Literal, NamedTuple

NAME = "CLERKSYNC_TEST_FAIL_AT"


class FailPoint(NamedTuple):
    """A place: right before or after a call of a function, which is written ``module:name`` or ``module:Class.name``."""

    target: str
    when: Literal["before", "after"]


FAIL_POINTS = {
    # A lease, and the transactions under it.
    "lease.taken": FailPoint("clerksync.leases:acquire", "after"),
    "lease.before-renewal": FailPoint("clerksync.leases:Lease.renew", "before"),
    "lease.renewed": FailPoint("clerksync.leases:Lease.renew", "after"),
    "lease.before-release": FailPoint("clerksync.leases:Lease.release", "before"),
    "lease.released": FailPoint("clerksync.leases:Lease.release", "after"),
    # A sync, page by page.
    "sync.run-opened": FailPoint("clerksync.runs:open_run", "after"),
    "sync.run-begun": FailPoint("clerksync.runs:begin", "after"),
    "sync.page-fetched": FailPoint("clerksync.client:ClerkClient.list_users", "after"),
    "sync.page-waiting": FailPoint("clerksync.prefetch:_next", "after"),
    "sync.page-applied": FailPoint("clerksync.pages:PageWriter.apply", "after"),
    "sync.checkpoint-saved": FailPoint("clerksync.runs:save_page", "after"),
    "sync.page-written": FailPoint("clerksync.pages:PageWriter.write", "after"),
    "sync.before-count": FailPoint("clerksync.client:ClerkClient.count", "before"),
    "sync.before-watermark": FailPoint("clerksync.watermarks:advance", "before"),
    "sync.watermark-set": FailPoint("clerksync.watermarks:advance", "after"),
    "sync.watermark-committed": FailPoint("clerksync.runner:Runner.advance", "after"),
    "sync.before-close": FailPoint("clerksync.runs:close_run", "before"),
    "sync.closed": FailPoint("clerksync.runs:close_run", "after"),
    "sync.reported": FailPoint("clerksync.runner:Runner.report", "after"),
    # The drain, which reads by id.
    "drain.listed": FailPoint("clerksync.drain:Drain._ask", "after"),
    "drain.before-confirm": FailPoint("clerksync.drain:Drain._judge_missing", "before"),
    "drain.confirmed": FailPoint("clerksync.reads:Reader.read", "after"),
    "drain.buried": FailPoint("clerksync.drain:Drain._count_delete", "before"),
    "drain.before-apply": FailPoint("clerksync.drain:Drain._apply", "before"),
    "drain.applied": FailPoint("clerksync.drain:Drain._apply", "after"),
    "drain.settled": FailPoint("clerksync.drain:Drain.settle", "after"),
    "refresh.recorded": FailPoint("clerksync.runs:record", "after"),
    # The writer: between its statements, and between its commit and its signals.
    "writer.before-write": FailPoint("clerksync.tables:UserTable.write", "before"),
    "writer.written": FailPoint("clerksync.tables:UserTable.write", "after"),
    "writer.committed": FailPoint("clerksync.mirror:_send_signals", "before"),
    "writer.told": FailPoint("clerksync.mirror:_send_signals", "after"),
    # A webhook, and what a project does with it.
    "webhook.verified": FailPoint("clerksync.webhooks:verify", "after"),
    "webhook.before-record": FailPoint("clerksync.journal:record", "before"),
    "webhook.recorded": FailPoint("clerksync.journal:record", "after"),
    "webhook.before-apply": FailPoint("clerksync.events:_apply", "before"),
    "webhook.applied": FailPoint("clerksync.events:_apply", "after"),
    "webhook.committed": FailPoint("clerksync.events:_run_handlers", "before"),
    "webhook.handled": FailPoint("clerksync.journal:finish", "before"),
    "webhook.finished": FailPoint("clerksync.journal:finish", "after"),
    "webhook.before-answer": FailPoint("clerksync.events:receive", "after"),
    # A replay of recorded events.
    "replay.before-event": FailPoint("clerksync.replay:_replay_one", "before"),
    "replay.event-done": FailPoint("clerksync.replay:_replay_one", "after"),
    # A page load.
    "capture.marked": FailPoint("clerksync.pagereads:mark", "after"),
    "capture.claimed": FailPoint("clerksync.capture:_Capture._claim", "after"),
    "capture.before-apply": FailPoint("clerksync.pagereads:later_than", "after"),
    "capture.applied": FailPoint("clerksync.pagereads:read_user", "after"),
    "capture.done": FailPoint("clerksync.visits:capture", "after"),
    # Linking: a batch is one transaction.
    "link.before-batch": FailPoint("clerksync.linkbatches:link", "before"),
    "link.before-commit": FailPoint("clerksync.linkbatches:Batch.run", "after"),
    "link.committed": FailPoint("clerksync.linkbatches:link", "after"),
    # The scheduler.
    "scheduler.planned": FailPoint("clerksync.jobs:plan", "after"),
    "scheduler.claimed": FailPoint("clerksync.jobs:claim", "after"),
    "scheduler.before-attempt": FailPoint("clerksync.parts:run", "before"),
    "scheduler.attempted": FailPoint("clerksync.scheduler:attempt", "after"),
    "scheduler.before-finish": FailPoint("clerksync.jobs:finish", "before"),
    "scheduler.finished": FailPoint("clerksync.jobs:finish", "after"),
    # An audit that mends.
    "audit.found": FailPoint("clerksync.repairs:Repair.mend", "before"),
    "audit.mended": FailPoint("clerksync.repairs:Repair.mend", "after"),
}


def arm() -> None:
    """Wrap the place that the environment names, if it names one."""
    chosen = os.environ.get(NAME)
    if not chosen:
        return
    name, _, number = chosen.partition(":")
    point = FAIL_POINTS[name]
    owner, attribute, function = find(point)
    setattr(owner, attribute, _wrapped(function, point.when, int(number or 1)))


def find(point: FailPoint) -> tuple[Any, str, Callable[..., Any]]:
    """The module or class that holds the function, its name there, and the function."""
    module, _, path = point.target.partition(":")
    *classes, attribute = path.split(".")
    owner: Any = import_module(module)
    for name in classes:
        owner = getattr(owner, name)
    function: Callable[..., Any] = vars(owner)[attribute]
    return owner, attribute, function


def _wrapped(
    function: Callable[..., Any], when: Literal["before", "after"], number: int
) -> Callable[..., Any]:
    reached = partial(_kill_at, number, count(1))

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            reached()
        result = function(*args, **kwargs)
        if when == "after":
            reached()
        return result

    return wrapper


def _kill_at(number: int, numbers: count[int]) -> None:
    if next(numbers) == number:
        os.kill(os.getpid(), signal.SIGKILL)
