"""A message through every channel of the alarms, to see whether they would arrive."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import django
from django.conf import settings as django_settings

from clerksync import channels
from clerksync.conf import settings
from clerksync.doctor.findings import Finding, ok, problem, warning

#: They put mails where nobody reads them.
_NOWHERE = ("console", "dummy", "filebased", "locmem")
_ID = "test_alert"
_TITLE = "clerksync: test alert"
_TEXT = "This is a test, sent by manage.py check_clerk --send-test-alert. Nothing is wrong."


def send() -> list[Finding]:
    """Send the messages now, and say what happened to each."""
    return [*_mail(), *_pushes()]


def _mail() -> Iterator[Finding]:
    if not django_settings.ADMINS:
        if not settings.ALERT_SECRET_URLS:
            yield problem(_ID, "ADMINS is empty, so no alarm reaches anybody.", "Set ADMINS.")
        return
    if why := channels.send(channels.EMAIL, _TITLE, _TEXT):
        yield problem(
            _ID,
            f"The mail to ADMINS could not be sent ({why}).",
            "Check EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER, EMAIL_USE_TLS (or MAILERS) and SERVER_EMAIL.",
        )
        return
    backend = _backend().split(".")[-2:]
    if not settings.ALERT_EMAILS:
        sentence = "A mail was handed over, but CLERKSYNC_ALERT_EMAILS is off, so alarms send none."
        yield warning(_ID, sentence, "Turn it on, or receive clerksync.signals.alarm_raised.")
    elif backend[0] in _NOWHERE:
        sentence = f"The mail went to Django's {backend[0]} backend, where nobody reads it."
        yield warning(_ID, sentence, "Name a backend that sends mails: EMAIL_BACKEND, or MAILERS.")
    else:
        number = len(django_settings.ADMINS)
        yield ok(_ID, f"A mail to {number} of ADMINS was handed over; see whether it arrives.")


def _pushes() -> Iterator[Finding]:
    """Addresses are secrets: each is told by its number."""
    if settings.ALERT_SECRET_URLS and find_spec("apprise") is None:
        yield problem(_ID, "apprise is not installed.", "pip install 'clerksync[alerts]'")
        return
    for number, url in enumerate(settings.ALERT_SECRET_URLS, start=1):
        name = f"address {number} of {len(settings.ALERT_SECRET_URLS)} in CLERKSYNC_ALERT_SECRET_URLS"
        if why := channels.send(channels.name_of(url), _TITLE, _TEXT):
            advice = "Check it by apprise's list of services, and that this host may reach it."
            yield problem(_ID, f"The {name} did not take the message ({why}).", advice)
        else:
            yield ok(_ID, f"The {name} took the message; see whether it arrives.")


def _backend() -> str:
    """What sends mails: since Django 6.1 MAILERS may say so, and then nothing else may be read."""
    mailers: dict[str, Any] | None = getattr(django_settings, "MAILERS", None)
    if mailers is None or django.VERSION < (6, 1):
        return django_settings.EMAIL_BACKEND
    return str(mailers.get("default", {}).get("BACKEND", ""))
