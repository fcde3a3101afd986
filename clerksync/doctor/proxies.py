"""The settings that requests of browsers depend on: proxies, forms, cookies."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.http.request import validate_host

from clerksync.conf import settings
from clerksync.doctor.findings import Finding, ok, problem, skipped, warning

_CSRF = "CsrfViewMiddleware"
_SESSIONS = "SessionMiddleware"
_OURS = "clerksync.middleware."


def examine() -> list[Finding]:
    """Look at them; nothing is asked."""
    return [_proxy(), _csrf(), _cookies()]


def _proxy() -> Finding:
    header: object = django_settings.SECURE_PROXY_SSL_HEADER
    if header and not _names_a_header(header):
        return problem(
            "proxy",
            "SECURE_PROXY_SSL_HEADER is not the name of a header and its value.",
            'Write ("HTTP_X_FORWARDED_PROTO", "https"): HTTP_, capitals and underscores.',
        )
    if django_settings.USE_X_FORWARDED_HOST and "*" in django_settings.ALLOWED_HOSTS:
        return warning(
            "proxy",
            'USE_X_FORWARDED_HOST is on and ALLOWED_HOSTS has "*": any visitor chooses the host of links.',
            "Name your hosts in ALLOWED_HOSTS.",
        )
    return ok("proxy", "The settings of proxies can be used together.")


def _names_a_header(value: object) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and str(value[0]).startswith("HTTP_")


def _csrf() -> Finding:
    if not _uses(_OURS):
        return skipped("csrf", "ClerkMiddleware is not in use: no cookie of Clerk's signs anybody in.")
    if not _uses(_CSRF):
        return warning(
            "csrf",
            "Clerk's cookies sign users in, and CsrfViewMiddleware is not in MIDDLEWARE: other sites can send "
            "forms in the name of your users.",
            "Add django.middleware.csrf.CsrfViewMiddleware.",
        )
    if not settings.AUTHORIZED_PARTIES or (django_settings.DEBUG and not django_settings.ALLOWED_HOSTS):
        return skipped("csrf", "CLERKSYNC_AUTHORIZED_PARTIES and ALLOWED_HOSTS do not tell where forms are.")
    if strangers := list(_strangers()):
        return warning(
            "csrf",
            f"Forms on {', '.join(strangers)} are refused: CSRF_TRUSTED_ORIGINS does not have it.",
            "Add it; or --ignore csrf, if that front end sends tokens to views without CSRF protection only.",
        )
    return ok("csrf", "Forms of all authorized parties are accepted.")


def _strangers() -> Iterator[str]:
    """The origins that are neither ours nor trusted; those of apps (without http) send no forms."""
    for origin in settings.AUTHORIZED_PARTIES:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or validate_host(
            parts.hostname or "", django_settings.ALLOWED_HOSTS
        ):
            continue
        if not any(fnmatchcase(origin, pattern) for pattern in django_settings.CSRF_TRUSTED_ORIGINS):
            yield origin


def _cookies() -> Finding:
    if django_settings.DEBUG:
        return skipped("cookies", "DEBUG is on: cookies may travel without https.")
    wanted = {"SESSION_COOKIE_SECURE": _SESSIONS, "CSRF_COOKIE_SECURE": _CSRF}
    missing = [
        name
        for name, middleware in wanted.items()
        if _uses(middleware) and not getattr(django_settings, name)
    ]
    if missing:
        return warning(
            "cookies",
            f"{' and '.join(missing)} off: cookies also travel without https, where they can be read.",
            f"Set {' and '.join(f'{name} = True' for name in missing)}.",
        )
    return ok("cookies", "Cookies travel with https only.")


def _uses(part: str) -> bool:
    return any(part in str(name) for name in django_settings.MIDDLEWARE)
