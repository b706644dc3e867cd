"""Plots as SVG, written by hand: lines and stacked bars, readable on light and dark pages."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate, pairwise
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH = 760
LEFT, RIGHT, TOP, BOTTOM = 78, 24, 88, 54
HEIGHT = 410
COLORS = ("#3b6fb6", "#d9822b", "#4a9d5b", "#b8434e", "#7d5ba6", "#7f8790")
STYLE = (
    "svg{font:13px system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif}"
    ".page{fill:#fff}.ink{fill:#222}.soft{fill:#666}.rule{stroke:#e3e5e8}.axis{stroke:#9aa0a6}"
    "@media(prefers-color-scheme:dark){.page{fill:#15181c}.ink{fill:#e8eaed}.soft{fill:#a8adb3}"
    ".rule{stroke:#2b3036}.axis{stroke:#686e75}}"
)
BAR, GAP = 20, 12
DASHED = " (model)"
"""A series whose name ends so is drawn dashed."""

FLOOR = "floor"
"""What a part of a bar is called that is no cost of ours."""

Point = tuple[float, float]


class Axis(NamedTuple):
    """One direction of a plot.

    Attributes:
        label: what it counts, with its unit.
        low: value at its beginning.
        high: value at its end.
        log: whether equal steps are equal ratios.
    """

    label: str
    low: float
    high: float
    log: bool

    def place(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        if self.log:
            return (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values on it."""
        if self.log:
            decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
            steps = (1, 2, 5) if len(decades) <= 4 else (1,)
            found = [step * 10.0**decade for decade in decades for step in steps]
        else:
            step = _step(self.high - self.low)
            found = [self.low + step * number for number in range(int((self.high - self.low) / step + 1.001))]
        return [tick for tick in found if self.low * 0.999 <= tick <= self.high * 1.001]


def _step(span: float) -> float:
    """A round step that divides a span into four to eight."""
    size: float = 10.0 ** floor(log10(span / 5))
    return next(step * size for step in (1, 2, 5, 10) if span / (step * size) <= 8)


def axis(label: str, values: Sequence[float], *, log: bool = False) -> Axis:
    """An axis that holds some values; one that is not logarithmic begins at 0."""
    if log:
        least, most = min(values), max(values)
        return Axis(label, least / (1.0 if most > least else 2), most if most > least else most * 2, log=True)
    step = _step(max(*values, 1e-9))
    return Axis(label, 0.0, ceil(max(*values, 1e-9) / step) * step, log=False)


