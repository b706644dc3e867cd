"""A processor that usually sends and stopped is noticed although its day is not known yet, and nothing else is."""

from random import Random

import msgspec
import pytest

from payflux.risk.incidents.incident import Change
from payflux.risk.incidents.silences import DUE, LEAST_SEC, NEW_NORMAL_SEC, RENEWED_SEC, Arrivals, Silences
from risk_traffic import START

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


class Sparse:
    """One processor that sends little, looked at once a minute; after a day its custom is known."""

    def __init__(self, seed: int) -> None:
        self.silences, self.random = Silences(), Random(seed)
        self.at, self.last = START, START
        self.changes: list[Change] = []

    def run(self, seconds: int, rate: float, custom: float | None = None) -> None:
        """Let so many seconds pass, with events by chance, so many a second, where the custom is as many or another."""
        usual = rate if custom is None else custom
        for _ in range(0, seconds, 60):
            self.at += 60
            self.last = self.at if self.random.random() < 60 * rate else self.last
            known = usual if self.at - START > DAY else 0.0
            now = {"stripe": Arrivals(self.last, 0.3 * rate, rate, START, known)}
            self.changes += self.silences.look(self.at, now, self.at - 60)

    def days(self, number: int, rate: float) -> None:
        """Days of fourteen hours, and nights in which next to nothing comes."""
        for _ in range(number):
            self.run(14 * HOUR, rate)
            self.run(10 * HOUR, rate / 30)

    def kinds(self) -> list[str]:
        """What became of incidents, their numbers aside."""
        return [change.kind for change in self.changes if change.kind != "updated"]


def test_who_sends_little_and_stops_is_noticed_within_hours() -> None:
    """Ten an hour, fewer than the watch says anything of: by day, once; it ends with the next event."""
    sparse = Sparse(1)
    sparse.days(3, 10 / HOUR)
    sparse.run(5 * HOUR, 10 / HOUR)
    assert sparse.changes == []
    sparse.run(4 * HOUR, 0.0, 10 / HOUR)
    assert sparse.kinds() == ["opened"]
    opened = sparse.changes[0].incident
    assert (opened.driver.name, opened.since) == ("volume_drop", sparse.last)
    assert 2 * HOUR <= opened.opened - opened.since <= 3 * HOUR
    assert 20 <= opened.payments <= 30
    sparse.run(HOUR, 1 / 60)
    assert sparse.kinds() == ["opened", "resolved"]
    assert sparse.silences.open == {}


def test_nights_and_chance_are_no_silence_of_who_sends_little() -> None:
    """Two weeks at a few events an hour and next to none by night, and two at one rate all day."""
    for seed in range(2):
        uneven, even = Sparse(seed), Sparse(seed)
        uneven.days(14, 8 / HOUR)
        even.run(14 * DAY, 4 / HOUR)
        assert [*uneven.changes, *even.changes] == []


def test_a_restart_is_no_silence_of_who_sends_little() -> None:
    """What was missing before counts on, the time in between does not."""
    sparse = Sparse(4)
    sparse.run(2 * DAY, 10 / HOUR)
    sparse.run(HOUR, 0.0, 10 / HOUR)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(sparse.silences.snapshot()))
    sparse.silences = Silences()
    sparse.silences.restore(kept)
    sparse.at += 12 * HOUR
    sparse.run(1800, 0.0, 10 / HOUR)
    assert sparse.changes == []
    sparse.run(HOUR, 0.0, 10 / HOUR)
    assert sparse.kinds() == ["opened"]


def test_the_new_normal_of_who_sends_little_is_told_once() -> None:
    """Whoever was switched off is no new incident when its old one has ended, nor after a restart."""
    sparse = Sparse(2)
    sparse.run(2 * DAY, 20 / HOUR)
    sparse.run(DAY, 0.0, 20 / HOUR)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(sparse.silences.snapshot()))
    sparse.silences = Silences()
    sparse.silences.restore(kept)
    sparse.run(2 * DAY, 0.0, 20 / HOUR)
    assert sparse.kinds() == ["opened", "resolved"]
    assert sparse.changes[-1].incident.note == "it is the new normal"
