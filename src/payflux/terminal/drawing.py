"""Every plot, drawn by Vega-Lite: the same figures give the same text, for light and dark pages.

Vega-Lite (vega.github.io/vega-lite) is a grammar: a plot is a specification of data, marks and scales. `vl-convert`
draws it without a browser. Its colours are those of a light page; a style within the SVG changes them on a dark one.
"""

import re
from collections.abc import Mapping
from typing import Any

VERSION = "6.4"
"""Of Vega-Lite, so that a newer `vl-convert` draws the same."""

INK, SOFT, RULE, AXIS, PAGE = "#1f2933", "#66707a", "#e2e6ea", "#98a1a9", "#ffffff"
DARK = {INK: "#e8eaed", SOFT: "#a3abb3", RULE: "#2c3239", AXIS: "#646c74", PAGE: "#15191d"}
SERIES = ("#3f76c4", "#d9822b", "#3f9c66", "#c4485f", "#8a63b8", "#a88a2b", "#3f9fb8", "#9a6748", "#6a8f34", "#c070a8")
"""Legible on both."""

GREY = "#868f98"
NUMBER = "datum.value < 1000 ? format(datum.value, '.3~r') : format(datum.value, '.3~s')"
"""How a number on a scale is written: 0.25, 640, 12k, 3M."""

FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
CONFIG: dict[str, Any] = {
    "aria": False,  # the words of a picture are texts anyway, and labels of marks are half its size
    "background": PAGE,
    "padding": 16,
    "font": FONT,
    "view": {"stroke": None},
    "title": {
        "anchor": "start",
        "frame": "group",
        "offset": 12,
        "subtitlePadding": 4,
        "color": INK,
        "fontSize": 15,
        "subtitleColor": SOFT,
        "subtitleFontSize": 11,
    },
    "axis": {
        "labelColor": SOFT,
        "labelFontSize": 11,
        "labelExpr": NUMBER,
        "tickCount": 8,
        "titleColor": SOFT,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "gridColor": RULE,
        "domainColor": AXIS,
        "tickColor": AXIS,
    },
    "legend": {
        "orient": "bottom",
        "title": None,
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 240,
        "symbolStrokeWidth": 3,
    },
    "text": {"color": INK, "fontSize": 12},
}
PLACES = re.compile(r' (?:d|transform)="[^"]*"')
DIGITS = re.compile(r"(\.\d\d)\d+")
"""Of a place, a hundredth of a pixel is enough."""


def svg(plot: Mapping[str, Any]) -> str:
    """Draw a plot.

    Args:
        plot: its specification in Vega-Lite, without `config`.

    Returns:
        The SVG. It changes only with the plot, with `vl-convert`, and with the metrics of this machine's fonts.

    Raises:
        ValueError: it is no valid specification.
        ModuleNotFoundError: there is no `vl-convert`, which few need and is large: the extra `plot` brings it.
    """
    import vl_convert  # noqa: PLC0415 - see above

    drawn = vl_convert.vegalite_to_svg({**plot, "config": CONFIG}, vl_version=VERSION)
    head, gap, rest = PLACES.sub(lambda found: DIGITS.sub(r"\1", found[0]), drawn).partition(">")
    return f"{head}{gap}\n<style>{_dark_style()}</style>\n{rest}\n"


def _dark_style() -> str:
    rules = (f"[{part}='{light}']{{{part}:{dark}}}" for light, dark in DARK.items() for part in ("fill", "stroke"))
    return f"@media (prefers-color-scheme:dark){{{''.join(rules)}}}"
