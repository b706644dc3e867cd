"""The watch on one processor: takes in its seconds, keeps its baseline, and lets the judge speak."""

from collections import deque

from payflux.risk.assessment import RiskAssessment
from payflux.risk.counts import Counts
from payflux.risk.drivers import EXPLAINED, Finding, finding_of, is_explained, volume_finding
from payflux.risk.evidence.baseline import Baseline
from payflux.risk.evidence.charts import likelihood
from payflux.risk.evidence.segments import Segments
from payflux.risk.evidence.side_streams import SideStreams
from payflux.risk.evidence.streams import Effect, Segment, Stream
from payflux.risk.evidence.volume import BLOCK_SEC, Volume
from payflux.risk.judge import Judge, Limits
from payflux.risk.severity import NOTICE, certainty
from payflux.risk.tally import COUNT, COUNTED, OTHER, TRAFFIC

DOUBTED = 5.0
"""Nats of evidence of any trouble in whose presence nothing is learned."""

CONFIRMED = 8.0
"""Nats at which a doubt is a finding: `payflux.risk.severity` has it elevated from there on."""

DISPERSION_SEC = 30
DORMANT_SEC = 3600
SILENCE_SEC = 6 * 3600
"""A silence that lasts so long is the new normal."""

COLD_ATTEMPTS, COLD_SHARE = 20, 0.6
"""What is unmistakable although nothing is known yet: so many attempts in the window with such a share failing."""

COLD_KNOWN = 500
"""Attempts from which on the charts of all traffic say something, if not much."""

WINDOW_STEPS = 30
IDLE_LOOKS = tuple(int(4 * 1.5**number) for number in range(18))
"""How many seconds after the last events a silence is looked at, beside the seconds at which its evidence gets a new
meaning: up to an hour, after which nothing changes but with `SILENCE_SEC`.
"""


