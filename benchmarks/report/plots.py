"""The two kinds of plots of a result: curves, and stacked bars."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

from payflux.terminal.drawing import GREY, SERIES, svg

WIDTH, HEIGHT, BAR = 640, 280, 28
DASHED = " (model)"
"""A series whose name ends so is drawn dashed."""

FLOOR = "floor"
"""What a part of a bar is called that is no cost of ours."""

MARKED = 24
"""A curve of so many points at most shows each of them."""

Point = tuple[float, float]
Plot = dict[str, Any]


def lines(  # noqa: PLR0917 - what a plot has
    title: str,
    about: str,
    series: Mapping[str, Sequence[Point]],
    x_label: str,
    y_label: str,
    log: str = "",
) -> str:
    """Curves over a common axis.

    Args:
        title: what it shows.
        about: the conditions, in small print.
        series: points of each curve by its name, in order of x.
        x_label: of the horizontal axis, with its unit.
        y_label: of the vertical axis, with its unit.
        log: the directions that are logarithmic: `x`, `y`, `xy` or none.

    Returns:
        The SVG.
    """
    xs, ys = ([point[place] for curve in series.values() for point in curve] for place in (0, 1))
    low, high = _powers(ys) if "y" in log else (0.0, 1.0)
    y_scale = {"type": "log", "domain": [low, high]} if "y" in log else {"zero": True}
    y_axis = {"values": _round_values(low, high)} if "y" in log else {}
    curve = {
        "x": {"field": "x", "type": "quantitative", "scale": _along(xs, log), "title": x_label}
        | {"axis": {"grid": False} | ({"values": _round_values(min(xs), max(xs))} if "x" in log else {})},
        "y": {"field": "y", "type": "quantitative", "scale": y_scale, "title": y_label, "axis": y_axis},
        "color": _colour(list(series)),
    }
    dash = {"condition": {"test": f"indexof(datum.series, '{DASHED}') > 0", "value": [6, 5]}, "value": [1, 0]}
    marked = [name for name, points in series.items() if len(points) <= MARKED and not name.endswith(DASHED)]
    layers: list[Plot] = [
        {"mark": {"type": "line", "strokeWidth": 2.2}, "encoding": {"strokeDash": dash}},
        {"mark": {"type": "circle", "size": 50, "opacity": 1}, "transform": [{"filter": _one_of(marked)}]},
    ]
    points = [{"series": name, "x": x, "y": y} for name, curve in series.items() for x, y in curve]
    return _drawn(title, about, points, {"height": HEIGHT, "encoding": curve, "layer": layers})


def _along(xs: Sequence[float], log: str) -> Plot:
    return {"type": "log", "domain": [min(xs), max(xs)]} if "x" in log else {"nice": False, "zero": False}


def _one_of(names: Sequence[str]) -> Plot:
    return {"field": "series", "oneOf": list(names)}


def _powers(values: Sequence[float]) -> tuple[float, float]:
    """The powers of ten around some values."""
    return 10.0 ** floor(log10(min(values))), 10.0 ** ceil(log10(max(values)))


def _round_values(low: float, high: float) -> list[float]:
    """The values 1, 2, 5 times a power of ten from low to high; the powers alone where that would be too many."""
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 5 else (1,)
    return [value for decade in decades for step in steps if low <= (value := step * 10.0**decade) <= high]


def bars(title: str, about: str, rows: Mapping[str, Mapping[str, float]], label: str, form: str = ".1f") -> str:
    """Horizontal bars, each stacked of named parts, with its sum at its end.

    Args:
        title: what it shows.
        about: the conditions, in small print.
        rows: the parts of each bar, by its name; parts of the same name have the same colour.
        label: what is counted, with its unit.
        form: how a sum is written, as d3-format has it.

    Returns:
        The SVG.
    """
    names = list(dict.fromkeys(name for parts in rows.values() for name in parts))
    values = [
        {"row": row, "series": name, "value": value, "place": names.index(name)}
        for row, parts in rows.items()
        for name, value in parts.items()
    ]
    along = {"field": "value", "type": "quantitative", "title": label}
    axis = {"labelExpr": "datum.label", "ticks": False, "domain": False, "labelLimit": 220, "labelPadding": 8}
    row = {"field": "row", "type": "nominal", "sort": list(rows), "title": None, "axis": axis}
    parts = {"x": along, "color": _colour(names), "order": {"field": "place"}}
    sums = {"aggregate": [{"op": "sum", "field": "value", "as": "value"}], "groupby": ["row"]}
    layers = [
        {"mark": {"type": "bar", "height": BAR - 10}, "encoding": parts},
        {"mark": {"type": "text", "align": "left", "dx": 5}, "transform": [sums]}
        | {"encoding": {"x": along, "text": {"field": "value", "format": form}}},
    ]
    return _drawn(title, about, values, {"height": {"step": BAR}, "encoding": {"y": row}, "layer": layers})


def _colour(names: Sequence[str]) -> Plot:
    """A colour for each; a floor is always grey."""
    colours: Iterator[str] = iter(SERIES)
    found = [GREY if name.startswith(FLOOR) else next(colours) for name in names]
    legend = {} if len(names) > 1 else {"legend": None}
    return {"field": "series", "type": "nominal", "scale": {"domain": list(names), "range": found}} | legend


def _drawn(title: str, about: str, values: Sequence[Plot], plot: Plot) -> str:
    head = {"title": {"text": title, "subtitle": about}, "width": WIDTH}
    return svg({"data": {"values": values}} | head | plot)
