"""What is said of processors by another who scores: known before an event is carried on, and never ahead of it."""

import msgspec
import pytest

from payflux.consume.onward.assessed import Assessed
from payflux.risk.assessment import RiskAssessment


class Said:
    """A log that is told what it says."""

    def __init__(self) -> None:
        self.scored = b"0-0"
        self.log: list[tuple[bytes, bytes]] = []
        self.latest: list[bytes] = []
        self.asked: list[bytes] = []

    async def connect(self) -> None:
        """Nothing to connect."""

    async def scored_up_to(self) -> bytes:
        """As told."""
        return self.scored

    async def latest_assessments(self) -> list[bytes]:
        """As told."""
        return self.latest

    async def assessed(self, after: bytes) -> list[tuple[bytes, bytes]]:
        """What came after."""
        self.asked.append(after)
        return [one for one in self.log if one[0] > after]

    def say(self, entry: bytes, second: int, score: float) -> None:
        """One assessment more."""
        self.log.append((entry, msgspec.json.encode(RiskAssessment(second, "stripe", score))))


class Waited(Exception):
    """It was waited for somebody to score."""


async def test_it_waits_for_whoever_scores_and_knows_what_was_said() -> None:
    """Not a moment longer; and it reads only what is new."""
    said, waits = Said(), 0
    assessed = Assessed(said)
    said.log.append((b"1-0", b"rubbish"))
    said.say(b"2-0", 10, 0.5)

    async def stay() -> None:
        nonlocal waits
        waits += 1
        said.scored = b"5-0"

    await assessed.reach(b"5-0", stay)
    assert waits == 1
    assert assessed.history.at("stripe", 11).score == 0.5
    said.say(b"3-0", 20, 0.9)
    await assessed.reach(b"4-0", stay)  # known already
    assert assessed.history.at("stripe", 21).score == 0.5
    said.scored = b"6-0"
    await assessed.reach(b"6-0", stay)
    assert (assessed.history.at("stripe", 20).score, assessed.history.at("stripe", 21).score) == (0.5, 0.9)
    assert (waits, said.asked) == (1, [b"0-0", b"2-0"])


async def test_what_ends_the_waiting_is_heard() -> None:
    """The consumer stops, or loses its lease."""

    async def stay() -> None:
        raise Waited

    with pytest.raises(Waited):
        await Assessed(Said()).reach(b"1-0", stay)


async def test_what_fell_out_of_the_log_is_known_by_the_latest() -> None:
    """Said of a processor long ago, and nothing since."""
    said = Said()
    said.latest.append(msgspec.json.encode(RiskAssessment(3, "stripe", 0.7)))
    said.scored = b"9-0"

    async def stay() -> None:
        raise Waited

    assessed = Assessed(said)
    await assessed.reach(b"9-0", stay)
    assert assessed.history.at("stripe", 4).score == 0.7
