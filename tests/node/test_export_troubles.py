"""Exporters while their destinations are in trouble: every event arrives, in order, and nobody else is harmed."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from destinations import Destination, Line, environ_of, every_kind
from nodes import event
from payflux.event.decode import decode_event
from real_parts import MakeNode
from servers import Server, until
from stream_keys import KEYS
from trial import SETTINGS, TROUBLES, Phase, Trial, arrived, lags, table

pytestmark = pytest.mark.process

MOST_MEMORY = 250.0  # MB
EVENTS = 20_000
TABLE = Path("build", "export-troubles.md")


@pytest.fixture
def destinations(directory: Path) -> Iterator[list[Destination]]:
    """A real one of each kind."""
    with every_kind(directory / "objects") as made:
        yield made


@pytest.fixture
def trial(make_node: MakeNode, server: Server, destinations: list[Destination]) -> Trial:
    """A node that exports to all of them, from a stream that keeps everything."""
    environ = environ_of(destinations) | SETTINGS | {"PAYFLUX_STREAM_MAXLEN": "0"}
    return Trial(make_node(environ), server, destinations)


def judge(trial: Trial, destinations: list[Destination], phases: list[Phase]) -> None:
    """Everything is there, in order, and once where that is promised; nobody grew."""
    for one in destinations:
        found = arrived(one, trial.sent)
        assert found._replace(twice=0) == (0, 0, 0), one.name
        assert not (one.once and found.twice), one.name
    for phase in phases:
        assert phase.peak < MOST_MEMORY, phase
    assert trial.lost() == 0


def test_every_event_arrives_whatever_is_in_trouble(trial: Trial, destinations: list[Destination]) -> None:
    """Each trouble once, of one destination after the other, while the others go on."""
    phases = []
    for number, trouble in enumerate(TROUBLES):
        phases.append(trial.phase(destinations[number % len(destinations)], trouble, 60))
    judge(trial, destinations, phases)


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_twenty_thousand_events_arrive_through_every_trouble(trial: Trial, destinations: list[Destination]) -> None:
    """Each trouble of each destination; what was seen is written to a table in build/."""
    count = EVENTS // len(TROUBLES)
    phases = [trial.phase(one, trouble, count) for one in destinations for trouble in ("none", *TROUBLES)]
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(phases, {one.name: arrived(one, trial.sent) for one in destinations}))
    judge(trial, destinations, phases)


def outages(server: Server, start_ms: int, seconds: range) -> list[str]:
    """Payments of some seconds, which fail from second 10 on; from second 40 on there is a second processor; their ids.

    The entries are of the time to come: one that is older than the clock of Redis would be of a second that is over.
    """
    ids = []
    with server.client.pipeline(transaction=False) as pipe:
        for number in range(20 * seconds.start, 20 * seconds.stop):
            processor = "adyen" if number >= 800 and number % 2 else "stripe"
            kind, category = ("payment_failed", "processor_timeout") if number >= 200 else ("payment_succeeded", "")
            one = event(event_type=kind, processor=processor, retry_result="", failure_category=category)
            ids.append(str(one["event_id"]))
            data = decode_event(json.dumps(one).encode()).data
            pipe.xadd("events_stream", {"data": data, "seq": number + 1}, id=f"{start_ms + 50 * number}-0")
        pipe.hset(KEYS.state, "seq", str(20 * seconds.stop))
        pipe.execute()
    return ids


def risk_of(line: Line) -> tuple[object, ...]:
    """What a line says of the risk, and of which event."""
    return line["seq"], line["processor_risk_score"], line["processor_risk_band"], tuple(line["processor_risk_drivers"])


def test_all_carry_the_risk_of_the_line_whoever_scores(
    make_node: MakeNode, server: Server, destinations: list[Destination]
) -> None:
    """The node that scores is killed in the middle of an outage, and another one goes on: all say the same."""
    first = make_node(arguments=("serve", "--role", "consume"))
    start = time.time_ns() // 1_000_000
    sent = outages(server, start, range(35))
    until(lambda: first.line_count() == len(sent), "the first node's lines", 60)
    second = make_node(environ_of(destinations))
    assert second.line_count() == 0
    sent += outages(server, start, range(35, 40))
    first.kill_all()
    sent += outages(server, start, range(40, 80))
    until(lambda: second.line_count() > 700, "the second node's lines", 60)
    until(lambda: not any(lags(server).values()), "the exporters", 60)
    before, after = first.whole_lines(), second.whole_lines()
    said = {line["event_id"]: risk_of(line) for line in before + after}
    for one in destinations:
        carried = {line["event_id"]: risk_of(line) for line in one.lines(len(sent))}
        assert set(carried) == set(sent), one.name
        assert {name: carried[name] for name in said} == said, one.name
    for lines in before, after:
        assert {line["processor_risk_band"] for line in lines} >= {"low", "critical"}
