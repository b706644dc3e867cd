"""The course of a backtest: events through the scorer in their own time; what is to be shown is gathered."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from payflux.commands.backtest.history import Timed
from payflux.commands.backtest.rules import Compared
from payflux.event.outcome import Declared
from payflux.risk.assessment import RiskAssessment
from payflux.risk.episodes import Episode, Episodes
from payflux.risk.judge import Limits
from payflux.risk.reading import observed
from payflux.risk.scoring import Scorer


class Score(NamedTuple):
    """The risk of a processor from one second on, until its next one."""

    second: int
    processor: str
    score: float
    band: str
    driver: str


Keep = Callable[[Score], None]


class Course:
    """Runs the scorer as a node would: a second is closed when an event of a later one is read.

    Args:
        limits: thresholds and hold.
        declared: outcomes of event types that the operator has declared.
        least: the lowest band that is a warning.
        rules: others to be compared.
        keep: given every change of a score.

    Attributes:
        processors: whose events were scored, with the number of attempts.
    """

    def __init__(
        self, limits: Limits, declared: Declared, least: str, rules: Sequence[Compared] = (), keep: Keep | None = None
    ) -> None:
        self._scorer = Scorer(limits)
        self._declared = declared
        self._episodes = Episodes(least)
        self._rules = rules
        self._keep = keep
        self.seconds = (0, 0)

    @property
    def warnings(self) -> list[Episode]:
        """What would have been warned of, in the order it began."""
        return self._episodes.found

    def run(self, history: Iterable[Timed]) -> None:
        """Run through a history to its end; to be called once."""
        observe, declared, rules = self._scorer.observe, self._declared, self._rules
        now = first = -1
        for at_ms, entry in history:
            if at_ms // 1000 > now:
                now = at_ms // 1000
                first = now if first < 0 else first
                self._close(now - 1)
            seen = observed(entry, declared)
            if seen is None:
                continue
            observe(at_ms, entry.processor, seen, entry.latency_ms, entry.currency, entry.amount_minor)
            if rules and seen.attempt:
                for rule in rules:
                    rule.take(now, entry.processor, failed=seen.failed)
        self._close(now)
        self.seconds = (first, now + 1)

    def _close(self, second: int) -> None:
        for said in self._scorer.tick(second):
            self._episodes.take(said)
            if self._keep is not None:
                self._keep(_score(said))


def _score(said: RiskAssessment) -> Score:
    return Score(said.second + 1, said.processor, said.score, said.band, said.names[0])
