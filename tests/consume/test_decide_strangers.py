"""Entries that somebody else appended: read as producers' events are, or refused."""

import json
from typing import Any

import pytest

from consumer_parts import good
from events import CANONICAL, PAN, compact
from payflux.consume.decide import EVERY, FEW, Assembler, Batch, are_ours, strictly
from payflux.consume.line import Enricher
from payflux.errors import InvalidEvent
from payflux.event.example import EXAMPLE
from payflux.stream.deliveries import Delivery
from payflux.telemetry.metrics import DLQ_REASONS, Metrics, create_slab


def batch(deliveries: list[Delivery]) -> Batch:
    """What is decided about new entries."""
    assembler = Assembler(Enricher("me", None, Metrics(create_slab(["consumer"]), "consumer")), 5)
    return assembler.batch(deliveries, 0, (), redelivered=False)


def entry(seq: int, data: bytes | None = None, at: int = 0) -> Delivery:
    """An entry."""
    return Delivery(b"%d-0" % (1000 + (at or seq)), seq, data or good().data)


def changed(**members: Any) -> bytes:
    """An event that ingestion did not write."""
    return compact(EXAMPLE | members)


REFUSED = {
    "invalid UTF-8": (CANONICAL.replace(b"abc123", b"abc\xff123"), "invalid_json"),
    "retry_count of 400 digits": (
        CANONICAL.replace(b'"retry_count":0', b'"retry_count":' + b"9" * 400),
        "invalid_event",
    ),
    "retry_count too high": (changed(retry_count=101), "invalid_event"),
    "a member twice": (CANONICAL[:-1] + b',"channel":"web"}', "duplicate_member"),
    "a card number": (changed(channel=PAN), "pan_detected"),
    "a card number as an additive member": (changed(processor_event_id=PAN), "pan_detected"),
    "a control character": (changed(channel="a\u0007"), "invalid_event"),
    "too long": (changed(channel="x" * 101), "invalid_event"),
    "no timestamp": (changed(event_timestamp="yesterday"), "invalid_event"),
    "no UUID": (changed(event_id="1"), "invalid_event"),
    "no slug": (changed(processor="A B"), "invalid_event"),
    "an array": (b"[]", "invalid_json"),
    "two objects": (CANONICAL + CANONICAL, "invalid_json"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("beside", [0, 200])
def test_what_the_door_refuses_gets_no_line(kind: str, beside: int) -> None:
    """Alone, and at the end of a large batch of ours; the others get theirs."""
    data, reason = REFUSED[kind]
    found = batch([*(entry(seq) for seq in range(1, beside + 1)), entry(beside + 1, data)])
    assert [why for _, why in found.invalid.values()] == [reason]
    assert reason in DLQ_REASONS
    assert len(found.lines) == beside


@pytest.mark.parametrize("beside", [0, 200])
def test_members_that_are_not_an_events_come_into_no_line(beside: int) -> None:
    """`level`, `msg`, a second `seq` or a card number in a member of no meaning: what is left is the event."""
    data = changed(level="error", msg="hello", seq=5, kind="incident", schema_version=2, card=PAN)
    found = batch([*(entry(seq) for seq in range(1, beside + 1)), entry(beside + 1, data)])
    line = [*found.lines.values()][-1].data
    assert line.startswith(CANONICAL[:-1] + b',"stream_message_id":"')
    assert line.count(b'"seq":') == 1
    assert json.loads(line)["seq"] == beside + 1
    assert b"hello" not in line
    assert PAN.encode() not in line


def test_another_spelling_of_an_event_is_made_canonical() -> None:
    """Blanks, another order of members, an offset: exported as if it had come through the door."""
    spelt = json.dumps(dict(reversed(EXAMPLE.items())) | {"event_timestamp": "2026-01-09T13:00:00+01:00"}, indent=1)
    assert strictly(entry(1, spelt.encode())).data == CANONICAL
    same = entry(1)
    assert strictly(same) is same
    assert strictly(Delivery(b"1-0", 1, None)).data is None


def test_whoever_takes_a_number_of_ours_makes_the_whole_batch_be_read_strictly() -> None:
    """Anywhere in it: the number comes twice. So does a missing one, or a run of entries without numbers."""
    ours = [entry(seq) for seq in range(1, 101)]
    assert are_ours(ours)
    bad = changed(channel=PAN)
    for at in (1, 50, 99):
        foreign = [*ours[:at], entry(at + 1, bad, at=at), *ours[at:]]
        assert not are_ours(foreign)
        assert [why for _, why in batch(foreign).invalid.values()] == ["pan_detected"]
    assert not are_ours([*ours[:50], *ours[51:]])
    assert not are_ours([*ours, Delivery(b"5000-0", 0, CANONICAL)])


def test_a_run_of_strangers_entries_is_found() -> None:
    """Numbers that go on prove nothing of a small batch, of its last entry, or of a long run; nor of invalid UTF-8."""
    ours = [entry(seq) for seq in range(1, 101)]
    assert not are_ours(ours[:FEW])
    bad = changed(channel=PAN)
    run = [entry(seq, bad) for seq in range(101, 101 + EVERY)]
    assert not are_ours([*ours, *run, entry(101 + EVERY)])
    assert not are_ours([*ours, run[0]])
    broken = entry(50, CANONICAL.replace(b"abc123", b"\xff"))
    assert not are_ours([*ours[:49], broken, *ours[50:]])


def test_an_entry_that_is_refused_says_why() -> None:
    """By the code that the door gives."""
    with pytest.raises(InvalidEvent) as caught:
        strictly(entry(1, changed(channel=PAN)))
    assert caught.value.code == "pan_detected"
