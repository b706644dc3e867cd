"""Panels of the dashboard as plots, each given the answers to its queries."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from payflux.risk.assessment import BANDS
from payflux.terminal.drawing import INK, NUMBER, SERIES, SOFT
from scripts.dashboards.grafana import WIDTH
from scripts.dashboards.panels import COLOURS, Panel

COLUMN, BESIDE, BELOW = 58, 84, 28
"""Pixels of a column of the grid, between panels beside each other, and between rows."""

GRAPH, STAT, TICKS = 150, 44, 4
"""Heights in pixels, and about how many numbers stand beside a graph."""

NAMED = dict(zip(COLOURS, ("#3f9c66", "#d6aa35", "#d9822b", "#c4485f"), strict=True))
BAND_COLOURS = dict(zip(BANDS, NAMED.values(), strict=True))
UNITS = {
    "eps": ("events/s", NUMBER),
    "reqps": ("requests/s", NUMBER),
    "bytes": ("bytes", NUMBER),
    "percentunit": ("", "format(datum.value, '.0%')"),
    "s": ("", "datum.value < 1 ? format(datum.value * 1000, '.3~r') + ' ms' : format(datum.value, '.3~r') + ' s'"),
}
"""What stands beside the scale, and how its numbers are written, by Grafana's word for the unit."""

Points = Sequence[tuple[float, float]]
Plot = dict[str, Any]


def graph(panel: Panel, series: Mapping[str, Points], minutes: float) -> Plot:
    """Lines or stacked areas over time, with the panel's thresholds behind them.

    Args:
        panel: what it shows.
        series: points by name, times in minutes since the start.
        minutes: the span of time shown.
    """
    label, written = UNITS.get(panel.unit, ("", NUMBER))
    values = [{"series": name, "x": x, "y": y} for name, points in series.items() for x, y in points]
    along: Plot = {
        "field": "x",
        "type": "quantitative",
        "scale": {"domain": [0, minutes], "nice": False},
        "title": None,
    }
    along["axis"] = {"grid": False, "labelExpr": "datum.value + ' min'", "labelFlush": True}
    highest = panel.highest if any(value["y"] for value in values) else panel.highest or 1
    scale = {"domain": [0, highest]} if highest is not None else {"zero": True, "nice": TICKS}
    upward: Plot = {"field": "y", "type": "quantitative", "title": label or None, "scale": scale}
    upward["axis"] = {"labelExpr": written, "tickCount": TICKS}
    upward["stack"] = "zero" if panel.stacked else None
    mark = {"type": "area", "opacity": 0.8} if panel.stacked else {"type": "line", "strokeWidth": 1.8}
    lines = {"mark": mark, "encoding": {"x": along, "y": upward, "color": _colour(panel, list(series))}}
    return {
        **_head(panel, GRAPH),
        "data": {"values": values},
        "layer": [*_bands(panel), lines if values else _words("none", SOFT)],
    }


def _head(panel: Panel, height: int) -> Plot:
    width = _width(panel)
    about = {} if panel.kind == "stat" else {"subtitle": panel.about}
    title = {"text": panel.title, "fontSize": 13, "limit": width, "offset": 8} | about
    return {"title": title, "width": width, "height": height}


def _width(panel: Panel) -> int:
    return panel.width * COLUMN - BESIDE


def _colour(panel: Panel, names: Sequence[str]) -> Plot:
    colours = [BAND_COLOURS.get(name, SERIES[place % len(SERIES)]) for place, name in enumerate(names)]
    legend = {"columns": max(1, _width(panel) // 150)}
    return {"field": "series", "type": "nominal", "scale": {"domain": list(names), "range": colours}, "legend": legend}


def _bands(panel: Panel) -> Iterator[Plot]:
    """A colour from each threshold to the next, and a line with its name."""
    edges = [(low or 0.0, colour) for low, colour in panel.steps]
    for (low, colour), (high, _) in pairwise([*edges, (panel.highest, "")]):
        behind = {"type": "rect", "color": NAMED[colour], "opacity": 0.12}
        yield {"data": {"values": [{}]}, "mark": behind, "encoding": {"y": {"datum": low}, "y2": {"datum": high}}}
        if low:
            name = next(band for band, known in BAND_COLOURS.items() if known == NAMED[colour])
            yield from _edge(low, f"{name} from {low:g}", NAMED[colour])


def _edge(low: float, name: str, colour: str) -> Iterator[Plot]:
    place: Plot = {"data": {"values": [{}]}, "encoding": {"y": {"datum": low}}}
    yield place | {"mark": {"type": "rule", "color": colour, "strokeDash": [4, 3]}}
    words = {"type": "text", "text": name, "x": "width", "align": "right", "dx": -4, "dy": -7}
    yield place | {"mark": words | {"fontSize": 10, "color": SOFT}}


def stat(panel: Panel, value: float) -> Plot:
    """One number, large, in the colour of its threshold."""
    colour = [colour for least, colour in panel.steps if least is None or value >= least][-1]
    return {**_head(panel, STAT), "layer": [_words(f"{value:.3g}", NAMED[colour], 26)]}


def table(panel: Panel, rows: Sequence[Mapping[str, str]]) -> Plot:
    """Labels and their values, a line each."""
    lines = [f"{label}: {value}" for row in rows for label, value in row.items()]
    return {**_head(panel, GRAPH), "layer": [_words(lines, INK, 13)]}


def _words(words: str | list[str], colour: str, size: int = 12) -> Plot:
    text = {"type": "text", "text": words, "x": 0, "y": 6, "align": "left", "baseline": "top", "lineHeight": 22}
    return {"data": {"values": [{}]}, "mark": text | {"color": colour, "fontSize": size, "fontWeight": "bold"}}


def whole(rows: Mapping[str, Sequence[tuple[Panel, Plot]]], caption: str) -> Plot:
    """All panels on Grafana's grid, row by row; rows keep the scales of their panels apart."""
    lines = [
        {"title": {"text": title} if first else {"text": ""}, "bounds": "flush", "spacing": BESIDE}
        | {"hconcat": plots, "resolve": {"scale": {"color": "independent"}, "legend": {"color": "independent"}}}
        for title, panels in rows.items()
        for first, plots in _lines(panels)
    ]
    foot = {"data": {"values": [{}]}, "width": WIDTH * COLUMN - BESIDE, "height": 16}
    foot["mark"] = {"type": "text", "text": caption, "x": 0, "align": "left", "color": SOFT}
    return {"vconcat": [*lines, foot], "spacing": BELOW}


def _lines(panels: Sequence[tuple[Panel, Plot]]) -> Iterator[tuple[bool, list[Plot]]]:
    """The panels that fit beside each other, and whether they are the first of their row."""
    left, line, first = 0, list[Plot](), True
    for panel, plot in panels:
        if left + panel.width > WIDTH:
            yield first, line
            left, line, first = 0, [], False
        left, line = left + panel.width, [*line, plot]
    yield first, line
