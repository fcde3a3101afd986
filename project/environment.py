"""Typed reads of environment variables that refuse nonsense; the only user of django-environ.

A variable that is set to nothing counts as not set, so that a copy of ``.env.example`` can keep
its empty lines. Messages name the variable and what is allowed, never the value.
"""

from __future__ import annotations

import io
import math
import re
import zoneinfo
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import django
import environ
from django.core.exceptions import ImproperlyConfigured

from project import defaults

T = TypeVar("T")

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")
_DATABASES = re.compile(r"postgres(ql)?://.|sqlite:///.|sqlite://:memory:\Z")
_MAIL = re.compile(r"(smtp(\+tls|\+ssl)?|smtps)://.")
_LINE = re.compile(r"\s*(#.*)?\Z|(export )?\w+=")


def read_file(path: Path) -> None:
    """Add the variables of a ``.env`` file; those that are set already win.

    Lines that are none are refused here, because django-environ logs them whole, secrets and all.
    """
    text = path.read_text(encoding="utf-8-sig")
    for number, line in enumerate(text.splitlines(), start=1):
        if not _LINE.match(line):
            raise ImproperlyConfigured(f"{path.name}, line {number}, must be NAME=value or start with #.")
    environ.Env.read_env(io.StringIO(text))


class Environment:
    """The variables of one process."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def named(self, *prefixes: str) -> list[str]:
        """The names of the variables that are set and start with one of these."""
        return [name for name in self._variables if name.startswith(prefixes) and self.text(name)]

    def text(self, name: str, *, default: str = "") -> str:
        """The value as it is."""
        return self._variables.get(name, "").strip() or default

    def pem(self, name: str) -> str:
        r"""A key over several lines, also written in one line with \n."""
        return self.text(name).replace("\\n", "\n")

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """True or false in the usual spellings; any other word is no false."""
        value = self.text(name, default=str(default)).lower()
        if value not in _TRUE + _FALSE:
            raise _refusal(name, "true or false")
        return value in _TRUE

    def whole(self, name: str, *, default: int = 0) -> int:
        """A whole number from zero on."""
        value = self.text(name, default=str(default))
        if not (value.isascii() and value.isdigit()):
            raise _refusal(name, "a whole number that is not negative")
        return int(value)

    def number(self, name: str) -> float:
        """A number above zero."""
        return _parsed(name, self.text(name), parse=_positive, allowed="a number above zero")

    def numbers(self, name: str) -> tuple[float, ...]:
        """Numbers above zero with commas between them."""
        allowed = "numbers above zero with commas between them"
        return tuple(
            _parsed(name, word, parse=_positive, allowed=allowed) for word in self.text(name).split(",")
        )

    def addresses(self, name: str) -> list[str]:
        """Addresses, each with its scheme, with spaces between them: they may hold commas."""
        found = self.text(name).split()
        if not all("://" in address for address in found):
            raise _refusal(name, "addresses like service://... with spaces between them")
        return found

    def admins(self, name: str) -> list[Any]:
        """E-mail addresses with commas between them, as Django's ADMINS has them."""
        found = self.words(name)
        if not all(re.fullmatch(r"[^@\s]+@[^@\s]+", address) for address in found):
            raise _refusal(name, "e-mail addresses with commas between them")
        # Strings since Django 6.0, pairs with a name before.
        return found if django.VERSION >= (6, 0) else [("", address) for address in found]

    def email(self, name: str) -> dict[str, Any]:
        """Django's settings for a mail server from a URL; none if it is not set."""
        url = self.text(name)
        allowed = "smtp://, smtp+tls:// or smtp+ssl://USER:PASSWORD@HOST:PORT"
        if url and not _MAIL.match(url):
            raise _refusal(name, allowed)
        return _mail(_parsed(name, url, parse=environ.Env.email_url_config, allowed=allowed)) if url else {}

    def words(self, name: str) -> list[str]:
        """Words with commas between them."""
        return [word.strip() for word in self.text(name).split(",") if word.strip()]

    def rules(self, name: str) -> dict[str, str | tuple[str, str]]:
        """Pairs with commas between them, FIELD=SOURCE or FIELD=SOURCE:WHEN."""
        found: dict[str, str | tuple[str, str]] = {}
        for word in self.words(name):
            field, is_pair, source = (part.strip() for part in word.partition("="))
            source, has_when, when = (part.strip() for part in source.partition(":"))
            if not (field and is_pair and source) or (has_when and when not in ("always", "blank")):
                raise _refusal(name, "FIELD=SOURCE or FIELD=SOURCE:blank, with commas between them")
            found[field] = (source, when) if has_when else source
        return found

    def tables(self, name: str) -> list[dict[str, str]]:
        """Tables with semicolons between them, each a model and pairs KEY=FIELD with spaces between them."""
        found = []
        for text in filter(str.strip, self.text(name).split(";")):
            model, *pairs = text.split()
            parts = [pair.split("=") for pair in pairs]
            if "=" in model or not all(len(part) == 2 and all(part) for part in parts):
                allowed = "like app.Profile clerk_id_field=clerk_id email_field=email, with ; between models"
                raise _refusal(name, allowed)
            found.append({"model": model} | dict(parts))
        return found

    def number_or_none(self, name: str) -> float | None:
        """A number from zero on, or the word none."""
        value = self.text(name).lower()
        return (
            None
            if value == "none"
            else _parsed(name, value, parse=_not_negative, allowed="a number, or none")
        )

    def pairs(self, name: str) -> dict[str, str]:
        """Pairs of words, ``one=two``, with commas between them."""
        pairs = [word.split("=") for word in self.words(name)]
        if not all(len(pair) == 2 and all(part.strip() for part in pair) for pair in pairs):
            raise _refusal(name, "pairs like one=two with commas between them")
        return {first.strip(): second.strip() for first, second in pairs}

    def schedule(self, name: str) -> dict[str, str | None]:
        """Pairs like ``full=0 3 * * *`` with semicolons between them; the word none is None."""
        pairs = [word.partition("=") for word in self.text(name).split(";") if word.strip()]
        if not all(part.strip() and cron.strip() for part, _, cron in pairs):
            raise _refusal(name, "PART=CRON or PART=none, with semicolons between them")
        return {
            part.strip(): None if cron.strip().lower() == "none" else cron.strip() for part, _, cron in pairs
        }

    def word_or_words(self, name: str) -> str | list[str]:
        """One word as a string, several as a list."""
        words = self.words(name)
        return words if len(words) > 1 else "".join(words)

    def words_or_none(self, name: str) -> str | list[str] | None:
        """The same, or the word none in any case for None."""
        return None if self.text(name).lower() == "none" else self.word_or_words(name)

    def choice(self, name: str, *, choices: tuple[str, ...], default: str) -> str:
        """One of these words, in any case."""
        value = self.text(name, default=default).upper()
        if value not in choices:
            raise _refusal(name, f"one of {', '.join(choices)}")
        return value

    def hosts(self, name: str) -> list[str]:
        """Host names without scheme, port and path."""
        hosts = self.words(name)
        if any(set("/@ ") & set(host) or (":" in host and not host.startswith("[")) for host in hosts):
            raise _refusal(name, "host names alone, with commas between them: users.example.com")
        return hosts

    def origins(self, name: str) -> list[str]:
        """Origins: scheme and host."""
        origins = self.words(name)
        if not all(origin.startswith(("https://", "http://")) for origin in origins):
            raise _refusal(
                name, "origins with their scheme, with commas between them: https://users.example.com"
            )
        return origins

    def time_zone(self, name: str, *, default: str) -> str:
        """A name of the time zone database."""
        value = self.text(name, default=default)
        if value not in zoneinfo.available_timezones():
            raise _refusal(name, "a name of the time zone database such as Europe/Berlin")
        return value

    def database(self, name: str, *, default: str) -> dict[str, Any]:
        """One entry of DATABASES from a URL; a relative SQLite path starts at the checkout."""
        url = self.text(name, default=default)
        allowed = "postgres://USER:PASSWORD@HOST:PORT/NAME or sqlite:///PATH"
        if not _DATABASES.match(url):
            raise _refusal(name, allowed)
        parsed = _parsed(name, url, parse=environ.Env.db_url_config, allowed=allowed)
        return _sqlite(parsed) if url.startswith("sqlite") else _postgresql(parsed)


