"""Deliver one webhook in processes that are killed between every two steps: ``python -m tests.killed_webhook``.

The parent opens no connection, so that each forked child opens its own. After every kill the same
message is delivered again, as Svix does. Prints a JSON list of what was found.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import django

#: The statements of one delivery are fewer than this.
MAX_STATEMENTS = 12
#: When the events happened: in the parent, so that a redelivery has the same body.
AT = time.time_ns() // 1_000_000


def main() -> None:
    """Kill at each step in turn, deliver again, and look."""
    django.setup()
    from django.conf import settings  # noqa: PLC0415  # after setup

    settings.ROOT_URLCONF = "project.urls"
    _load_all()
    found = [_play(number, step) for number, step in enumerate([*range(MAX_STATEMENTS), "handler", None])]
    sys.stdout.write(json.dumps(found))


def _load_all() -> None:
    """Import once what every child would import; nothing here opens a connection."""
    from django.urls import reverse  # noqa: PLC0415  # after setup

    from tests.deliveries import changed, signed  # noqa: PLC0415

    reverse("clerksync:webhook")
    signed(changed(AT))


def _play(number: int, step: int | str | None) -> dict[str, Any]:
    """One message, killed at the step, then delivered again."""
    killed = _in_child(lambda: _deliver(number, step))
    delivered = _in_child(lambda: _deliver(number, None))
    return {"step": step, "killed": killed == -signal.SIGKILL, "redelivered": delivered == 0}


def _in_child(work: Callable[[], int]) -> int:
    """The exit status of the work in a process of its own; negative for a signal."""
    child = os.fork()
    if child == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _deliver(number: int, step: int | str | None) -> int:
    from django.db import connection  # noqa: PLC0415  # after setup

    from clerksync.events import on  # noqa: PLC0415
    from tests.deliveries import changed, post, signed  # noqa: PLC0415

    count = 0

    def kill_at(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001  # Django's
        nonlocal count
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return execute(sql, params, many, context)

    @on("user.updated")
    def handle(event: Any) -> None:
        if step == "handler":
            os.kill(os.getpid(), signal.SIGKILL)

    body = changed(AT + number, clerk_id=f"user_{number:027}", first_name="Kept")
    with connection.execute_wrapper(kill_at):
        response = post(signed(body, svix_id=f"msg_killed_{number}"))
    return 0 if response.status_code == 200 else 1


if __name__ == "__main__":
    main()
