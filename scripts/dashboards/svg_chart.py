"""Charts as SVG, drawn by hand: lines or stacked areas over time with axes, legend and bands; numbers, tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

INK, MUTED, GRID, PAPER, CARD = "#1f2933", "#66737f", "#e4e8ec", "#f4f6f8", "#ffffff"
SERIES = ("#3b6fd4", "#e07b39", "#2f9e77", "#c2436c", "#8660c9", "#b8962e", "#4aa5c4", "#7a8794", "#9c5b3b", "#5b8c2a")
NAMED = {"green": "#2f9e77", "yellow": "#e3b341", "orange": "#e07b39", "red": "#cf3f4f"}
FONT = "font-family='Inter,Helvetica,Arial,sans-serif'"

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Box:
    """A rectangle of the picture."""

    x: float
    y: float
    width: float
    height: float

    def inset(self, left: float, top: float, right: float, bottom: float) -> "Box":
        """The rectangle without its margins."""
        return Box(self.x + left, self.y + top, self.width - left - right, self.height - top - bottom)


def scaled(value: float, unit: str) -> str:
    """A number with its unit, in the three figures a person reads; `unit` in Grafana's words."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s" and value and abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    for size, prefix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}{UNITS.get(unit, '')}".strip()
    return f"{value:.3g} {UNITS.get(unit, '')}".strip()


UNITS = {"eps": "events/s", "reqps": "req/s", "s": "s", "bytes": "B"}
RATES = ("eps", "reqps")
"""Units said once, above the scale."""