def _parsed(name: str, value: str, *, parse: Callable[[str], T], allowed: str) -> T:
    try:
        return parse(value)
    except ValueError:
        raise _refusal(name, allowed) from None  # the cause would show the value


def _positive(value: str) -> float:
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError
    return number


def _not_negative(value: str) -> float:
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError
    return number


def _sqlite(parsed: dict[str, Any]) -> dict[str, Any]:
    name = parsed["NAME"]
    database = defaults.sqlite(name if name == ":memory:" else defaults.BASE_DIR / name)
    return {**database, "OPTIONS": {**database["OPTIONS"], **parsed.get("OPTIONS", {})}}


def _postgresql(parsed: dict[str, Any]) -> dict[str, Any]:
    """A connection is kept for a minute and tested before each request that finds it open."""
    return {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, **parsed}


def _mail(parsed: dict[str, Any]) -> dict[str, Any]:
    """A server that does not answer is given up after ten seconds."""
    host, port = parsed["EMAIL_HOST"], parsed["EMAIL_PORT"]
    options = {
        "host": host,
        "port": port or (465 if parsed.get("EMAIL_USE_SSL") else 587 if parsed.get("EMAIL_USE_TLS") else 25),
        "username": parsed["EMAIL_HOST_USER"] or "",
        "password": parsed["EMAIL_HOST_PASSWORD"] or "",
        "use_tls": parsed.get("EMAIL_USE_TLS", False),
        "use_ssl": parsed.get("EMAIL_USE_SSL", False),
        "timeout": 10,
    }
    if django.VERSION >= (6, 1):
        return {"MAILERS": {"default": {"BACKEND": parsed["EMAIL_BACKEND"], "OPTIONS": options}}}
    older = {"username": "HOST_USER", "password": "HOST_PASSWORD"}
    named = {f"EMAIL_{older.get(key, key.upper())}": value for key, value in options.items()}
    return {"EMAIL_BACKEND": parsed["EMAIL_BACKEND"], **named}


def _refusal(name: str, allowed: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"The environment variable {name} must be {allowed}.")
