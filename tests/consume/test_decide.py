"""The decisions about a batch: what becomes a line, what is acked in silence, what is invalid, and when to doubt."""

import json

from nodes import event
from payflux.consume.decide import SUSPICIOUS, Assembler
from payflux.consume.line import Enricher
from payflux.stream.deliveries import Delivery
from payflux.telemetry.metrics import Metrics, create_slab


def assembler(max_deliveries: int = 5) -> Assembler:
    """One without a scorer."""
    return Assembler(Enricher("me", None, Metrics(create_slab(["consumer"]), "consumer")), max_deliveries)


def good(number: int, attempts: int = 1) -> Delivery:
    """A delivery of a valid event."""
    return Delivery(b"%d-0" % number, number, json.dumps(event(), separators=(",", ":")).encode(), attempts)


def bad(number: int, attempts: int = 1) -> Delivery:
    """A delivery of no event."""
    return Delivery(b"%d-0" % number, number, b"{", attempts)


def suspicious(maker: Assembler) -> bool:
    """Whether it doubts what it reads."""
    return maker.suspicious


def test_kinds() -> None:
    """Each entry goes where it belongs."""
    deliveries = [good(2), bad(3), Delivery(b"4-0", 4, b"{}", gone=True), good(7, attempts=6)]
    batch = assembler().batch(deliveries, 0, (), redelivered=False)
    assert list(batch.lines) == [b"2-0"]
    assert [delivery.id for delivery in batch.silent] == [b"4-0"]
    assert {entry: reason for entry, (_, reason) in batch.invalid.items()} == {
        b"3-0": "invalid_json",
        b"7-0": "max_deliveries",
    }
    assert batch.ids == [b"2-0", b"4-0"]
    assert batch.undone == [b"3-0", b"7-0"]
    assert batch.without([b"3-0"]).undone == [b"7-0"]
    assert batch.ours(b"11") == ([batch.lines[b"2-0"]], batch.silent)
    assert batch.ours(b"01") == ([], batch.silent)
    assert batch.ours(b"10") == ([batch.lines[b"2-0"]], [])


def test_read_again_without_being_left() -> None:
    """What is older than the newest entry acked was exported, unless it was left behind; pending or not."""
    maker = assembler()
    assert not maker.batch([good(5)], 1, (), redelivered=False).lines
    assert maker.batch([good(5)], 1, {b"5-0": None}, redelivered=False).lines
    assert not maker.batch([good(6)], 1, (), redelivered=True).lines
    assert maker.batch([good(6)], 1, {b"6-0": None}, redelivered=True).lines
    assert list(maker.batch([good(6), good(7)], 1, (), redelivered=False).lines) == [b"7-0"]


def test_built_once() -> None:
    """A line that could not be acked is the same when its entry comes again, until it is forgotten."""
    maker, delivery = assembler(), good(1)
    batch = maker.batch([delivery], 0, (), redelivered=False)
    first = batch.lines[b"1-0"]
    maker.keep(batch)
    again = maker.batch([delivery], 0, (), redelivered=True)
    assert again.lines[b"1-0"] is first
    maker.keep(again)
    maker.forget_all()
    assert maker.batch([delivery], 0, (), redelivered=True).lines[b"1-0"] is not first


def test_suspicion() -> None:
    """Redelivered invalid entries count towards a halt only until a new entry was valid, and again after a halt."""
    maker = assembler()
    row = [bad(number) for number in range(1, SUSPICIOUS)]
    maker.batch(row, 0, (), redelivered=True)
    assert not suspicious(maker)
    maker.batch([bad(100)], 0, (), redelivered=False)
    assert suspicious(maker)
    maker.batch([good(101)], 0, (), redelivered=True)
    assert not suspicious(maker)
    maker.batch(row, 0, (), redelivered=True)  # nothing new was valid so far
    maker.batch([bad(102)], 0, (), redelivered=True)
    assert suspicious(maker)
    maker.batch([good(103)], 0, (), redelivered=False)
    maker.batch([*row, *row], 0, (), redelivered=True)
    assert not suspicious(maker)
    maker.batch(row, 0, (), redelivered=False)
    assert not suspicious(maker)
    maker.distrust()
    maker.batch([bad(1)], 0, (), redelivered=True)
    assert suspicious(maker)
