"""What the load check sends: valid events, duplicates and invalid ones, and how each must come out."""

import math
from itertools import islice
from random import Random
from typing import NamedTuple

import msgspec

from payflux.event.decode import ADDITIVE_FIELDS, EVENT_FIELDS
from payflux.event.intake import Form
from payflux.load.attempts import Item
from payflux.load.corpus.events import Event
from payflux.load.traffic import Traffic

FRESH, IMMEDIATE, LATER, INVALID = 92, 2, 3, 3
"""What a block of a hundred events is made of; every third of the later duplicates is in upper case."""
FORMS: tuple[Form, ...] = ("single", "array", "single", "ndjson")
FAULTS = ("bad_uuid", "missing", "pan", "too_long", "bad_json")
DEFAULTS: Event = dict.fromkeys(EVENT_FIELDS, "") | {"retry_count": 0}
Job = tuple[Form, list[Item]]


class Plan(NamedTuple):
    """What to send: the requests, each valid event as it must come out by its id, and how many events are invalid."""

    jobs: list[Job]
    expected: dict[str, Event]
    invalid: int


def plan(seed: int, start: float, events: int) -> Plan:
    """Lay out a run: half single, half in batches of a hundred, with duplicates and invalid events among them."""
    random = Random(seed)
    source = (event for _, event in Traffic(seed, start).arrivals(rate=1000))
    jobs: list[Job] = []
    expected: dict[str, Event] = {}
    invalid = 0
    for number in range(math.ceil(events / FRESH)):
        form = FORMS[number % len(FORMS)]
        fresh = [_vary(event, random) for event in islice(source, min(FRESH, events - number * FRESH))]
        expected |= {str(event["event_id"]): _canonical(event) for event in fresh}
        items = [item for at, event in enumerate(fresh) for item in [_item(event)] * (2 if at < IMMEDIATE else 1)]
        earlier = random.choices(list(expected.values()), k=LATER)
        items += [_item(event, upper=at % 3 == 0) for at, event in enumerate(earlier)]
        faults = FAULTS if form == "single" else FAULTS[:-1]  # bad JSON makes a whole array unreadable
        wrong = [_invalid(event, random.choice(faults)) for event in islice(source, INVALID)]
        for item in wrong:
            items.insert(random.randrange(len(items)), item)
        invalid += len(wrong)
        jobs += [(form, [item]) for item in items] if form == "single" else [(form, items)]
    return Plan(jobs, expected, invalid)


def _vary(event: Event, random: Random) -> Event:
    """Some producers leave members out, some send unknown ones."""
    if random.random() < 0.2:
        event = {name: value for name, value in event.items() if name not in ("failure_origin", "channel", "currency")}
    return event | {"unknown_member": "ignored"} if random.random() < 0.2 else event


def _canonical(event: Event) -> Event:
    return DEFAULTS | {name: value for name, value in event.items() if name in (*EVENT_FIELDS, *ADDITIVE_FIELDS)}


def _item(event: Event, *, upper: bool = False) -> Item:
    event_id = str(event["event_id"])
    return Item(event_id, msgspec.json.encode(event | {"event_id": event_id.upper()} if upper else event))


def _invalid(event: Event, fault: str) -> Item:
    changes: dict[str, Event] = {
        "bad_uuid": {"event_id": f"not-a-uuid-{event['event_id']}"},
        "pan": {"merchant_id_hash": "4111 1111 1111 1111"},
        "too_long": {"channel": "x" * 101},
    }
    body = msgspec.json.encode(event | changes.get(fault, {}))
    if fault == "missing":
        body = msgspec.json.encode({name: value for name, value in event.items() if name != "processor"})
    return Item(str(event["event_id"]), body[:-1] if fault == "bad_json" else body)
