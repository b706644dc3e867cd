"""The picture of a backtest."""

from payflux.commands.backtest.course import Score
from payflux.commands.backtest.judging import read_truths
from payflux.commands.backtest.picture import MOST_PROCESSORS, POINTS, WARNED, Shown, _thinned, drawn
from payflux.risk.episodes import Episode
from pictures import texts

START = 1_767_225_600
LABEL = b'{"scenario":"outage","processor":"stripe","start":"2026-01-01T00:01:00Z","end":"2026-01-01T00:11:00Z"}'


def scores(processor: str) -> list[Score]:
    """A score that rises and falls."""
    return [Score(START + at, processor, value, "low", "x") for at, value in ((0, 0.0), (100, 0.9), (900, 0.1))]


def test_it_shows_scores_warnings_and_what_happened() -> None:
    """Each with its words; times are UTC."""
    warning = Episode("stripe", "high_failure_rate", "", "", "high", START + 72, 0.7, START + 900)
    svg = drawn(Shown(scores("stripe"), [warning], read_truths(LABEL), (START, START + 1200), (0.3, 0.6, 0.8)))
    words = texts(svg)
    assert {"stripe", "outage", "0.3", "0.6", "0.8"} <= set(words)
    assert any(word.startswith("01 Jan 00:") for word in words)
    assert WARNED in svg


def test_a_picture_has_room_for_some_processors() -> None:
    """Those with warnings come first, and it says how many are not shown."""
    named = [f"p{number}" for number in range(MOST_PROCESSORS + 3)]
    warning = Episode(named[-1], "x", "", "", "high", START + 72, 0.7, START + 900)
    every = [one for name in named for one in scores(name)]
    words = texts(drawn(Shown(every, [warning], [], (START, START + 1200), (0.3, 0.6, 0.8))))
    assert named[-1] in words
    assert named[-2] not in words
    assert any("3 more processors are not shown" in word for word in words)


def test_a_long_curve_keeps_its_peaks() -> None:
    """Of the points between those that are drawn the highest is."""
    many = [Score(START + at, "p", 0.9 if at == 55_555 else 0.1, "low", "x") for at in range(100_000)]
    points = _thinned(many, START, START + 100_000)
    assert len(points) <= 2 * POINTS + 4
    assert points[0] == (START, 0.0)
    assert [(x - START, y) for x, y in points if y > 0.1] == [(55_555, 0.9)]
    assert points[-1] == (START + 100_000, 0.1)
