"""Values as HTML; names and metadata come from strangers, so everything is escaped and isolated."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

EMPTY = "-"


def text(value: object) -> str | SafeString:
    """Text that keeps its direction to itself: a name may hold marks that turn what follows round."""
    return format_html("<bdi>{}</bdi>", value) if value not in (None, "") else EMPTY


def mark(label: object, *, kind: str = "") -> SafeString:
    """A short mark beside a value; it is readable without its colour."""
    return format_html('<span class="clerksync-mark {}">{}</span>', kind, label)


def marks(labels: Iterable[tuple[object, str]]) -> SafeString:
    """Several marks: labels with their kinds."""
    return format_html_join(" ", "{}", ((mark(label, kind=kind),) for label, kind in labels))


def moment(time: datetime | None) -> str | SafeString:
    """A date and a time of the day in the current time zone."""
    if time is None:
        return EMPTY
    local = timezone.localtime(time) if timezone.is_aware(time) else time
    return format_html(
        '<time datetime="{}">{} <span class="quiet">{}</span></time>',
        local.isoformat(timespec="seconds"),
        date_format(local, "DATE_FORMAT"),
        date_format(local, "TIME_FORMAT"),
    )


def picture(url: str | None) -> SafeString | None:
    """A user's picture from its own host, which is not told where it was asked for."""
    try:
        allowed = url is not None and urlsplit(url).scheme == "https"
    except ValueError:
        return None
    if not allowed:
        return None
    return format_html(
        '<img class="clerksync-photo" src="{}" alt="" width="32" height="32" loading="lazy" '
        'referrerpolicy="no-referrer">',
        url,
    )


def initials(words: Iterable[str | None]) -> SafeString:
    """The first letters in place of a picture."""
    letters = "".join(word[0] for word in words if word)
    return format_html(
        '<span class="clerksync-photo" aria-hidden="true"><bdi>{}</bdi></span>', letters.upper() or "?"
    )


def json_block(value: Any, *, label: object) -> SafeString:
    """JSON on several lines, in a box that scrolls, also by keyboard."""
    return format_html(
        '<pre class="clerksync-json" dir="ltr" tabindex="0" role="region" aria-label="{}">{}</pre>',
        label,
        _visible(json.dumps(value, indent=2, ensure_ascii=False)),
    )


def json_text_block(stored: str, *, label: object) -> SafeString:
    """The same from text; what Python cannot read, for it is nested too deeply, is shown as it is."""
    try:
        return json_block(json.loads(stored), label=label)
    except (ValueError, RecursionError):
        return format_html(
            '<pre class="clerksync-json" dir="ltr" tabindex="0" role="region" aria-label="{}">{}</pre>',
            label,
            _visible(stored),
        )


def duration(time: timedelta) -> str:
    """A length of time in its two largest units."""
    seconds = time.total_seconds()
    if seconds < 60:
        return _("%(seconds).1f s") % {"seconds": seconds}
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": seconds}
    hours, minutes = divmod(minutes, 60)
    return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}


def number(value: int) -> str:
    """A whole number with the separators of the language."""
    return number_format(value, force_grouping=True)


def share(part: float | None) -> str:
    """A part of a whole, 0 to 1, in per cent."""
    if part is None:
        return EMPTY
    if 0 < part < 0.001:
        return _("under %(share)s %%") % {"share": number_format(0.1, decimal_pos=1)}
    return _("%(share)s %%") % {"share": number_format(part * 100, decimal_pos=1 if part % 1 else 0)}


def age(time: datetime | None, *, now: datetime) -> str:
    """How long ago it was, for people."""
    if time is None:
        return EMPTY
    if now - time < timedelta(minutes=1):
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(time, now, depth=1)}


def _visible(dumped: str) -> str:
    """JSON whose invisible characters, and half characters, are written as JSON's escapes."""
    if dumped.isascii():
        return dumped
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in dumped)
