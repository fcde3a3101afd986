"""Stacked bars as SVG that need no script and no style of their own, so that they work under a strict policy.

pygal draws. What it draws is copied element by element: its style sheet, its script and its style
attributes stay behind. Colours come from our static style sheet by class, and each series has a pattern
of its own as well, so that nobody needs the colours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Any
from xml.etree import ElementTree as ET

from django.utils.formats import number_format
from django.utils.safestring import SafeString, mark_safe
from msgspec import Struct

#: Of the view box: about as wide as a column of the page, and as a telephone, so that text keeps its size.
WIDTH, HEIGHT = 420, 200
FONT = 12
#: At most so many lines across, beside the one at 0.
STEPS = 4

#: What each kind of series is hatched with: a path in a square of 6; "" is plain.
PATTERNS = {
    "applied": "",
    "superseded": "M-1 7 L7 -1 M-1 1 L1 -1 M5 7 L7 5",
    "ignored": "M1 1 h2 v2 h-2 z",
    "parked": "M0 2 h6",
    "failed": "M0 0 L6 6 M6 0 L0 6",
    "rejected": "M2 0 v6",
    "delivered": "",
    "missed": "M0 0 L6 6 M6 0 L0 6",
    "requests": "",
    "throttled": "M0 0 L6 6 M6 0 L0 6",
}

_TAGS = frozenset({"g", "path", "rect", "text"})
_ATTRIBUTES = ("class", "d", "height", "transform", "width", "x", "y")
#: What is for pygal's script.
_LEFT = ("background", "overlay", "titles")


class Series(Struct, frozen=True):
    """Numbers, one for each label; ``kind`` is one of ``PATTERNS``."""

    kind: str
    name: str
    values: Sequence[int]


def stacked_bars(
    series: Sequence[Series], *, labels: Sequence[str], every: int, prefix: str, title: str
) -> SafeString:
    """Draw a chart.

    Args:
        series: From the bottom to the top.
        labels: Below the bars.
        every: One in so many labels is shown.
        prefix: Of the ids of its patterns in the page.
        title: What a screen reader says of it.
    """
    chart = ET.Element(
        "svg",
        {"class": "clerksync-chart", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": title},
    )
    defined = ET.SubElement(chart, "defs")
    for one in series:
        _add_pattern(defined, one.kind, prefix=prefix)
    _copy(_draw(series, labels=labels, every=every), chart)
    for number, one in enumerate(series):
        for bars in chart.iterfind(f".//g[@class='series serie-{number} color-{number}']"):
            _paint(bars, one, labels=labels, prefix=prefix)
    return _html(chart)


def swatch(kind: str, *, prefix: str) -> SafeString:
    """The sample of a series for the legend of the chart with this prefix."""
    image = ET.Element("svg", {"class": "clerksync-swatch", "viewBox": "0 0 18 12", "aria-hidden": "true"})
    box = {"x": "0.5", "y": "0.5", "width": "17", "height": "11"}
    ET.SubElement(image, "rect", {**_ink(kind, prefix=prefix), **box})
    return _html(image)


def ticks(highest: int) -> list[int]:
    """Round numbers from 0 to the first that is not below the highest one."""
    step = next(
        digit * 10**power for power in count() for digit in (1, 2, 5) if digit * 10**power * STEPS >= highest
    )
    return list(range(0, max(1, highest) + step, step))[: STEPS + 1]


def _draw(series: Sequence[Series], *, labels: Sequence[str], every: int) -> Any:
    """What pygal makes of it: a tree of ``xml.etree`` or, if that is there, of lxml."""
    pygal = _import_pygal()
    highest = max(map(sum, zip(*(one.values for one in series), strict=True)), default=0)
    chart = pygal.StackedBar(
        width=WIDTH,
        height=HEIGHT,
        margin=2,
        margin_top=8,
        style=pygal.style.Style(label_font_size=FONT, major_label_font_size=FONT),
        show_legend=False,
        x_labels=list(labels),
        x_labels_major_every=every,
        show_minor_x_labels=False,
        truncate_label=-1,
        y_labels=ticks(highest),
        formatter=lambda value: number_format(int(value), force_grouping=True),
    )
    for one in series:
        chart.add(one.name, list(one.values))
    return chart.render_tree()


@cache
def _import_pygal() -> Any:
    """Import it on first use: it takes 0.2 s, which no command and no other page need pay."""
    import pygal  # noqa: PLC0415
    import pygal.style  # noqa: PLC0415

    # Its hook for plugins that nobody uses makes each import that fails a warning, before Python 3.12.
    sys.meta_path[:] = [hook for hook in sys.meta_path if not type(hook).__module__.startswith("pygal")]
    return pygal


def _copy(drawn: Any, into: ET.Element) -> None:
    """Copy what is seen."""
    for child in drawn:
        classes = child.get("class") or ""
        if child.tag not in _TAGS or any(name in classes for name in _LEFT):
            continue
        kept = {name: child.get(name) for name in _ATTRIBUTES if child.get(name)}
        copied = ET.SubElement(into, child.tag, kept)
        copied.text = child.text
        _copy(child, copied)


def _paint(bars: ET.Element, series: Series, *, labels: Sequence[str], prefix: str) -> None:
    """Give the bars their ink, and a title for who points at them."""
    for bar, label, value in zip(
        list(bars.iterfind(".//g[@class='bar']")), labels, series.values, strict=True
    ):
        if not value:
            bar.clear()
        for shape in bar.iter("rect"):
            shape.attrib.update(_ink(series.kind, prefix=prefix))
            ET.SubElement(shape, "title").text = f"{label}: {number_format(value)} {series.name}"


def _add_pattern(defined: ET.Element, kind: str, *, prefix: str) -> None:
    size = {"width": "6", "height": "6"}
    pattern = ET.SubElement(
        defined,
        "pattern",
        {
            "id": f"{prefix}-{kind}",
            "class": f"clerksync-ink {kind}",
            "patternUnits": "userSpaceOnUse",
            **size,
        },
    )
    hatched = PATTERNS[kind]
    ET.SubElement(pattern, "rect", {"class": "clerksync-ground" if hatched else "clerksync-plain", **size})
    if hatched:
        ET.SubElement(pattern, "path", {"d": hatched})


def _ink(kind: str, *, prefix: str) -> dict[str, str]:
    return {"class": f"clerksync-ink {kind}", "fill": f"url(#{prefix}-{kind})"}


def _html(tree: ET.Element) -> SafeString:
    # Made of elements, so all text in it is escaped.
    return mark_safe(ET.tostring(tree, encoding="unicode"))  # noqa: S308
