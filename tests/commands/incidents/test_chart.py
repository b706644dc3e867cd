"""The chart of half an hour shows what held when, in at most 80 columns."""

from payflux.commands.incidents.chart import STEP_SEC, STEPS, drawn, heights

END = 1_767_277_800


def test_a_value_holds_until_the_next_one() -> None:
    """From before the beginning, through a short rise, to the end."""
    values = heights([(END - 10_000, 0.2), (END - 300, 0.9), (END - 290, 0.4)], END)
    assert len(values) == STEPS
    assert set(values[:50]) == {0.2}
    assert values[50] == 0.9
    assert set(values[51:]) == {0.4}


def test_before_the_first_one_there_is_nothing() -> None:
    """And what is said of the end itself still has a step."""
    values = heights([(END - STEP_SEC, 1.0)], END)
    assert (values[:-1], values[-1]) == ([0.0] * (STEPS - 1), 1.0)
    assert heights([], END) == [0.0] * STEPS


def test_it_is_small_and_has_scales() -> None:
    """Rows of blocks, the scale at the left and the time below."""
    lines = list(drawn([0.0] * 20 + [0.01] * 20 + [1.0] * 20, END))
    assert max(map(len, lines)) <= 80
    assert lines[0] == "  1.0 " + " " * 40 + "█" * 20
    assert lines[3] == "      " + " " * 20 + "▁" * 20 + "█" * 20
    assert lines[5].split() == ["14:00", "14:15", "14:30"]
