"""A processor that usually sends and stopped is noticed although its day is not known yet, and nothing else is."""

from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from payflux.risk.incidents.incident import Change
from payflux.risk.incidents.silences import (
    DUE,
    LEAST_SEC,
    NEW_NORMAL_SEC,
    RENEWED_SEC,
    Arrivals,
    Custom,
    Silences,
)
from payflux.risk.scoring import Scorer
from risk_traffic import START, seen

HOUR = 3600


class Watched:
    """One processor without a profile, looked at once a second."""

    def __init__(self, level: float) -> None:
        self.silences, self.level = Silences(), level
        self.at, self.last = START, START
        self.changes: list[Change] = []

    def run(self, seconds: int, every: int = 1) -> None:
        """Let so many seconds pass, with events every so many; 0 for none."""
        for _ in range(seconds):
            self.at += 1
            if every and self.at % every == 0:
                self.last = self.at
            now = {"stripe": Arrivals(self.last, 0.0, self.level, START)}
            self.changes += self.silences.look(self.at, now, self.at - 1)

    def kinds(self) -> list[str]:
        """What became of incidents."""
        return [change.kind for change in self.changes]


@pytest.mark.parametrize(("level", "within"), [(200.0, LEAST_SEC), (20.0, LEAST_SEC), (5.0, 12), (0.5, 120)])
def test_a_steady_processor_that_stops_is_noticed(level: float, within: int) -> None:
    """Within seconds where it sends much, once; what did not come grows, and it ends with the next event."""
    watched = Watched(level)
    watched.run(HOUR + 60)
    assert watched.changes == []
    watched.run(within - 1, every=0)
    assert watched.changes == []
    watched.run(1 + RENEWED_SEC, every=0)
    assert watched.kinds() == ["opened", "updated"]
    opened, updated = (change.incident for change in watched.changes)
    assert (opened.driver.name, opened.severity, opened.since, opened.opened - opened.since) == (
        *("volume_drop", "high"),
        *(watched.last, within),
    )
    assert opened.payments >= DUE
    assert updated.payments == int(level * (within + RENEWED_SEC))
    watched.run(1)
    assert watched.kinds() == ["opened", "updated", "resolved"]
    assert watched.silences.open == {}


def test_who_is_hardly_known_or_has_a_profile_is_left_alone() -> None:
    """Within the first hour anything may be usual; later the watch knows better."""
    watched = Watched(20.0)
    watched.run(HOUR - 100)
    watched.run(600, every=0)
    assert watched.changes == []
    silences = Silences()
    for second in range(START, START + 2 * HOUR, 60):
        assert silences.look(second, {"stripe": Arrivals(START + HOUR, 20.0, 20.0, START - HOUR)}, second - 60) == []


def test_who_sends_in_batches_is_silent_between_them() -> None:
    """Every ten minutes something comes: twenty minutes of silence are nothing yet, half an hour is."""
    watched = Watched(5.0)
    watched.run(2 * HOUR, every=600)
    watched.run(1790 - (watched.at - watched.last), every=0)
    assert watched.changes == []
    watched.run(20, every=0)
    assert watched.kinds() == ["opened"]


def test_chance_is_no_silence() -> None:
    """Two days at one event in ten seconds, as they come by chance."""
    random, silences, last = Random(7), Silences(), START
    for second in range(START, START + 48 * HOUR):
        last = second if random.random() < 0.1 else last
        assert silences.look(second, {"stripe": Arrivals(last, 0.0, 0.1, START - HOUR)}, second - 1) == []


def test_a_silence_for_hours_is_the_new_normal() -> None:
    """And one of a processor that is not followed any more ends as well."""
    watched = Watched(20.0)
    watched.run(HOUR + 60)
    watched.run(60, every=0)
    (ended,) = watched.silences.look(
        watched.last + NEW_NORMAL_SEC, {"stripe": Arrivals(watched.last, 0.0, 20.0, START)}, watched.at
    )
    assert (ended.kind, ended.incident.note) == ("resolved", "it is the new normal")
    other = Watched(20.0)
    other.run(HOUR + 60)
    other.run(60, every=0)
    (gone,) = other.silences.look(other.at + 1, {}, other.at)
    assert (gone.kind, gone.incident.note) == ("resolved", "its processor is not followed any more")