def readable(value: float) -> str:
    """A tick's number."""
    if value == 0:
        return "0"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


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
        x_label: of the horizontal axis.
        y_label: of the vertical axis.
        log: the directions that are logarithmic: `x`, `y`, `xy` or none.

    Returns:
        The SVG.
    """
    points = [point for curve in series.values() for point in curve]
    xs = axis(x_label, [x for x, _ in points], log="x" in log)
    ys = _vertical(y_label, [y for _, y in points], log="y" in log)
    if not xs.log:
        xs = xs._replace(high=max(x for x, _ in points))
    parts = [*_grid(xs, ys)]
    for (name, curve), color in zip(series.items(), COLORS, strict=False):
        places = [(_x(xs, x), _y(ys, y)) for x, y in curve]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dash = ' stroke-dasharray="6 5"' if name.endswith(DASHED) else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2.2"{dash}/>')
        if len(places) <= 24 and not dash:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{color}"/>' for x, y in places]
    return _page(title, about, HEIGHT, [*parts, *_legend(list(series))])


def _vertical(label: str, values: Sequence[float], *, log: bool) -> Axis:
    found = axis(label, values, log=log)
    if not log:
        return found
    return found._replace(low=10.0 ** floor(log10(found.low)), high=10.0 ** ceil(log10(found.high)))


def _x(along: Axis, value: float) -> float:
    return LEFT + along.place(value) * (WIDTH - LEFT - RIGHT)


def _y(along: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - along.place(value) * (HEIGHT - TOP - BOTTOM)


def _grid(xs: Axis, ys: Axis) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick in ys.ticks():
        y = _y(ys, tick)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="soft" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{readable(tick)}</text>')
    for tick in xs.ticks():
        x = _x(xs, tick)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(f'<text class="soft" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{readable(tick)}</text>')
    middle = (TOP + bottom) / 2
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    label = (
        f'<text class="soft" x="{(LEFT + right) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(xs.label)}</text>'
    )
    turned = f'transform="rotate(-90 20 {middle})" x="20" y="{middle}" text-anchor="middle"'
    return [*parts, label, f'<text class="soft" {turned}>{escape(ys.label)}</text>']


def bars(title: str, about: str, rows: Mapping[str, Mapping[str, float]], label: str, form: str = ".1f") -> str:
    """Horizontal bars, each stacked of named parts, with its sum at its end.

    Args:
        title: what it shows.
        about: the conditions, in small print.
        rows: the parts of each bar, by its name; parts of the same name have the same colour.
        label: what is counted, with its unit.
        form: how a sum is written.

    Returns:
        The SVG.
    """
    names = list(dict.fromkeys(name for parts in rows.values() for name in parts))
    left = 24 + 7 * max(map(len, rows))
    height = TOP + len(rows) * (BAR + GAP) + BOTTOM
    along = axis(label, [sum(parts.values()) for parts in rows.values()])
    scale = (WIDTH - left - RIGHT - 60) / along.high
    svg = []
    for tick in along.ticks():
        x, bottom = left + tick * scale, height - BOTTOM
        svg.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
        svg.append(f'<text class="soft" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{readable(tick)}</text>')
    for number, (name, parts) in enumerate(rows.items()):
        y = TOP + number * (BAR + GAP) + GAP / 2
        svg.append(f'<text class="ink" x="{left - 8}" y="{y + 15:.1f}" text-anchor="end">{escape(name)}</text>')
        edges = list(pairwise(accumulate(parts.values(), initial=0.0)))
        for part, (start, end) in zip(parts, edges, strict=True):
            place = f'x="{left + start * scale:.1f}" y="{y:.1f}" width="{(end - start) * scale:.1f}" height="{BAR}"'
            svg.append(f'<rect {place} fill="{_colors(names)[part]}"/>')
        total = edges[-1][1] if edges else 0.0
        svg.append(
            f'<text class="ink" x="{left + total * scale + 6:.1f}" y="{y + 15:.1f}">{format(total, form)}</text>'
        )
    svg.append(f'<text class="soft" x="{left}" y="{height - 12}">{escape(label)}</text>')
    return _page(title, about, height, [*svg, *(_legend(names) if len(names) > 1 else [])])


def _colors(names: Sequence[str]) -> dict[str, str]:
    """A colour for each; a floor is always grey."""
    return {name: COLORS[-1] if name == FLOOR else color for name, color in zip(names, COLORS, strict=False)}


def _legend(names: Sequence[str]) -> list[str]:
    parts, x = [], 24.0
    for name, color in _colors(names).items():
        dash = ' stroke-dasharray="6 5"' if name.endswith(DASHED) else ""
        parts.append(f'<line x1="{x:.0f}" x2="{x + 20:.0f}" y1="59" y2="59" stroke="{color}" stroke-width="6"{dash}/>')
        parts.append(f'<text class="ink" x="{x + 26:.0f}" y="63">{escape(name)}</text>')
        x += 48 + 7.2 * len(name)
    return parts


def _page(title: str, about: str, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    body = [
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text class="ink" x="24" y="26" font-size="16" font-weight="600">{escape(title)}</text>',
        f'<text class="soft" x="24" y="44" font-size="12">{escape(about)}</text>',
    ]
    return "\n".join([head, *body, *parts, "</svg>", ""])
