"""The consumer's states: drawn as they are, none of them a dead end, all of the news made by somebody."""

import re
from pathlib import Path

from payflux.consume.states import TRANSITIONS, News, State

ROOT = Path(__file__).parent.parent.parent


def diagram() -> list[str]:
    """The lines of the diagram in ARCHITECTURE.md."""
    section = (ROOT / "ARCHITECTURE.md").read_text().split("\n## The consumer's states\n")[1].split("\n## ")[0]
    drawn = section.split("```mermaid\n")[1].split("```")[0]
    return [line.strip() for line in drawn.splitlines()]


def test_the_states_are_those_of_the_diagram() -> None:
    """Names and what is written in the boxes; the text below explains each."""
    boxes = dict(line.split(": ") for line in diagram() if re.fullmatch(r"\w+: .+", line))
    assert boxes == {state.name.lower(): state.value for state in State}
    section = (ROOT / "ARCHITECTURE.md").read_text().split("\n## The consumer's states\n")[1].split("\n## ")[0]
    assert re.findall(r"^- \*\*(.+?)\*\*:", section, re.MULTILINE) == [state.value for state in State]


def test_the_transitions_are_those_of_the_diagram() -> None:
    """Every arrow with its news, and no other."""
    arrows = [re.fullmatch(r"(\w+) --> (\w+): (.+)", line) for line in diagram()]
    drawn = {
        (State[arrow[1].upper()], News(news)): State[arrow[2].upper()]
        for arrow in arrows
        if arrow
        for news in arrow[3].split(", ")
    }
    assert drawn == TRANSITIONS
    assert "[*] --> standby" in diagram()


def test_every_state_is_reached_and_left() -> None:
    """From standby one comes everywhere, and from everywhere back."""
    for state in State:
        found = {state}
        for _ in State:
            found |= {to for (at, _), to in TRANSITIONS.items() if at in found}
        assert found == set(State)


def test_all_news_is_made_by_somebody_and_moves_something() -> None:
    """A name that only the table knows would be an arrow nobody goes."""
    code = "".join((ROOT / f"src/payflux/consume/{name}.py").read_text() for name in ("consumer", "membership"))
    made = set(re.findall(r"(?:_hear\(|return |else |if )News\.(\w+)", code))
    assert made == {news.name for news in News} == {news.name for _, news in TRANSITIONS}
