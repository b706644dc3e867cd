"""The picture of a backtest: scores over time, where bands begin, what was warned of and what really happened."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from payflux.commands.backtest.course import Score
from payflux.commands.backtest.judging import Truth
from payflux.risk.episodes import Episode
from payflux.terminal.drawing import AXIS, GREY, INK, SERIES, svg

MOST_PROCESSORS = 8
WIDTH, HEIGHT = 900, 120
POINTS = 2000
"""Stretches of one curve; of each the highest point is shown, and the last."""

TIME = "utcFormat(datum.value, '%d %b %H:%M')"
WARNED, HAPPENED, NOTHING_WRONG = SERIES[3], SERIES[1], GREY

Row = dict[str, Any]


class Shown(NamedTuple):
    """What is drawn.

    Attributes:
        scores: every change, by second.
        warnings: what was warned of.
        truths: what really happened; none where nobody knows.
        seconds: beginning and end of the history, Unix seconds.
        thresholds: where the bands begin.
    """

    scores: Sequence[Score]
    warnings: Sequence[Episode]
    truths: Sequence[Truth]
    seconds: tuple[int, int]
    thresholds: tuple[float, ...]


def drawn(shown: Shown) -> str:
    """The SVG: a curve for each processor, those with warnings first.

    Raises:
        ModuleNotFoundError: the library that draws is not installed.
    """
    names = _processors(shown)
    rows = [row for name in names for row in _rows(shown, name)]
    first, last = shown.seconds
    across: Row = {"scale": {"type": "utc", "domain": [1000 * first, 1000 * last]}, "type": "temporal"}
    x: Row = {"field": "x", **across, "title": None, "axis": {"labelExpr": TIME, "grid": False, "tickCount": 8}}
    y: Row = {"field": "y", "type": "quantitative", "title": None, "scale": {"domain": [0, 1]}}
    y["axis"] = {"values": [0, *shown.thresholds], "tickCount": 4}
    layers = [
        _spans("happened", HAPPENED, 0.25, x),
        _spans("benign", NOTHING_WRONG, 0.2, x),
        {
            "transform": [{"filter": "datum.kind == 'score'"}],
            "mark": {"type": "line", "interpolate": "step-after", "color": SERIES[0], "strokeWidth": 1.6},
            "encoding": {"x": x, "y": y},
        },
        _warned(x),
        _words(x),
    ]
    head = {"text": "What PayFlux would have said", "subtitle": _legend(shown, len(names))}
    facet: Row = {"row": {"field": "processor", "type": "nominal", "title": None, "sort": names}}
    facet["row"]["header"] = {"labelAngle": 0, "labelAlign": "left", "labelColor": INK, "labelFontSize": 12}
    inner = {"width": WIDTH, "height": HEIGHT, "layer": layers}
    return svg({"data": {"values": rows}, "title": head, "facet": facet, "spec": inner})


def _processors(shown: Shown) -> list[str]:
    warned = [one.processor for one in shown.warnings] + [one.processor for one in shown.truths]
    seen = {score.processor for score in shown.scores}
    return [*dict.fromkeys(name for name in (*warned, *sorted(seen)) if name in seen)][:MOST_PROCESSORS]


def _legend(shown: Shown, processors: int) -> str:
    said = "score; red: warnings"
    if shown.truths:
        said += "; shaded: what really happened, grey where nothing was wrong"
    hidden = len({score.processor for score in shown.scores}) - processors
    return f"{said}; {hidden} more processors are not shown" if hidden else said


def _rows(shown: Shown, name: str) -> list[Row]:
    first, last = shown.seconds
    rows: list[Row] = [
        {"kind": "score", "x": 1000 * second, "y": score}
        for second, score in _thinned([one for one in shown.scores if one.processor == name], first, last)
    ]
    rows += [
        {"kind": "warned", "x": 1000 * one.opened_at, "x2": 1000 * (one.resolved_at or last)}
        for one in shown.warnings
        if one.processor == name
    ]
    rows += [
        {"kind": "benign" if one.benign else "happened", "name": one.scenario}
        | {"x": 1000 * one.began, "x2": 1000 * min(one.ended, last)}
        for one in shown.truths
        if one.processor == name
    ]
    return [row | {"processor": name} for row in rows]


def _thinned(scores: Sequence[Score], first: int, last: int) -> list[tuple[int, float]]:
    """The highest score of each stretch of time and its last one, from the beginning to the end."""
    stretch = max((last - first) // POINTS, 1)
    highest: dict[int, Score] = {}
    latest: dict[int, Score] = {}
    for one in scores:
        at = one.second // stretch
        latest[at] = one
        highest[at] = max(highest.get(at, one), one, key=_height)
    points = sorted((one.second, one.score) for one in {*highest.values(), *latest.values()})
    return [(first, 0.0), *points, (last, points[-1][1] if points else 0.0)]


def _height(one: Score) -> float:
    return one.score


def _spans(kind: str, colour: str, opacity: float, x: Row) -> Row:
    return {
        "transform": [{"filter": f"datum.kind == '{kind}'"}],
        "mark": {"type": "rect", "color": colour, "opacity": opacity},
        "encoding": {"x": x, "x2": {"field": "x2"}},
    }


def _warned(x: Row) -> Row:
    return {
        "transform": [{"filter": "datum.kind == 'warned'"}],
        "mark": {"type": "rule", "color": WARNED, "strokeWidth": 5},
        "encoding": {"x": x, "x2": {"field": "x2"}, "y": {"datum": 0.02}},
    }


def _words(x: Row) -> Row:
    return {
        "transform": [{"filter": "datum.kind == 'happened'"}],
        "mark": {"type": "text", "align": "left", "dx": 3, "fontSize": 9, "color": AXIS},
        "encoding": {"x": x, "y": {"datum": 0.95}, "text": {"field": "name"}},
    }
