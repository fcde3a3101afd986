"""A queue of tasks without a worker."""

from __future__ import annotations

from typing import Any, ClassVar

try:
    from django.tasks.backends.base import BaseTaskBackend
except ImportError:  # Django 5.2
    from django_tasks.backends.base import BaseTaskBackend  # type: ignore[assignment]


class Queue(BaseTaskBackend):
    """Keeps the names of what was put into it."""

    names: ClassVar[list[str]] = []

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Keep it."""
        self.names.append(task.name)


class BrokenQueue(BaseTaskBackend):
    """Takes nothing."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Fail as a queue does whose server is away."""
        raise ConnectionError("no queue")
