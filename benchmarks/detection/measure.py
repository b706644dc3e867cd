"""What the detector finds in the corpus, how soon, whether it names it rightly, and what it raises for nothing.

    python -m benchmarks.detection.measure SEED PROCESSOR:PLAN:DAYS...

such as `7 p5:corpus:10 p20:benign:20`. PLAN is `corpus` or `benign`. A warning is a driver whose band is high. It is a
false alarm unless an incident is on, or ended half an hour ago at most; an incident is found when there is a warning
until two minutes after its end, and not counted when there is one already at its start.
"""

import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from math import nan
from statistics import median, quantiles
from typing import Any, NamedTuple

import numpy as np

from benchmarks.detection.columns import Ints, spans
from payflux.load.corpus.lanes import Lane
from payflux.load.corpus.population import CATEGORIES, CHANNELS, COUNTRIES, DECLINES, METHODS, PROCESSORS, TIMEOUT
from payflux.load.corpus.scenarios import Incident
from payflux.load.corpus.schedule import DAY, planned
from payflux.load.traffic import Traffic
from payflux.risk.assessment import BANDS, RiskAssessment
from payflux.risk.counts import Counts
from payflux.risk.judge import Limits
from payflux.risk.observation import Observation, latency_class, observation
from payflux.risk.watch import Watch

START = 1_767_225_600
"""A Thursday, midnight UTC."""

WARM_UP_SEC = 1.1 * DAY
HIGH = BANDS.index("high")
SMALL_MINOR = 1000
MOST_LATENCY = 32_768
SOFT = ("do_not_honor", "issuer_unavailable")
MONTH_DAYS = 30.44
_CODE = 1 << 32
_CLASSES = np.array([latency_class(latency) for latency in range(MOST_LATENCY + 1)])
_METHODS, _CHANNELS = tuple(METHODS), tuple(CHANNELS)
_COUNTED = (False, *(decline.origin == "processor" for decline in DECLINES.values()))


class Warned(NamedTuple):
    """A second at which a warning began or ended, the band of the processor, and the drivers' names and places."""

    second: int
    high: bool
    low: bool
    drivers: tuple[tuple[str, str, str], ...]


NOTHING = Warned(0, high=False, low=True, drivers=())


class Found(NamedTuple):
    """An incident: how long it took to find it, whether it was named rightly then and a minute later, and the rest.

    `delay` is None when it was missed. `episodes` counts warnings that began during it; `cleared` is how many seconds
    after its end nothing was reported any more.
    """

    name: str
    delay: float | None
    right: bool
    right_later: bool
    episodes: int
    cleared: float | None


def observed(lane: Lane, seconds: int, known: dict[int, Observation]) -> Iterator[tuple[int, Counts]]:
    """The counts of every second with traffic."""
    sizes = (len(_METHODS), len(COUNTRIES), len(_CHANNELS), 2, len(CATEGORIES), 2)
    for rows in spans(lane, seconds):
        code: Any = rows.geo  # of numbers, each kind a digit
        second: Ints = rows.at // 1000
        kinds = (rows.method, rows.issuer, rows.channel, rows.tries > 0, rows.category, rows.amount < SMALL_MINOR)
        for size, kind in zip(sizes, kinds, strict=True):
            code = code * size + kind
        counts: dict[int, Counts] = {}
        for key, times in zip(
            *map(np.ndarray.tolist, np.unique(second * _CODE + code, return_counts=True)), strict=True
        ):
            at, code_of = divmod(key, _CODE)
            if code_of not in known:
                known[code_of] = _observation(code_of, sizes)
            counts.setdefault(at, Counts()).add(known[code_of], times)
        classes = (second * 256 + _CLASSES[np.minimum(rows.latency, MOST_LATENCY)])[rows.category != TIMEOUT]
        for key, times in _tally(classes):
            counts[key >> 8].add_latency(key & 255, times)
        yield from sorted(counts.items())


def _tally(keys: Ints) -> Iterator[tuple[int, int]]:
    found, times = np.unique(keys, return_counts=True)
    return zip(found.tolist(), times.tolist(), strict=True)


def _observation(code: int, sizes: tuple[int, ...]) -> Observation:
    parts = []
    for size in reversed(sizes):
        code, part = divmod(code, size)
        parts.append(part)
    small, category, retried, channel, issuer, method = parts
    name, values = CATEGORIES[category], (COUNTRIES[code], _METHODS[method], COUNTRIES[issuer], _CHANNELS[channel])
    kind = "failure" if category else "success"
    return observation(kind, name, values, bool(retried), bool(small), _COUNTED[category], name in SOFT)


