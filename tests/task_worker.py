"""Enqueues each task, has a worker do them, and prints what became of them: ``python -m tests.task_worker``."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress

import django

#: The worker's command, by the app of the backend.
WORKERS = {
    "django_tasks_db": ["db_worker", "--batch", "--no-startup-delay", "--no-reload"],
    "django_tasks_rq": ["rqworker", "--burst", "--job-class", "django_tasks_rq.Job"],
}


def main(*names: str) -> None:
    """Print the status, the result and the error of each task."""
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415  # after setup

    from clerksync import tasks  # noqa: PLC0415

    app = os.environ["TASKS_BACKEND"].partition(".")[0]
    if app == "django_tasks_db":
        call_command("migrate", "django_tasks_database", verbosity=0)
    results = [getattr(tasks, name).enqueue() for name in names]
    waiting = [result.status.name for result in results]
    with suppress(SystemExit):
        call_command(*WORKERS[app])
    found = {}
    for name, before, result in zip(names, waiting, results, strict=True):
        result.refresh()
        is_done = result.status.name == "SUCCESSFUL"
        error = "" if is_done else result.errors[-1].exception_class_path
        found[name] = [before, result.status.name, result.return_value if is_done else None, error]
    sys.stdout.write(f"\n{json.dumps(found)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
