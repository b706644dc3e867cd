"""Which events an exporter with a group of its own is to be given: all others are acked without it."""

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from payflux.event.outcome import NOTHING_DECLARED, Declared, outcome_of
from payflux.risk.assessment import BANDS


class _Looked(msgspec.Struct, gc=False):
    """The members of a line that are looked at."""

    event_type: str
    processor: str
    failure_category: str
    retry_result: str
    band: str | None = msgspec.field(name="processor_risk_band", default=None)


_decode = msgspec.json.Decoder(_Looked).decode


@dataclass(frozen=True)
class Choice:
    """Which lines are wanted: where nothing is named, any.

    Attributes:
        processors: of these.
        event_types: of these.
        outcomes: of these: `success`, `failure`, `neutral`.
        least_band: of processors in this risk band or above; with risk scoring off no line has one.
        declared: outcomes of event types that the operator has declared.
    """

    processors: Collection[str] = ()
    event_types: Collection[str] = ()
    outcomes: Collection[str] = ()
    least_band: str | None = None
    declared: Declared = NOTHING_DECLARED

    @property
    def takes_all(self) -> bool:
        """Whether nothing is left out, so that no line needs to be looked at."""
        return not (self.processors or self.event_types or self.outcomes or self.least_band)

    def text(self, processors: Collection[str] = ()) -> str:
        """What is wanted, in one form however it was set; empty where all is.

        Args:
            processors: of which alone there are any lines; of all where none is named.
        """
        named = [{*one} for one in (self.processors, processors) if one]
        said = {
            "processors": sorted(set[str].intersection(*named)) if named else None,
            "event_types": sorted({*self.event_types}) or None,
            "outcomes": sorted({*self.outcomes}) or None,
            "declared": sorted(self.declared) if self.outcomes and self.declared else None,
            "least_band": self.least_band,
        }
        told = {name: value for name, value in said.items() if value is not None}
        return msgspec.json.encode(told).decode() if told else ""

    def takes(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        seen = _decode(line)
        return (
            (not self.processors or seen.processor in self.processors)
            and (not self.event_types or seen.event_type in self.event_types)
            and (not self.outcomes or self._outcome(seen) in self.outcomes)
            and (self.least_band is None or self._is_at_least(seen.band, self.least_band))
        )

    def _outcome(self, seen: _Looked) -> str:
        return outcome_of(seen.event_type, seen.retry_result, seen.failure_category, self.declared).kind

    @staticmethod
    def _is_at_least(band: str | None, least: str) -> bool:
        return band is not None and BANDS.index(band) >= BANDS.index(least)
