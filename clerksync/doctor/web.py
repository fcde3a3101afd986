"""The webhook as a request would find it, without the network."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings as django_settings
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import Resolver404, resolve
from django.utils import translation

from clerksync import webhooks
from clerksync.doctor.findings import Finding, ok, problem, skipped, warning

_WHERE = 'Put path("clerk/", include("clerksync.urls")) before whatever else takes these addresses.'


def examine() -> list[Finding]:
    """Look at the webhook's address, and ask it through all middleware."""
    path = webhooks.view_path()
    if path is None:
        return _without_url()
    return [_url(path), _answer(path)]


def _without_url() -> list[Finding]:
    why = "The URLs do not include clerksync.urls"
    how = 'Add path("clerk/", include("clerksync.urls")) to the URLs.'
    if webhooks.configured_secrets():
        first = problem("webhook_url", f"{why}, so every webhook is answered with 404.", how)
    else:
        first = skipped("webhook_url", f"{why}: without webhooks changes arrive with the next sync.", how)
    return [first, skipped("webhook_answer", f"{why}.")]


def _url(path: str) -> Finding:
    forms = (path, path.rstrip("/"))
    strays = [form for form in forms if not _is_ours(form)]
    if strays:
        return problem(
            "webhook_url", f"{' and '.join(strays)} {_lead(strays)} to another view than ours.", _WHERE
        )
    if not all(_is_ours_in(language, path) for language, _ in django_settings.LANGUAGES):
        return warning(
            "webhook_url",
            "The address depends on the language, so it is another one for another visitor.",
            "Include clerksync.urls outside of i18n_patterns.",
        )
    return ok("webhook_url", f"{path} leads to our view, with and without the slash at the end.")


def _lead(strays: list[str]) -> str:
    return "leads" if len(strays) == 1 else "lead"


def _is_ours_in(language: str, path: str) -> bool:
    # Not ``reverse``: Django makes a table of all of a site's URLs for each of a hundred languages then.
    with translation.override(language):
        return _is_ours(path)


def _is_ours(path: str) -> bool:
    try:
        view = resolve(path).func
    except Resolver404:
        return False
    # By name: the view is above this module.
    return (view.__module__, view.__name__) == ("clerksync.views", "webhook")


def _answer(path: str) -> Finding:
    """Ask by GET, which our view answers with 405, and which changes nothing."""
    host = _host()
    if host is None:
        how = "Put the site's host into ALLOWED_HOSTS; while it is empty every request is refused."
        return problem("webhook_answer", "ALLOWED_HOSTS is empty and DEBUG is off.", how)
    if django_settings.PREPEND_WWW and not host.startswith("www."):
        return _explain_www(host)
    for form in (path, path.rstrip("/")):
        answer = _visit(form, host=host, secure=True)
        if answer.status_code != 405:
            return _explain(form, answer)
    if 300 <= _visit(path, host=host, secure=False).status_code < 400:
        return _explain_circle()
    return ok("webhook_answer", "A request passes all middleware and reaches our view, without a redirect.")


def _explain(path: str, answer: HttpResponseBase) -> Finding:
    status = answer.status_code
    if 300 <= status < 400:
        # Without what follows a question mark.
        where = str(answer.headers.get("Location", "")).partition("?")[0] or "nowhere"
        return problem(
            "webhook_answer",
            f"{path} is redirected to {where}, which Clerk takes for a failure.",
            "Exempt the path from what redirects: a login, a language or a host.",
        )
    if status in (401, 403):
        return problem(
            "webhook_answer",
            f"{path} is answered with {status}: some middleware asks for a login.",
            "Exempt the path in this middleware; deliveries are signed.",
        )
    return problem(
        "webhook_answer",
        f"{path} is answered with {status}, and not by our view.",
        "Look for the middleware that answers; see the log of the site.",
    )


def _explain_circle() -> Finding:
    if django_settings.SECURE_PROXY_SSL_HEADER:
        sentence = "A request that the proxy marks as https is redirected to https all the same."
        return problem(
            "webhook_answer", sentence, "Compare SECURE_PROXY_SSL_HEADER with what the proxy sets."
        )
    return warning(
        "webhook_answer",
        "SECURE_SSL_REDIRECT is on and SECURE_PROXY_SSL_HEADER is not set: behind a proxy that ends TLS every "
        "webhook is redirected in circles.",
        "Let the proxy set X-Forwarded-Proto, and set SECURE_PROXY_SSL_HEADER = "
        '("HTTP_X_FORWARDED_PROTO", "https"); nothing is to be done if the server ends TLS itself.',
    )


def _explain_www(host: str) -> Finding:
    return warning(
        "webhook_answer",
        f"PREPEND_WWW redirects from {host} to www.{host}.",
        f"Enter the address with www.{host} at Clerk.",
    )


def _host() -> str | None:
    """A host that the site would answer for; None if there is none."""
    hosts = [host.lstrip(".") for host in django_settings.ALLOWED_HOSTS]
    named = [host for host in hosts if host != "*"]
    if named:
        return named[0]
    return "localhost" if hosts or django_settings.DEBUG else None


def _visit(path: str, *, host: str, secure: bool) -> HttpResponseBase:
    """Send a request through all middleware; one that is not secure comes as a proxy passes it on."""
    header, value = django_settings.SECURE_PROXY_SSL_HEADER or ("HTTP_X_FORWARDED_PROTO", "https")
    extra: dict[str, Any] = {"SERVER_NAME": host, header: value}
    with _quiet():
        response: HttpResponseBase = Client(raise_request_exception=False).get(path, secure=secure, **extra)
    return response


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Django from logging this thread's request as a mistake of somebody's."""
    me = threading.get_ident()

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.thread != me

    logger = logging.getLogger("django.request")
    logger.addFilter(is_of_others)
    try:
        yield
    finally:
        logger.removeFilter(is_of_others)