def ticks(highest: float, wanted: int = 4) -> list[float]:
    """Round numbers from 0 to at least `highest`."""
    rough = max(highest, 1e-9) / wanted
    size = 10.0 ** floor(log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    return [number * step for number in range(ceil(highest / step - 1e-9) + 1)] if highest else [0.0, 1.0]


def text(x: float, y: float, words: str, *, size: float = 11, colour: str = INK, style: str = "") -> str:
    """A line of words."""
    return f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{colour}' {style}>{escape(words)}</text>"


def card(box: Box, title: str, about: str) -> Iterator[str]:
    """The frame of a panel, with its title and what to read from it."""
    yield (
        f"<rect x='{box.x:.1f}' y='{box.y:.1f}' width='{box.width:.1f}' height='{box.height:.1f}' rx='6' "
        f"fill='{CARD}' stroke='{GRID}'/>"
    )
    yield text(box.x + 14, box.y + 22, title, size=13, style="font-weight='600'")
    if about:
        yield text(box.x + 14, box.y + 38, fitting(about, box.width - 28, 10), size=10, colour=MUTED)


def fitting(words: str, width: float, size: float) -> str:
    """As much as there is room for, by the mean width of a letter."""
    room = int(width / (size * 0.5))
    return words if len(words) <= room else words[: room - 1].rstrip(" ,.;:") + "…"


@dataclass(frozen=True)
class Chart:
    """Lines over time.

    Attributes:
        series: points by name, times in seconds.
        start, end: the span of time shown.
        unit: of the values, in Grafana's words.
        stacked: the series are parts of one whole.
        bands: from which value on which colour lies behind the lines.
        highest: where the scale ends; by the data where it is None.
    """

    series: Mapping[str, Points]
    start: float
    end: float
    unit: str = "short"
    stacked: bool = False
    bands: Sequence[tuple[float | None, str]] = ()
    highest: float | None = None

    def draw(self, box: Box) -> Iterator[str]:
        """The chart in a rectangle, its legend below."""
        legend = list(self._legend(box))
        plot = box.inset(60, 4, 24, 24 + 15 * (1 + max((row for row, _, _ in legend), default=0)))
        values = ticks(self.highest if self.highest is not None else self._top())

        def across(at: float) -> float:
            return plot.x + plot.width * (at - self.start) / (self.end - self.start)

        def up(value: float) -> float:
            return plot.y + plot.height * (1 - min(value / values[-1], 1.0))

        if self.unit in RATES:
            yield text(box.x + box.width - 14, box.y - 24, UNITS[self.unit], size=10, colour=MUTED, style=END)
        yield from self._bands(plot, values[-1], up)
        yield from self._axes(plot, values, across, up)
        yield from self._lines(across, up)
        yield from self._band_names(plot, up)
        if not self.series:
            yield text(plot.x + plot.width / 2, plot.y + plot.height / 2, "none", colour=MUTED, style=MIDDLE)
        for row, x, name in legend:
            y = plot.y + plot.height + 34 + 15 * row
            yield f"<rect x='{x:.1f}' y='{y - 8:.1f}' width='10' height='8' rx='2' fill='{self._colour(name)}'/>"
            yield text(x + 15, y, name, size=10.5)

    def _legend(self, box: Box) -> Iterator[tuple[int, float, str]]:
        """Row and place of each name, in as many rows as it takes."""
        row, x = 0, box.x + 14
        for name in self.series:
            width = 32 + 5.8 * len(name)
            if x + width > box.x + box.width and x > box.x + 14:
                row, x = row + 1, box.x + 14
            yield row, x, name
            x += width

    def _top(self) -> float:
        if not self.stacked:
            return max((value for points in self.series.values() for _, value in points), default=0.0)
        totals: dict[float, float] = {}
        for points in self.series.values():
            for at, value in points:
                totals[at] = totals.get(at, 0.0) + value
        return max(totals.values(), default=0.0)

    def _colour(self, name: str) -> str:
        return BAND_COLOURS.get(name) or SERIES[list(self.series).index(name) % len(SERIES)]

    def _bands(self, plot: Box, top: float, up: Callable[[float], float]) -> Iterator[str]:
        edges = [(value or 0.0, colour) for value, colour in self.bands]
        for (low, colour), (high, _) in zip(edges, [*edges, (top, "")][1:], strict=True):
            yield (
                f"<rect x='{plot.x:.1f}' y='{up(high):.1f}' width='{plot.width:.1f}' "
                f"height='{up(low) - up(high):.1f}' fill='{NAMED[colour]}' opacity='0.12'/>"
            )
            if low:
                line = f"x1='{plot.x:.1f}' x2='{plot.x + plot.width:.1f}' y1='{up(low):.1f}' y2='{up(low):.1f}'"
                yield f"<line {line} stroke='{NAMED[colour]}' stroke-dasharray='4 3'/>"

    def _band_names(self, plot: Box, up: Callable[[float], float]) -> Iterator[str]:
        for low, colour in self.bands:
            if low:
                words = f"{BAND_NAMES[colour]} from {low:g}"
                yield text(plot.x + plot.width - 4, up(low) - 4, words, size=10, colour=MUTED, style=f"{END} {HALO}")

    def _axes(
        self, plot: Box, values: Sequence[float], across: Callable[[float], float], up: Callable[[float], float]
    ) -> Iterator[str]:
        for value in values:
            y = up(value)
            yield f"<line x1='{plot.x:.1f}' x2='{plot.x + plot.width:.1f}' y1='{y:.1f}' y2='{y:.1f}' stroke='{GRID}'/>"
            label = scaled(value, "short" if self.unit in RATES else self.unit) if value else "0"
            yield text(plot.x - 6, y + 3.5, label, size=10, colour=MUTED, style=END)
        for minute in range(int((self.end - self.start) // 60) + 1):
            if plot.width > 300 or minute % 2 == 0:
                x = across(self.start + 60 * minute)
                yield text(x, plot.y + plot.height + 15, f"{minute} min", size=10, colour=MUTED, style=MIDDLE)

    def _lines(self, across: Callable[[float], float], up: Callable[[float], float]) -> Iterator[str]:
        below: dict[float, float] = {}
        times = sorted({at for points in self.series.values() for at, _ in points})
        for name, points in self.series.items():
            colour = self._colour(name)
            if not self.stacked:
                path = " ".join(f"{across(at):.1f},{up(value):.1f}" for at, value in points)
                yield f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='1.8'/>"
                continue
            known = dict(points)
            lower = [f"{across(at):.1f},{up(below.get(at, 0.0)):.1f}" for at in reversed(times)]
            for at in times:
                below[at] = below.get(at, 0.0) + known.get(at, 0.0)
            upper = [f"{across(at):.1f},{up(below[at]):.1f}" for at in times]
            yield f"<polygon points='{' '.join(upper + lower)}' fill='{colour}' opacity='0.75'/>"


MIDDLE, END = "text-anchor='middle'", "text-anchor='end'"
HALO = "paint-order='stroke' stroke='#ffffff' stroke-width='3' stroke-opacity='0.8'"
BAND_COLOURS = dict(zip(("low", "elevated", "high", "critical"), NAMED.values(), strict=True))
BAND_NAMES = dict(zip(NAMED, BAND_COLOURS, strict=True))


def number(box: Box, value: str, colour: str) -> Iterator[str]:
    """One number, large."""
    yield f"<rect x='{box.x:.1f}' y='{box.y:.1f}' width='4' height='{box.height:.1f}' rx='2' fill='{NAMED[colour]}'/>"
    yield text(box.x + 14, box.y + box.height - 14, value, size=24, style="font-weight='600'")


def table(box: Box, rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Labels and their values, a line each."""
    for place, (label, value) in enumerate((label, value) for row in rows for label, value in row.items()):
        y = box.y + 20 + 24 * place
        yield text(box.x + 14, y, label, colour=MUTED)
        yield text(box.x + 110, y, value, style="font-weight='600'")


def picture(width: float, height: float, parts: Sequence[str]) -> str:
    """The parts as one SVG file."""
    size = f"width='{width:.0f}' height='{height:.0f}' viewBox='0 0 {width:.0f} {height:.0f}'"
    paper = f"<rect width='{width:.0f}' height='{height:.0f}' fill='{PAPER}'/>"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} {FONT}>\n{paper}\n" + "\n".join(parts) + "\n</svg>\n"