def watched(name: str, plan: str, days: float, seed: int) -> tuple[list[Incident], list[Warned], float]:
    """What happened at a processor, what was said of it, and the CPU seconds of each second with traffic."""
    processors = {name: PROCESSORS[name]}
    incidents = []
    for one in planned([plan], seed, START, processors, WARM_UP_SEC):
        if one.start >= days * DAY:
            break
        incidents.append(one)
    lane = Traffic(seed, START, iter(incidents), processors).lanes()[0]
    watch, spent, ticks = Watch(name, Limits(), START), 0.0, 0
    said: list[Warned] = []
    for second, counts in observed(lane, int(days * DAY), {}):
        before = time.thread_time()
        changes = watch.tick(START + second, counts)
        spent, ticks = spent + time.thread_time() - before, ticks + 1
        said += map(_warned, changes)
    return incidents, said, spent / max(ticks, 1)


def _warned(said: RiskAssessment) -> Warned:
    high = any(BANDS.index(driver.band) >= HIGH for driver in said.drivers)
    drivers = tuple((driver.name, driver.dimension, driver.value) for driver in said.drivers)
    return Warned(said.second - START, high, not drivers and said.band == BANDS[0], drivers)


def judged(incidents: list[Incident], said: list[Warned], days: float) -> tuple[list[Found], list[Warned]]:
    """What was found of the incidents, and the false alarms."""
    begun = [now for before, now in pairwise([NOTHING, *said]) if now.high and not before.high]
    ended = [now.second for before, now in pairwise(said) if before.high and not now.high]
    bad = [one for one in incidents if not one.scenario.benign]
    false = [one for one in begun if not any(bad_one.start <= one.second <= bad_one.end + 1800 for bad_one in bad)]
    spells = [(one.second, next((end for end in ended if end > one.second), days * DAY)) for one in begun]
    clean = [one for one in bad if not any(start < one.start < end for start, end in spells)]
    return [_found(one, said, begun) for one in clean], false


def _found(incident: Incident, said: list[Warned], begun: list[Warned]) -> Found:
    first = next((one for one in begun if incident.start <= one.second <= incident.end + 120), None)
    cleared = next((one.second - incident.end for one in said if one.second > incident.end and one.low), None)
    if first is None:
        return Found(incident.name, None, right=False, right_later=False, episodes=0, cleared=cleared)
    later = [one for one in said if first.second <= one.second <= first.second + 60][-1]
    episodes = sum(incident.start <= one.second <= incident.end for one in begun)
    right, right_later = _is_right(incident, first), _is_right(incident, later)
    return Found(incident.name, first.second - incident.start, right, right_later, episodes, cleared)


def _is_right(incident: Incident, said: Warned) -> bool:
    """Whether the first driver is the incident's, in the right place, or one that is right as well."""
    if not said.drivers:
        return False
    name, dimension, value = said.drivers[0]
    what = incident.scenario
    in_place = not what.dimension or (dimension, value) == (what.dimension, incident.concerned)
    return (name == what.driver and in_place) or name in what.also


def main(seed: int, asked: list[str]) -> None:
    """Print a table for each run."""
    for one in asked:
        name, plan, days = one.split(":")
        incidents, said, cost = watched(name, plan, float(days), seed)
        found, false = judged(incidents, said, float(days))
        month = f"{len(false) / float(days) * MONTH_DAYS:.1f} a month"
        print(f"\n{name} {plan} seed {seed}, {days} days: {len(false)} false alarms ({month})")
        print(f"CPU of a second with traffic: {cost * 1e6:.0f} µs")
        for alarm in false:
            print("  false:", alarm.second, alarm.drivers[:2])
        _print_found(found)


def _print_found(found: list[Found]) -> None:
    print(
        "| incident | found | median s | 90 % s | named | a minute later | episodes | cleared s |\n" + "|---" * 8 + "|"
    )
    for name in [*sorted({one.name for one in found}), "all"]:
        those = [one for one in found if name in {one.name, "all"}]
        delays = [one.delay for one in those if one.delay is not None]
        if not delays:
            print(f"| {name} | 0 of {len(those)} | | | | | | |")
            continue
        late = quantiles(delays, n=10)[-1] if len(delays) > 1 else delays[0]
        named, later = sum(one.right for one in those), sum(one.right_later for one in those)
        episodes = sum(one.episodes for one in those) / len(delays)
        cleared = median([one.cleared for one in those if one.cleared is not None] or [nan])
        numbers = f"{len(delays)} of {len(those)} | {median(delays):.0f} | {late:.0f} | {named} | {later}"
        print(f"| {name} | {numbers} | {episodes:.2f} | {cleared:.0f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
