"""The numbers of an incident are those that anybody counts in the exported lines.

What counts is said here a second time, in the words of the contract, and not with the functions that the scorer uses.
"""

import json
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

import msgspec
import pytest

from payflux.consume.line import Enricher
from payflux.event.decode import decode_event
from payflux.risk.incidents.record import record_of
from payflux.risk.scoring import Scorer
from payflux.stream.deliveries import Delivery
from payflux.telemetry.metrics import Metrics, create_slab
from payflux.testing import make_event
from risk_traffic import CHANNELS, DECLINES, GEOS, METHODS, Memory

MEMBERS = {"geo": "geo_bucket", "method": "payment_method_bucket", "issuer": "issuer_country", "channel": "channel"}
STAMP = b"2026-01-09T12:00:00Z"
NOT_ITS_FAULT = {"issuer", "customer", "merchant", "network"}
TECHNICAL = {"processor_timeout", "processor_error"}
CALLED = {
    "processor_timeout": "timeout",
    "processor_error": "processor_technical",
    "invalid_card": "account_closed_or_invalid",
}
"""What the taxonomy calls the categories that producers send; the others it calls the same."""

FAILING = {
    "high_failure_rate",
    "failure_clustering",
    "timeout_clustering",
    "auth_failure_cluster",
    "segment_degradation",
}

Record = dict[str, Any]
Fault = Callable[[Record, Random], str]

FAULTS: dict[str, Fault] = {
    "outage": lambda _, random: "processor_error" if random.random() < 0.9 else "",
    "country": lambda event, random: "processor_error" * (event["geo_bucket"] == "GB" and random.random() < 0.9),
    "timeouts": lambda _, random: "processor_timeout" if random.random() < 0.4 else "",
    "wallet": lambda event, _: "processor_error" * (event["payment_method_bucket"] == "wallet"),
    "authentication": lambda _, random: "authentication_failed" if random.random() < 0.5 else "",
}


class Exported:
    """A node as far as it scores and writes lines, which begins with what a watch has learned."""

    def __init__(self, memory: Memory, seed: int) -> None:
        self.random, self.scorer = Random(seed), Scorer()
        self.scorer.restore("stripe", msgspec.msgpack.decode(memory.data))
        watch = self.scorer.watch("stripe")
        assert watch is not None
        self.second = watch.moved
        self.enricher = Enricher("one", self.scorer.score, Metrics(create_slab(["consumer"]), "consumer"))
        self.lines: list[Record] = []
        self.told: list[Record] = []

    def run(self, seconds: int, fault: Fault | None = None) -> None:
        """Five payments a second or so, each scored and written as it comes."""
        for _ in range(seconds):
            self.second += 1
            for number in range(self.random.randint(2, 8)):
                entry = b"%d-%d" % (self.second * 1000 + number, 0)
                stored = decode_event(json.dumps(self.event(fault)).encode())
                delivery = Delivery(entry, len(self.lines) + 1, stored.data)
                self.lines.append(json.loads(self.enricher.line(delivery, STAMP).data))
            self.scorer.tick(self.second)
            self.told += [record_of(change, 300) for change in self.scorer.changes(self.second)]

    def event(self, fault: Fault | None) -> Record:
        """A payment that succeeds, is declined, or fails by the fault; now and then one tried again."""
        random = self.random
        event = make_event(
            event_id=str(uuid.UUID(int=random.getrandbits(128), version=4)),
            geo_bucket=pick(random, GEOS),
            payment_method_bucket=pick(random, METHODS),
            issuer_country=pick(random, GEOS),
            channel=pick(random, CHANNELS),
            amount_bucket="50-200",
            currency=random.choice(("EUR", "GBP")),
            amount_minor=random.randint(600, 9000),
            retry_result="",
            failure_origin="",
        )
        category = (fault(event, random) if fault else "") or pick(random, DECLINES) * (random.random() < 0.08)
        origin = random.choice(("", "", "issuer", "processor")) if category in TECHNICAL else ""
        kind = "payment_failed" if category else "payment_succeeded"
        again = int(bool(category) and random.random() < 0.1)
        return event | {
            "event_type": kind,
            "retry_count": again,
            "failure_category": category,
            "failure_origin": origin,
        }


def pick(random: Random, weights: dict[str, int]) -> str:
    """One of some words."""
    return random.choices(tuple(weights), tuple(weights.values()))[0]


def counts(line: Record) -> bool:
    """Whether a failure counts against the processor: `failure_origin` decides where sent, else the category."""
    if line["failure_origin"]:
        return line["failure_origin"] not in NOT_ITS_FAULT
    return line["failure_category"] in TECHNICAL


def lies_in(line: Record, driver: Record) -> bool:
    """Whether a line is one of the segment that a driver names."""
    return driver["dimension"] not in MEMBERS or line[MEMBERS[driver["dimension"]]] == driver["value"]