class Watch:
    """One processor.

    Time moves by `tick` alone. Between seconds with events it is looked at, at seconds that follow from its state, so
    it makes no difference whether somebody ticks every second or once after a night.

    Attributes:
        touched: the last second with events.
        moved: the second up to which everything is done.
        block_end: where the block at hand ends.
    """

    def __init__(self, processor: str, limits: Limits, second: int) -> None:
        self.limits = limits
        self.touched = self.moved = second
        self.segments = Segments()
        self.baseline = Baseline(second)
        self.sides = SideStreams()
        self.volume = Volume(second)
        self.judge = Judge(processor, limits)
        self.hot: dict[Stream, None] = {}
        self.note = ""
        self.alarmed = self.confirmed = False
        self.volume_alarmed = False
        self.dormant = False
        self.dispersed = second // DISPERSION_SEC
        self.window: deque[tuple[int, int]] = deque()
        self.block_end = self._next_block(second)
        self.due = self.block_end

    def tick(self, second: int, counts: Counts | None) -> list[RiskAssessment]:
        """Close a second, and all before it that were not closed yet.

        Args:
            second: stream time; one that is not after the last is taken for the one after it.
            counts: what happened in it; None or empty when nothing did.

        Returns:
            What is to be said from then on, oldest first; empty when nothing changed.
        """
        second = max(second, self.moved + 1)
        if counts is None or not counts.events:
            said = self._pass(second)
            self.moved = second
            return said
        said = self._pass(second - 1)
        if self.dormant:
            self._wake(second)
        while self.block_end <= second:
            self._close_block()
        self._take(second, counts)
        self.touched = self.moved = second
        now = self._assess(second)
        self.due = self._next_due(second)
        return [*said, now] if now else said

    def miss(self) -> None:
        """Events are missing between the last tick and the next one: say so."""
        self.note = "baseline_gap"

    def _pass(self, second: int) -> list[RiskAssessment]:
        """Let idle time pass, up to and with a second."""
        said = []
        while self.due <= second:
            at = self.due
            while self.block_end <= at and not self.dormant:
                self._close_block()
            if now := self._assess(at):
                said.append(now)
            self.due = self._next_due(at)
        return said

    def _next_due(self, at: int) -> int:
        """The next second at which idle time may change what is said, or has to be accounted for."""
        falls = self.judge.due()
        if self.dormant:
            ends = self.touched + SILENCE_SEC
            due = [second for second in (falls, ends) if second > at]
            return min(due, default=1 << 62)
        due = [self.block_end]
        if falls > at:
            due.append(falls)
        if self.volume.alarmable():
            due.append(self.volume.telling(at))
            if self.judge.busy or self.volume.evidence(at) >= EXPLAINED:
                due += [self.touched + idle for idle in IDLE_LOOKS if self.touched + idle > at][:1]
        return max(min(due), at + 1)

    def _next_block(self, second: int) -> int:
        length = self.baseline.block_sec
        return (second // length + 1) * length

    def _close_block(self) -> None:
        end = self.block_end
        verdict = self.baseline.verdict(alarmed=self.alarmed, confirmed=self.confirmed)
        note = ""
        whole = self.segments.whole
        if whole.pending or whole.total != whole.opened:  # else there is nothing to learn, however long the silence
            self.baseline.close(end, self.segments, verdict)
            self.sides.close(end, verdict)
        if verdict == "accept":
            self._calm()
            note = "baseline_reset"
        if end % BLOCK_SEC == 0:
            self.volume.close(end, usual=not self.volume_alarmed)
            self.volume_alarmed = False
        if not self.baseline.learned and self.baseline.is_enough(end):
            self.baseline.learned = True
            self._restart()
            note = "baseline_learned"
        self.alarmed = self.confirmed = False
        self.note = note or self.note
        self.block_end = self._next_block(end)
        if end - self.touched >= DORMANT_SEC:
            self._sleep()

    def _restart(self) -> None:
        """What was believed before is void: no evidence rests on it."""
        self._calm()
        self.judge.clear()

    def _calm(self) -> None:
        """Whatever the charts held does not count any more."""
        for stream in self.streams():
            stream.bank.reset()
        self.hot.clear()

    def _sleep(self) -> None:
        """Nothing has come for long: nothing more is learned, and only a silence goes on."""
        self.dormant = True
        self._calm()

    def _wake(self, second: int) -> None:
        self.dormant = False
        block = second // BLOCK_SEC * BLOCK_SEC
        self.volume.skip(block)
        self.block_end = self._next_block(second)

    def streams(self) -> list[Stream]:
        """Every stream that has charts."""
        segments = [self.segments.whole, *self.segments.all()]
        own = [stream for segment in segments for stream in (segment.counted, segment.other)]
        return own + self.sides.streams()

    def _take(self, second: int, counts: Counts) -> None:
        segments, whole, sides = self.segments, self.segments.whole, self.sides
        sides.open()
        for seen, times, (expected, parts) in segments.placed(counts.events):
            grown = seen.tally + expected if seen.attempt else seen.tally
            if times > 1:
                grown *= times
            for part in parts:
                part.growth += grown
            if seen.failed or seen.retried:
                sides.note(seen, times, parts[3].value)
        before = whole.total
        growth = whole.growth = sum(part.growth for part in segments.dimensions[0].values())
        self._step(second, before)
        failures = (growth >> COUNTED & COUNT) + (growth >> OTHER & COUNT)
        self._heat(sides.step(second, segments, failures, counts.latencies, before))
        segments.clear_growth()
        self.volume.step(second, growth >> TRAFFIC & COUNT)
        self._remember(second)
        if second // DISPERSION_SEC != self.dispersed:
            self._disperse(second // DISPERSION_SEC)

    def _step(self, second: int, before: int) -> None:
        hot = self.hot
        for segment in self.segments.touched():
            growth, total = segment.growth, segment.total
            segment.total = total + growth
            segment.seen = second
            n = growth & COUNT
            if n and segment.charted:
                mark = (second, total, before)
                if segment.counted.step(second, n, growth, mark) > EXPLAINED:
                    hot[segment.counted] = None
                if segment.other.step(second, n, growth, mark) > EXPLAINED:
                    hot[segment.other] = None

    def _heat(self, streams: list[Stream]) -> None:
        for stream in streams:
            self.hot[stream] = None

    def _remember(self, second: int) -> None:
        """Keep the totals at some places of the window."""
        window, step = self.window, max(self.limits.hold_sec // WINDOW_STEPS, 1)
        if not window:
            window.append((second - 1, 0))
        if second // step != window[-1][0] // step:
            window.append((second, self.segments.whole.total))
        while len(window) > 1 and window[1][0] <= second - self.limits.hold_sec:
            window.popleft()

    def _disperse(self, number: int) -> None:
        self.dispersed = number
        for segment in (self.segments.whole, *self.segments.all()):
            for stream in (segment.counted, segment.other):
                if self.alarmed or not self.baseline.learned:
                    stream.dispersion.opened = segment.total
                    stream.dispersion.skip()
                else:
                    stream.disperse()

    def _assess(self, second: int) -> RiskAssessment | None:
        learned = self.baseline.learned
        findings = self._findings(second)
        explained = {one.key for one in findings if is_explained(one, self.segments)}
        for one in findings:
            if one.key in explained:
                self._end_with_all(one)
        kept = [one for one in findings if one.key not in explained and self.sides.is_own(one, self.segments)]
        if learned:
            kept += self._volume_findings(second)
        elif cold := self._unmistakable(second):
            kept.append(cold)
        note, self.note = self.note, ""
        if not (kept or self.judge.busy or note):
            return None
        return self.judge.judge(second, kept, explained, learned=learned, note=note)

    def _findings(self, second: int) -> list[Finding]:
        """What the charts say; while nothing is known, only those of all traffic, once there was some."""
        learned = self.baseline.learned
        found: list[Finding] = []
        for stream in list(self.hot):
            evidence = stream.bank.evidence(second)
            if evidence <= EXPLAINED:
                del self.hot[stream]
                continue
            if evidence >= DOUBTED and stream.kind.gate != "notice":
                self.alarmed = True
                self.confirmed = self.confirmed or evidence >= CONFIRMED
            if not learned and (self.baseline.attempts < COLD_KNOWN or stream.segment is not self.segments.whole):
                continue
            if one := finding_of(stream, second, self.segments, 1.0 if learned else NOTICE):
                found.append(one)
        self.sides.watch(self.segments, second)
        return found

    def _end_with_all(self, explained: Finding) -> None:
        """A segment that only showed what all did has nothing left to show when that is over.

        It has fewer attempts than all together, so that its own end would be told later, as a trouble of its own.
        """
        stream, whole = explained.stream, self.segments.whole
        if stream is None or not isinstance(stream.segment, Segment):
            return
        if not (whole.counted if stream is stream.segment.counted else whole.other).bank.awake:
            stream.bank.reset()
            self.hot.pop(stream, None)

    def _volume_findings(self, second: int) -> list[Finding]:
        if self.dormant and second >= self.touched + SILENCE_SEC:
            self.volume.reset()
            return []
        found = self.volume.findings(second)
        if any(one.evidence >= DOUBTED for one in found if one.drop):
            self.volume_alarmed = True
        return [volume_finding(one, 1.0) for one in found]

    def _unmistakable(self, second: int) -> Finding | None:
        """A processor of which nothing is known yet, and nearly everything of which fails."""
        window = [entry for entry in self.window if entry[0] > second - self.limits.hold_sec]
        if not window:
            return None
        mark = self.window[0]
        n, k, expected = self.segments.whole.counted.numbers(self.segments.whole.total - mark[1])
        n -= (self.segments.whole.total - mark[1]) >> OTHER & COUNT
        if n < COLD_ATTEMPTS or k < COLD_SHARE * n:
            return None
        share, evidence = k / n, likelihood(n, k, 0.2 * n)
        severity = min(0.8 + 0.2 * (share - COLD_SHARE) / (1.0 - COLD_SHARE), max(certainty(evidence), NOTICE))
        effect = Effect(n, k, expected, n, k - expected, evidence)
        return Finding(("high_failure_rate", "", "", True), severity, evidence, evidence, (mark[0], 0, 0), effect, None)
