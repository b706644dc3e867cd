"""All payments at one processor: the normal ones, and those that incidents add, each from a source of its own."""

from collections.abc import Iterator

from payflux.load.corpus.attempts import Pins, Profile, Source, pins_of
from payflux.load.corpus.scenarios import Extra, Incident
from payflux.load.corpus.seasons import Minute


class Lane:
    """The sources of one processor's payments.

    Args:
        seed: where all chance comes from.
        profile: the processor.
        names: the processor of each source of the traffic, by number; grows.
    """

    def __init__(self, seed: int, profile: Profile, names: list[str]) -> None:
        self.profile = profile
        self._seed = seed
        self._names = names
        self._normal = self._source("normal", Pins())
        self._extras: dict[Incident, Source] = {}

    def sources(self, second: int) -> Iterator[tuple[Source, float, Minute]]:
        """The sources that payments begin at in a second, how many each is expected to give, and what is normal then.

        Seconds must not fall.
        """
        minute = self.profile.course.minute(second // 60)
        conditions = self.profile.conditions(second)
        yield self._normal, minute.rate * conditions.traffic, minute
        for incident, extra, strength in conditions.extras:
            rate = max(extra.share * minute.rate * strength, extra.least) * min(conditions.traffic, 1.0)
            yield self._extra(incident, extra), rate, minute

    def _extra(self, incident: Incident, extra: Extra) -> Source:
        if incident not in self._extras:
            name = f"{incident.name} {round(1000 * incident.start)}"
            self._extras[incident] = self._source(name, pins_of(extra, self.profile.geos))
        return self._extras[incident]

    def _source(self, name: str, pins: Pins) -> Source:
        self._names.append(self.profile.name)
        return Source(len(self._names) - 1, self._seed, name, self.profile, pins)
