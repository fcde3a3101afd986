"""A mail to the admins, to see whether alarms would arrive."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings as django_settings
from django.core.mail import mail_admins

from clerksync.conf import settings
from clerksync.doctor.findings import Finding, ok, problem, warning

#: They put mails where nobody reads them.
_NOWHERE = ("console", "dummy", "filebased", "locmem")


def send() -> Finding:
    """Send the mail now, and say what happened."""
    if not django_settings.ADMINS:
        return problem("test_alert", "ADMINS is empty, so no alarm reaches anybody.", "Set ADMINS.")
    text = "This is a test, sent by manage.py check_clerk --send-test-alert. Nothing is wrong."
    try:
        mail_admins("clerksync: test alert", text)
    except Exception as error:  # noqa: BLE001  # every mail backend has its own errors
        return problem(
            "test_alert",
            f"The mail to ADMINS could not be sent ({type(error).__name__}).",
            "Check EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER, EMAIL_USE_TLS (or MAILERS) and SERVER_EMAIL.",
        )
    if not settings.ALERT_EMAILS:
        sentence = "A mail was handed over, but CLERKSYNC_ALERT_EMAILS is off, so alarms send none."
        return warning("test_alert", sentence, "Turn it on, or receive clerksync.signals.alarm_raised.")
    backend = _backend().split(".")[-2:]
    if backend[0] in _NOWHERE:
        sentence = f"The mail went to Django's {backend[0]} backend, where nobody reads it."
        return warning("test_alert", sentence, "Name a backend that sends mails: EMAIL_BACKEND, or MAILERS.")
    number = len(django_settings.ADMINS)
    return ok("test_alert", f"A mail to {number} of ADMINS was handed over; see whether it arrives.")


def _backend() -> str:
    """What sends mails: since Django 6.1 MAILERS may say so, and then nothing else may be read."""
    mailers: dict[str, Any] | None = getattr(django_settings, "MAILERS", None)
    if mailers is None or django.VERSION < (6, 1):
        return django_settings.EMAIL_BACKEND
    return str(mailers.get("default", {}).get("BACKEND", ""))