def test_they_go_on_from_a_snapshot() -> None:
    """Restored from bytes it ends what it began; the time since the snapshot was no silence."""
    watched = Watched(20.0)
    watched.run(HOUR + 60)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(watched.silences.snapshot()))
    watched.run(300)
    watched.silences = Silences()
    watched.silences.restore(kept)
    watched.run(LEAST_SEC, every=0)
    assert watched.kinds() == ["opened"]
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(watched.silences.snapshot()))
    watched.silences = Silences()
    watched.silences.restore(kept)
    watched.run(5, every=0)
    watched.run(1)
    assert watched.kinds() == ["opened", "resolved"]


DAY = 24 * HOUR
WEEK = 7 * DAY


class Sparse:
    """One processor that sends little, looked at every so many seconds."""

    def __init__(self, seed: int, custom: Custom, every: int = 60) -> None:
        self.silences, self.random, self.custom, self.every = Silences(), Random(seed), custom, every
        self.at, self.last = START, START
        self.dropped = False
        self.changes: list[Change] = []

    def run(self, seconds: int, *, stopped: bool = False) -> None:
        """Let so many seconds pass, with events by chance as is the custom, or none."""
        for _ in range(0, seconds, 60):
            self.at += 60
            if self.random.random() < 60 * self.custom(self.at) and not stopped:
                self.came()
            if self.at % self.every == 0:
                self.look()

    def came(self) -> None:
        """One event."""
        self.silences.came("stripe", self.last, self.at, self.custom)
        self.last = self.at

    def now(self) -> dict[str, Arrivals]:
        """What is known of it."""
        return {"stripe": Arrivals(self.last, 0.03, 0.01, START, self.custom, self.dropped)}

    def look(self) -> None:
        """Look at it."""
        self.changes += self.silences.look(self.at, self.now(), self.at - self.every)

    def restart(self) -> None:
        """Go on from a snapshot, from bytes."""
        kept = msgspec.msgpack.decode(msgspec.msgpack.encode(self.silences.snapshot()))
        self.silences = Silences()
        self.silences.restore(kept)

    def kinds(self) -> list[str]:
        """What became of incidents, their numbers aside."""
        return [change.kind for change in self.changes if change.kind != "updated"]


def even(rate: float) -> Custom:
    """So many an hour, all day."""
    return lambda _: rate / HOUR


def by_day(second: int) -> float:
    """Ten an hour for fourteen hours, and next to none by night."""
    return (10 if (second - START) % DAY < 14 * HOUR else 0.3) / HOUR


def test_who_sends_little_and_stops_is_noticed_within_hours() -> None:
    """Ten an hour, fewer than the watch says anything of: by day, once; it ends with the next event."""
    sparse = Sparse(1, by_day)
    sparse.run(8 * DAY + 5 * HOUR)
    assert sparse.changes == []
    sparse.run(4 * HOUR, stopped=True)
    assert sparse.kinds() == ["opened"]
    opened = sparse.changes[0].incident
    assert (opened.driver.name, opened.since) == ("volume_drop", sparse.last)
    assert 2 * HOUR <= opened.opened - opened.since <= 3 * HOUR
    assert 20 <= opened.payments <= 30
    sparse.run(HOUR)
    assert sparse.kinds() == ["opened", "resolved"]
    assert sparse.silences.open == {}


def test_before_a_week_is_known_nothing_is_said_of_who_sends_little() -> None:
    """Nobody knows yet how long its silences are."""
    sparse = Sparse(1, even(10))
    sparse.run(6 * DAY)
    sparse.run(DAY, stopped=True)
    assert sparse.changes == []


def test_nights_and_chance_are_no_silence_of_who_sends_little() -> None:
    """Two weeks at a few events an hour and next to none by night, and two at one rate all day."""
    for seed in range(2):
        uneven, same = Sparse(seed, by_day), Sparse(seed, even(4))
        uneven.run(2 * WEEK)
        same.run(2 * WEEK)
        assert [*uneven.changes, *same.changes] == []


@pytest.mark.parametrize("came", [False, True])
def test_a_restart_is_no_silence_of_who_sends_little(*, came: bool) -> None:
    """The time in which nobody looked does not count, whether or not something came since the snapshot."""
    sparse = Sparse(4, even(10))
    sparse.run(8 * DAY)
    sparse.restart()
    sparse.at += 60
    if came:
        sparse.came()
    sparse.at += 12 * HOUR
    sparse.run(110 * 60, stopped=True)
    assert sparse.changes == []
    sparse.run(2 * HOUR, stopped=True)
    assert sparse.kinds() == ["opened"]


