"""The sliding window, against a recount of all its events."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from payflux.event.outcome import Outcome
from payflux.risk.window import MAX_GEOS, Window

SUCCESS = Outcome("success")
OUTCOMES = (
    SUCCESS,
    Outcome("neutral"),
    Outcome("failure"),
    Outcome("failure", timeout=True),
    Outcome("failure", auth=True),
    Outcome("failure", timeout=True, auth=True),
)


class Event(NamedTuple):
    at_ms: int
    outcome: Outcome
    retries: int
    geo: str


class Sums(NamedTuple):
    events: int
    successes: int
    failures: int
    timeouts: int
    auth_failures: int
    retries: int
    earlier_events: int
    earlier_buckets: int
    geos: frozenset[str]


@st.composite
def traffic(draw: st.DrawFn) -> list[Event]:
    """Events whose steps lie within a bucket, at its edge, over several buckets, and now and then backwards."""
    steps = st.one_of(st.integers(0, 3000), st.sampled_from([-15_000, 9_999, 10_000, 10_001]), st.integers(0, 90_000))
    at_ms = draw(st.integers(0, 2 * 10**12))
    events = []
    for step in draw(st.lists(steps, min_size=1, max_size=60)):
        at_ms = max(0, at_ms + step)
        event = Event(
            at_ms,
            draw(st.sampled_from(OUTCOMES)),
            draw(st.integers(0, 9)),
            draw(st.sampled_from("ABCDEFGH") | st.just("")),
        )
        events.append(event)
    return events


def recount(events: list[Event], window_sec: int, at_ms: int) -> Sums:
    """The sums of a window at a time, from the list of all events alone."""
    numbers: list[int] = []
    for event in events:
        numbers.append(max([event.at_ms // 10_000, *numbers]))
    now = max([at_ms // 10_000, *numbers])
    buckets = window_sec // 10 + (window_sec % 10 > 0)
    inside = [(number, event) for number, event in zip(numbers, events, strict=True) if now - buckets < number]
    earlier = [number for number, _ in inside if number != now]
    kinds = [event.outcome.kind for _, event in inside]
    return Sums(
        len(inside),
        kinds.count("success"),
        kinds.count("failure"),
        sum(event.outcome.timeout for _, event in inside),
        sum(event.outcome.auth for _, event in inside),
        sum(event.retries for _, event in inside),
        len(earlier),
        len(set(earlier)),
        frozenset(event.geo for _, event in inside if event.geo),
    )


def sums(window: Window) -> Sums:
    """What a window says of itself."""
    return Sums(
        window.events,
        window.successes,
        window.failures,
        window.timeouts,
        window.auth_failures,
        window.retries,
        window.earlier_events,
        window.earlier_buckets,
        frozenset(window.geos),
    )


@given(traffic(), st.integers(10, 130))
def test_window_is_a_recount_after_every_event(events: list[Event], window_sec: int) -> None:
    """After each event the running totals are what a recount of all events gives."""
    window = Window(window_sec)
    for count, event in enumerate(events, 1):
        window.add(*event)
        assert sums(window) == recount(events[:count], window_sec, event.at_ms)


@given(traffic(), st.integers(10, 130), st.integers(0, 200_000))
def test_looking_ahead_is_a_recount_and_changes_nothing(events: list[Event], window_sec: int, later: int) -> None:
    """The copy moved forward is what a recount at that time gives, and the window goes on as if nobody had looked."""
    window = Window(window_sec)
    for count, event in enumerate(events, 1):
        window.add(*event)
        before = sums(window)
        at_ms = window.ends_ms + later
        assert sums(window.ahead(at_ms)) == recount(events[:count], window_sec, at_ms)
        assert sums(window) == before


@given(traffic(), st.integers(10, 130))
def test_skipping_a_whole_window_expires_everything(events: list[Event], window_sec: int) -> None:
    """A window length after the last bucket nothing is left, and just before that something is."""
    window = Window(window_sec)
    for event in events:
        window.add(*event)
    expiry = window.ends_ms - 10_000 + -(-window_sec // 10) * 10_000
    assert sums(window.ahead(expiry)) == Sums(0, 0, 0, 0, 0, 0, 0, 0, frozenset())
    if expiry > window.ends_ms:
        assert window.ahead(expiry - 1).events > 0


def test_a_window_that_is_no_multiple_of_the_bucket_is_rounded_up() -> None:
    """25 seconds are three buckets: an event counts until the third bucket after its own begins."""
    window = Window(25)
    window.add(5_000, SUCCESS, 0, "")
    assert window.ahead(29_999).events == 1
    assert window.ahead(30_000).events == 0


def test_invented_geographies_do_not_fill_the_memory() -> None:
    """No more than `MAX_GEOS` geographies are remembered, and those of later buckets displace those of earlier ones."""
    window = Window(60)
    for bucket in range(3):
        for number in range(MAX_GEOS + 50):
            window.add(bucket * 10_000, SUCCESS, 0, f"{bucket} {number}")
            assert len(window.geos) <= MAX_GEOS
    assert set(window.geos.values()) == {2}
    assert len(window.ahead(60_000).geos) == MAX_GEOS
    assert len(window.ahead(80_000).geos) == 0


def test_a_geography_seen_again_stays() -> None:
    """A geography expires a window after it was last seen, not after it was first seen."""
    window = Window(20)
    window.add(0, SUCCESS, 0, "US")
    window.add(0, SUCCESS, 0, "DE")
    window.add(10_000, SUCCESS, 0, "US")
    assert set(window.ahead(20_000).geos) == {"US"}
