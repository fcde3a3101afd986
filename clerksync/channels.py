"""Ways to tell people: mail to ADMINS, and messages to the addresses of CLERKSYNC_ALERT_SECRET_URLS.

Each call has an end: a server that hangs holds a thread of its own, and nobody else.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

from django.conf import settings as django_settings
from django.core.mail import mail_admins
from django.utils.module_loading import import_string

from clerksync.conf import settings

EMAIL = "email"
#: So long a channel is waited for, in seconds.
PATIENCE = 30.0

_threads: dict[str, threading.Thread] = {}
_lock = threading.Lock()


def configured() -> list[str]:
    """The names of the channels that are there; none of them tells a secret."""
    mail = [EMAIL] if settings.ALERT_EMAILS and django_settings.ADMINS else []
    return [*mail, *(name_of(url) for url in settings.ALERT_SECRET_URLS)]


def name_of(url: str) -> str:
    """How an address is called where it may be seen."""
    return f"push:{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def send(channel: str, title: str, body: str) -> str:
    """Tell people through a channel; never longer than PATIENCE.

    Returns:
        What went wrong, in few words without a secret; "" if the message was taken.
    """
    return _in_time(channel, lambda: _send(channel, title, body))


def _send(channel: str, title: str, body: str) -> str:
    if channel == EMAIL:
        mail_admins(title, body)
        return ""
    urls = {name_of(url): url for url in settings.ALERT_SECRET_URLS}
    if channel not in urls:
        return "the address is gone"
    # By name: apprise may not be installed, and only who has addresses needs it.
    push = import_string("clerksync.pushes.push")
    return "" if push(urls[channel], title, body) else "not accepted"


def _in_time(channel: str, call: Callable[[], str]) -> str:
    outcomes: list[str] = []
    with _lock:
        busy = _threads.get(channel)
        if busy is not None and busy.is_alive():
            return "busy with an earlier message"
        # A daemon: a process that is to end is not kept by a server that hangs.
        thread = threading.Thread(
            target=lambda: outcomes.append(_guarded(call)), name=f"clerksync-{channel}", daemon=True
        )
        _threads[channel] = thread
        thread.start()
    thread.join(PATIENCE)
    return outcomes[0] if outcomes else f"no answer within {PATIENCE:g} s"


def _guarded(call: Callable[[], str]) -> str:
    try:
        return call()
    except Exception as error:  # noqa: BLE001  # every mail backend and service has its own errors, and none may break anything
        return type(error).__name__