def test_the_new_normal_of_who_sends_little_is_told_once() -> None:
    """Whoever was switched off is no new incident when its old one has ended, nor after a restart."""
    sparse = Sparse(2, even(20))
    sparse.run(8 * DAY)
    sparse.run(DAY, stopped=True)
    sparse.restart()
    sparse.run(2 * DAY, stopped=True)
    assert sparse.kinds() == ["opened", "resolved"]
    assert sparse.changes[-1].incident.note == "it is the new normal"


def test_an_outage_is_no_custom() -> None:
    """After six hours that people were told of, the next outage is noticed as soon as the first, looked at or not."""
    for every in (60, 8 * HOUR):
        sparse = Sparse(1, even(10), every)
        sparse.run(8 * DAY)
        sparse.run(5 * HOUR, stopped=True)
        sparse.came()
        sparse.run(DAY - 5 * HOUR)
        sparse.every = 60
        sparse.changes.clear()
        sparse.run(4 * HOUR, stopped=True)
        assert sparse.kinds() == ["opened"]


def test_it_does_not_matter_how_often_somebody_looks() -> None:
    """A batch every four hours: looked at every minute or twice a day, the same is said of the same silence."""
    said = []
    for every in (60, 12 * HOUR):
        sparse = Sparse(3, even(10), every)
        for _ in range(6 * 9):
            sparse.run(4 * HOUR, stopped=True)
            sparse.came()
        assert sparse.changes == []
        sparse.run(DAY, stopped=True)
        said.append([one.incident.since for one in sparse.changes if one.kind == "opened"])
        assert sparse.silences.snapshot()["missed"]["stripe"]["begins"] == sparse.last + 12 * HOUR
    assert said == [[sparse.last]] * 2


def test_a_silence_that_the_watch_has_told_of_opens_no_other() -> None:
    """Neither while its incident is open nor when it ended as less is due, looked at meanwhile or not."""
    for looked in (True, False):
        sparse = Sparse(1, even(200))
        sparse.run(8 * DAY)
        sparse.came()
        if looked:
            sparse.dropped = True
            sparse.run(3 * HOUR, stopped=True)
            assert sparse.changes == []
            sparse.dropped = False
        else:
            watch = Watched(20.0)
            watch.run(HOUR + 60)
            watch.run(60, every=0)
            ended = replace(watch.changes[0], kind="resolved", second=sparse.at + 1800)
            sparse.at += 1800
            sparse.silences.told(ended, sparse.now())
        sparse.run(5 * HOUR, stopped=True)
        assert sparse.changes == []


MONDAY = START // WEEK * WEEK + 4 * DAY
"""1970 began on a Thursday."""


def weekdays(hours: int) -> list[Change]:
    """What is said of thirty an hour, from eight to six, until one Tuesday at eleven, looked at every so many hours."""
    scorer, random, said = Scorer(), Random(5), list[Change]()
    for hour in range(24 * (2 * 7 + 2)):
        day, of_day = divmod(hour, 24)
        for second in range(MONDAY + hour * HOUR, MONDAY + (hour + 1) * HOUR, 60):
            works = day % 7 < 5 and 8 <= of_day < 18 and not (day == 15 and of_day >= 11)
            if works and random.random() < 0.5:
                scorer.observe(second * 1000, "stripe", seen())
        if (hour + 1) % hours == 0:
            scorer.tick(MONDAY + (hour + 1) * HOUR - 1)
            said += scorer.changes(MONDAY + (hour + 1) * HOUR - 1)
    return [change for change in said if change.kind == "opened"]


def test_who_works_on_weekdays_alone_has_weekends() -> None:
    """Nothing on the first two; the Tuesday is an incident, the same one whether it was looked at often or not."""
    often, seldom = weekdays(1), weekdays(12)
    (opened,) = often
    assert (opened.incident.driver.name, opened.incident.since // DAY * DAY) == ("volume_drop", MONDAY + 15 * DAY)
    assert (opened.second - opened.incident.since) // HOUR in (1, 2)
    assert seldom == often
