"""The pictures of terminals: made anew they say what they said, and eighty columns hold what matters."""

import re

import pytest
from rich.text import Text

from deploying import ROOT
from pictures import texts
from scripts.docs.screens import COLUMNS, LINES, SCREENS, drawn, screens

PICTURES = ROOT / "docs" / "img" / "terminal"
Screens = dict[str, list[Text]]

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def shown() -> Screens:
    """What each command leaves on a terminal."""
    return screens()


def plain(lines: list[Text]) -> list[str]:
    """A screen without colours."""
    return [line.plain.rstrip() for line in lines]


def test_the_pictures_are_what_the_commands_show(shown: Screens) -> None:
    """Word for word; `make screens` draws them."""
    assert {file.stem for file in PICTURES.glob("*.svg")} == set(SCREENS)
    for name, lines in shown.items():
        assert len(lines) <= LINES
        assert max(line.cell_len for line in lines) <= COLUMNS
        assert texts((PICTURES / f"{name}.svg").read_text()) == texts(drawn(name, lines)), name


def test_tail_shows_the_risk_first(shown: Screens) -> None:
    """Score and band at the beginning of each row, and each row whole on one line."""
    _, head, *rows, prompt = plain(shown["tail"])
    assert (head.split()[0], prompt) == ("risk", "$")
    assert all(re.match(r"0\.\d\d (low|elevated|high|critical) ", row) for row in rows)
    assert any(row.startswith("0.88 critical") and row.endswith("processor_timeout") for row in rows)


def test_dead_letters_are_listed_with_whole_ids(shown: Screens) -> None:
    """Those that `dlq show` and a search for the event take."""
    text = "\n".join(plain(shown["dlq-list"]))
    assert len(re.findall(r"^17679579\d{5}-0 ", text, re.MULTILINE)) == 3
    assert len(re.findall(r" 17679578\d{5}-0$", text, re.MULTILINE)) == 3
    assert "event id 550e8400-e29b-41d4-a716-446655440002" in text
    assert "…" not in text


def test_config_tells_each_setting_over_the_whole_width(shown: Screens) -> None:
    """What is set comes last, and no meaning is squeezed into a column."""
    lines = plain(shown["config"])
    assert lines[-3].startswith("PAYFLUX_")
    meanings = [line for line in lines if line.startswith("    ")]
    assert max(map(len, meanings)) > COLUMNS / 2


def test_failures_of_a_check_stand_at_its_end(shown: Screens) -> None:
    """Below everything that passed, with what to do, above the result."""
    lines = plain(shown["check"])
    verdicts = [line[:4] for line in lines if re.match("pass|warn|fail", line)]
    assert verdicts == sorted(verdicts, key=["pass", "warn", "fail"].index)
    assert verdicts[-1] == "fail"
    assert lines[-2].startswith("Result: fail")
