"""The plotter: the same figures give the same text, readable on light and dark pages."""

import re
import subprocess
import sys

import pytest

from benchmarks.machine import ROOT
from payflux.terminal.drawing import DARK, INK, PAGE, SOFT, svg
from pictures import texts

PLOT = {
    "title": {"text": "A & B", "subtitle": "<small>"},
    "data": {"values": [{"x": 1, "y": 1 / 3}, {"x": 2000, "y": 2 / 3}]},
    "mark": "line",
    "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
}


def test_the_same_plot_is_the_same_text() -> None:
    """In another process too: no time, no random id."""
    code = f"from payflux.terminal.drawing import svg; print(svg({PLOT!r}), end='')"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert again.stdout == svg(PLOT) == svg(PLOT)


def test_words_and_numbers_are_texts() -> None:
    """A reader can search and copy them, and large numbers are short."""
    found = texts(svg(PLOT))
    assert {"A & B", "<small>", "0.2", "2k"} <= set(found)


def test_a_dark_page_gets_colours_of_its_own() -> None:
    """Each that is drawn for a light page has one; the rest is legible on both."""
    drawn = svg(PLOT)
    assert f'fill="{PAGE}"' in drawn
    assert f'fill="{INK}"' in drawn
    (style,) = re.findall(r"<style>@media \(prefers-color-scheme:dark\)\{(.*)\}</style>", drawn)
    for light, dark in DARK.items():
        assert f"[fill='{light}']{{fill:{dark}}}" in style
        assert f"[stroke='{light}']{{stroke:{dark}}}" in style
    assert lightness(DARK[SOFT]) > lightness(DARK[PAGE]) + 0.4
    assert lightness(PAGE) > lightness(SOFT) + 0.4


def lightness(colour: str) -> float:
    """Of a colour, from 0 to 1."""
    return sum(int(colour[at : at + 2], 16) for at in (1, 3, 5)) / 3 / 255


def test_places_are_short() -> None:
    """A hundredth of a pixel is enough; figures in texts keep their digits."""
    drawn = svg(PLOT | {"title": "0.12345"})
    assert not re.search(r' d="[^"]*\.\d{3}', drawn)
    assert "0.12345" in texts(drawn)


def test_what_is_no_plot_is_refused() -> None:
    """Nothing is drawn of it."""
    with pytest.raises(ValueError, match="conversion failed"):
        svg({"mark": "nonsense"})
