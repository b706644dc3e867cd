"""Side streams: what is watched besides the segments: categories, soft declines, retries, card testing, geographies."""

from math import exp

from payflux.risk.detectors.registry import KINDS
from payflux.risk.drivers import EXPLAINED, Finding
from payflux.risk.evidence.baseline import Verdict
from payflux.risk.evidence.breadth import WATCHED, Breadth
from payflux.risk.evidence.latencies import Latencies
from payflux.risk.evidence.segments import FORGET_SEC, Segments
from payflux.risk.evidence.shares import Group, Trials
from payflux.risk.evidence.streams import CARD_TESTING, CATEGORY, GEO_SHARE, OTHER_CATEGORY, RETRIES, SOFT, Kind, Stream
from payflux.risk.observation import OTHER_VALUE, Observation, is_attended
from payflux.risk.tally import ATTEMPTS, COUNT, TRAFFIC

RETRY_MEMORY_SEC = 25.0
"""Failures are retried within about so long."""

GEO_STEP_SEC = 10

SOFTLY, RETRY, SMALL = "soft_declines", "retries", "small"
"""The only shares of their groups."""

ELSEWHERE = "\0"
"""Ends the key of a category whose failures do not count: the same name may be sent with another origin."""

Hits = dict[str, Trials]


class SideStreams:
    """One processor's side streams.

    Attributes:
        categories: failures by category, of the attempts by channel.
        soft: soft declines, of the same.
        retries: retries of attended channels, of the attempts there.
        cards: small amounts, of the failures.
        geos: geographies, of the events.
        signs: what detectors look for, of the attempts.
        latencies: slow answers.
        breadth: where soft declines come from.
        failing: the last second with events, and failures a second, of late.
        geo_step: which ten seconds the geographies were last looked at in.
        geo_totals: the totals of each geography then.
        geo_before: the total of all traffic then.
    """

    def __init__(self) -> None:
        self.categories = Group("category")
        self.soft = Group("origin")
        self.retries = Group("")
        self.cards = Group("")
        self.geos = Group("geo")
        self.signs = Group("")
        self.soft.admit({SOFTLY: SOFT})
        self.retries.admit({RETRY: RETRIES})
        self.cards.admit({SMALL: CARD_TESTING})
        self.signs.admit(KINDS)
        self.latencies = Latencies()
        self.breadth = Breadth()
        self.failing = (0, 0.0)
        self.geo_step = -1
        self.geo_totals: dict[str, int] = {}
        self.geo_before = 0
        self._kinds: dict[str, Kind] = {}
        self._categories: Hits = {}
        self._soft: Trials = {}
        self._signs: Hits = {}
        self._retries: Trials = {}
        self._small = 0

    def groups(self) -> tuple[Group, ...]:
        """All groups of shares."""
        return self.categories, self.soft, self.retries, self.cards, self.geos, self.signs

    def streams(self) -> list[Stream]:
        """All streams."""
        shares = [share.stream for group in self.groups() for share in group.shares.values()]
        return [*shares, self.latencies.share.stream]

    def open(self) -> None:
        """Begin a second."""
        self._kinds, self._categories, self._soft, self._retries, self._small = {}, {}, {}, {}, 0
        self._signs = {}

    def note(self, seen: Observation, times: int, channel: str) -> None:
        """Take in failures or retries.

        Args:
            seen: what was observed.
            times: how often.
            channel: its channel, `other` where there is no room for it.
        """
        if seen.retried and seen.attempt and seen.attended:
            self._retries[channel] = self._retries.get(channel, 0) + times
        for sign in seen.signs if seen.attempt else ():
            hits = self._signs.setdefault(sign, {})
            hits[channel] = hits.get(channel, 0) + times
        if not seen.failed:
            return
        if seen.category:
            key = seen.category if seen.counts else seen.category + ELSEWHERE
            self._kinds[key] = CATEGORY if seen.counts else OTHER_CATEGORY
            hits = self._categories.setdefault(key, {})
            hits[channel] = hits.get(channel, 0) + times
        if seen.soft:
            self._soft[channel] = self._soft.get(channel, 0) + times
        if seen.small:
            self._small += times

    def step(
        self, second: int, segments: Segments, failures: int, latencies: dict[int, int], before: int
    ) -> list[Stream]:
        """End the second.

        Args:
            second: stream time.
            segments: whose `growth` is the second's.
            failures: failures in it.
            latencies: latencies in it by class.
            before: the total of all traffic before it.

        Returns:
            The streams with some evidence.
        """
        channels = {value: n for value, one in segments.dimensions[3].items() if (n := one.growth >> ATTEMPTS & COUNT)}
        live: list[Stream] = []
        if channels:
            live += self._step_attempts(second, channels, before)
        usual = self._usual_retries(second, segments, failures)
        if attended := {channel: n for channel, n in channels.items() if is_attended(channel)}:
            live += self.retries.step(second, attended, {RETRY: self._retries}, before, usual)
        if failures:
            live += self.cards.step(second, {"": failures}, {SMALL: {"": self._small}}, before)
        live += self._step_geos(second, segments, before)
        if latencies and self.latencies.step(second, latencies, before) > EXPLAINED:
            live.append(self.latencies.share.stream)
        return live

    def _step_attempts(self, second: int, channels: Trials, before: int) -> list[Stream]:
        categories = self.categories
        if self._kinds.keys() - categories.shares.keys():
            categories.admit(self._kinds)
            self._fold()
        live = categories.step(second, channels, self._categories, before)
        live += self.soft.step(second, channels, {SOFTLY: self._soft}, before)
        return live + self.signs.step(second, channels, self._signs, before)

    def _fold(self) -> None:
        """Categories for which there was no room become `other`."""
        folded: Hits = {}
        for key, hits in self._categories.items():
            place = key if key in self.categories.shares else OTHER_VALUE + key[len(key.rstrip(ELSEWHERE)) :]
            self.categories.admit({place: self._kinds[key]})
            known = folded.setdefault(place, {})
            for channel, times in hits.items():
                known[channel] = known.get(channel, 0) + times
        self._categories = folded

    def _usual_retries(self, second: int, segments: Segments, failures: int) -> float:
        """An outage brings retries of its own: as many as failures of late usually have are no storm."""
        at, failing = self.failing
        failing *= exp((at - second) / RETRY_MEMORY_SEC)
        self.failing = (second, failing + failures / RETRY_MEMORY_SEC)
        failed = segments.whole.counted.hits + segments.whole.other.hits
        return failing * segments.retried.size / failed if failed else 0.0

    def _step_geos(self, second: int, segments: Segments, before: int) -> list[Stream]:
        """Where events come from changes slowly, and is looked at every ten seconds."""
        if second // GEO_STEP_SEC == self.geo_step:
            return []
        self.geo_step = second // GEO_STEP_SEC
        hits, opened = {}, self.geo_totals
        for value, one in segments.dimensions[0].items():
            n = (one.total - opened.get(value, 0)) >> TRAFFIC & COUNT
            if n and one.charted:
                hits[value] = {"": n}
        traffic = (before - self.geo_before) >> TRAFFIC & COUNT
        self.geo_totals = {value: one.total for value, one in segments.dimensions[0].items()}
        self.geo_before = before
        self.geos.admit(dict.fromkeys(hits, GEO_SHARE))
        hits = {value: times for value, times in hits.items() if value in self.geos.shares}
        return self.geos.step(second, {"": traffic}, hits, before) if traffic else []

    def close(self, second: int, verdict: Verdict) -> None:
        """End a block; see `Baseline.close`. Where traffic comes from is no trouble, and is always learned."""
        for group in self.groups():
            group.close("learn" if group is self.geos else verdict)
        self.categories.forget(second - FORGET_SEC)
        self.geos.forget(second - FORGET_SEC)
        self.latencies.close(verdict)

    def watch(self, segments: Segments, second: int) -> None:
        """Notice where soft declines come from while they rise."""
        bank = self.soft.shares[SOFTLY].stream.bank
        rising = bank.live and bank.evidence(second) >= WATCHED
        if rising or self.breadth.marks:
            self.breadth.watch(segments, rising=rising)

    def is_own(self, finding: Finding, segments: Segments) -> bool:
        """Whether a finding stands for itself: soft declines do when most issuers have a share in their rise."""
        return finding.stream is None or finding.stream.kind is not SOFT or self.breadth.is_broad(segments)