def is_of(line: Record, driver: Record) -> bool:
    """Whether a line is one of the failures a driver speaks of."""
    failed = line["event_type"] == "payment_failed" and counts(line) == driver["raises"] and lies_in(line, driver)
    return failed and (driver["dimension"] != "category" or called(line["failure_category"]) == driver["value"])


def called(category: str) -> str:
    """A category, as the taxonomy calls it."""
    return CALLED.get(category, category)


def second_of(line: Record) -> int:
    """The stream time of a line."""
    return int(line["stream_message_id"].partition("-")[0]) // 1000


def seconds(text: str) -> int:
    """A time as seconds."""
    return int(datetime.fromisoformat(text).timestamp())


def since(lines: list[Record], first: str, last: str) -> list[Record]:
    """The lines from a time to another, both included."""
    return [line for line in lines if seconds(first) <= second_of(line) <= seconds(last)]


def measured(record: Record) -> Record | None:
    """The driver whose numbers are the incident's, if it says something now.

    It is that of the worst segment; where it is everywhere that of all failures, or the one with most of them that
    speaks of no segment.
    """
    own = [one for one in record["drivers"] if one["name"] in FAILING]
    there = [one for one in own if (one["dimension"], one["value"]) == (record["dimension"], record["value"])]
    whole = [one for one in own if one["name"] == "high_failure_rate"]
    broad = [one for one in own if one["dimension"] not in MEMBERS]
    found = [there] if record["dimension"] else [whole, broad, own]
    driver = max(next((one for one in found if one), ()), key=excess, default=None)
    return driver if driver and driver["severity"] > 0 and driver["value"] != "soft_declines" else None


def excess(driver: Record) -> float:
    """How many more failed than expected."""
    return float(driver["observed"] - driver["expected"])


def affected(lines: list[Record], record: Record, driver: Record) -> tuple[int, dict[str, int]]:
    """Payments that failed at their first attempt and what they were worth, less the expected part."""
    own = [one for one in since(lines, record["counted_from"], record["updated"]) if is_of(one, driver)]
    first = [line for line in own if line["retry_count"] == 0]
    part = (driver["observed"] - driver["expected"]) / driver["observed"]
    worth: Counter[str] = Counter()
    for line in first:
        worth[line["currency"]] += line["amount_minor"]
    return round(len(first) * part), {name: round(minor * part) for name, minor in sorted(worth.items())}


def differs(told: tuple[int, dict[str, int]], counted: tuple[int, dict[str, int]]) -> bool:
    """Whether two sums are not the same, but for the rounding of what was expected."""
    return abs(told[0] - counted[0]) > 1 or any(
        abs(told[1].get(name, 0) - minor) > 1 + minor // 1000 for name, minor in counted[1].items()
    )


def check(memory: Memory, seed: int) -> int:
    """Let something happen, and count again; how many records were looked at."""
    node = Exported(memory, seed)
    node.run(5 + seed % 40)
    node.run(110, FAULTS[sorted(FAULTS)[seed % len(FAULTS)]])
    looked, peaks, spoken = 0, dict[str, float](), dict[str, list[Record]]()
    for record in node.told:
        peaks[record["id"]] = max(peaks.get(record["id"], 0.0), *(one["severity"] for one in record["drivers"]))
        assert record["peak"] == peaks[record["id"]]
        driver = measured(record)
        if record["state"] != "open" or driver is None:
            continue
        told = record["payments_affected"], record["value_at_risk"]
        assert not differs(told, affected(node.lines, record, driver)), (seed, record)
        if record["drivers"][0]["name"] in FAILING:
            share = round(driver["observed"] / driver["attempts"], 4), round(driver["expected"] / driver["attempts"], 4)
            assert (record["observed_ratio"], record["expected_ratio"]) == share, (seed, record)
        so_far = spoken.setdefault(record["id"], [])
        so_far.append(driver)
        of_it = (line for line in node.lines if line["retry_count"] or any(is_of(line, one) for one in so_far))
        ids = {line["event_id"] for line in of_it}
        assert set(record["sample_event_ids"]) <= ids, (seed, record)
        if seconds(driver["since"]) < second_of(node.lines[0]):
            continue  # it begins in what was learned before
        lines = [one for one in since(node.lines, driver["since"], record["updated"]) if lies_in(one, driver)]
        observed = [line for line in lines if is_of(line, driver)]
        assert (driver["observed"], driver["attempts"]) == (len(observed), len(lines)), (seed, record)
        assert seconds(driver["since"]) == second_of(observed[0])
        looked += 1
    return looked


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_the_numbers_of_an_incident_are_a_recount_of_the_exported_lines(memory: Memory, seed: int) -> None:
    """Payments affected, value at risk, observed, since, peak and samples, whatever goes wrong."""
    assert check(memory, seed)


@pytest.mark.thorough
@pytest.mark.parametrize("first", range(5, 205, 20))
def test_they_are_with_many_seeds(memory: Memory, first: int) -> None:
    """The same two hundred times."""
    assert all(check(memory, seed) for seed in range(first, first + 20))
