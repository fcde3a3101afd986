"""How users who are known but not fresh are read: at once, by a task, or by the drain."""

from __future__ import annotations

from django.utils.module_loading import import_string

from clerksync.capture import Defer
from clerksync.conf import settings
from clerksync.pagereads import mark


def deferral() -> Defer | None:
    """What ``CLERKSYNC_REFRESH`` says; None for at once."""
    match settings.REFRESH:
        case "mark":
            return mark
        case "task":
            # By name: Django's tasks may not be installed, and only this choice needs them.
            defer: Defer = import_string("clerksync.tasks.read_later")
            return defer
        case _:
            return None
