"""Values as HTML."""

from __future__ import annotations

from datetime import UTC, datetime
from html import unescape

import pytest
from django.test import override_settings

from clerksync.admin import formats

NOON = datetime(2026, 5, 17, 12, 0, 30, tzinfo=UTC)


def test_moment__in_the_time_zone() -> None:
    """A time is shown where the project is, with its offset for machines."""
    with override_settings(TIME_ZONE="Asia/Tokyo"):
        shown = formats.moment(NOON)
    assert shown == (
        '<time datetime="2026-05-17T21:00:30+09:00">May 17, 2026 <span class="quiet">9 p.m.</span></time>'
    )


@override_settings(USE_TZ=False)
def test_moment__without_time_zones() -> None:
    """A project without time zones has naive times."""
    assert 'datetime="2026-05-17T12:00:30"' in formats.moment(NOON.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Zoë 🌍", '"Zoë 🌍"'),
        ("a\u202eb\u200d", '"a\\u202eb\\u200d"'),
        ("\ud800", '"\\ud800"'),
        ("\x00\x7f\x85", '"\\u0000\\u007f\\u0085"'),
        ("\U000e0041", '"\\udb40\\udc41"'),
        ("<&>", '"<&>"'),
        ([1], "[\n  1\n]"),
    ],
)
def test_json_block__visible(value: object, shown: str) -> None:
    """JSON stays JSON and readable, and what cannot be seen, or not be sent, is written out."""
    block = formats.json_block(value, label='a "label"')
    assert block.startswith('<pre class="clerksync-json" dir="ltr" tabindex="0" role="region"')
    assert 'aria-label="a &quot;label&quot;"' in block
    assert unescape(block).endswith(f">{shown}</pre>")
    assert "<&>" not in block
    block.encode()
