"""The decisions about a batch: what becomes a line, what is acked in silence, what is invalid, and when to doubt."""

import json

from nodes import event
from payflux.consume.decide import Assembler
from payflux.consume.line import Enricher
from payflux.consume.sequence import SeqAudit
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


def test_kinds() -> None:
    """Each entry goes where it belongs, and the numbers are followed without touching the audit given."""
    audit = SeqAudit(last_seq=1, last_id=b"1-0")
    deliveries = [good(2), bad(3), Delivery(b"4-0", 4, b"{}", gone=True), good(7, attempts=6)]
    batch = assembler().batch(deliveries, audit, (), redelivered=False)
    assert list(batch.lines) == [b"2-0"]
    assert [delivery.id for delivery in batch.silent] == [b"4-0"]
    assert {entry: reason for entry, (_, reason) in batch.invalid.items()} == {
        b"3-0": "invalid_json",
        b"7-0": "max_deliveries",
    }
    assert batch.ids == [b"2-0", b"4-0"]
    assert batch.audit.losses().trimmed == 2
    assert audit == SeqAudit(last_seq=1, last_id=b"1-0")


def test_read_again_without_being_left() -> None:
    """What is older than the newest entry acked was exported, unless it was left behind; pending or not."""
    audit = SeqAudit(last_seq=9, last_id=b"9-0")
    maker = assembler()
    assert not maker.batch([good(5)], audit, (), redelivered=False).lines
    assert maker.batch([good(5)], audit, {b"5-0": None}, redelivered=False).lines
    assert not maker.batch([good(6)], audit, (), redelivered=True).lines
    assert maker.batch([good(6)], audit, {b"6-0": None}, redelivered=True).lines


def test_built_once() -> None:
    """A line that could not be acked is the same when its entry comes again, until it is forgotten."""
    maker, delivery = assembler(), good(1)
    batch = maker.batch([delivery], SeqAudit(), (), redelivered=False)
    first = batch.lines[b"1-0"]
    maker.keep(batch)
    again = maker.batch([delivery], SeqAudit(), (), redelivered=True)
    assert again.lines[b"1-0"] is first
    maker.keep(again)
    maker.forget_all()
    assert maker.batch([delivery], SeqAudit(), (), redelivered=True).lines[b"1-0"] is not first


def test_doubt() -> None:
    """Redelivered invalid entries count towards a halt only until a new entry was valid."""
    maker, audit = assembler(), SeqAudit()
    maker.batch([bad(1), bad(2)], audit, (), redelivered=True)
    assert maker.invalid_row == 2
    maker.batch([bad(3)], audit, (), redelivered=False)
    assert maker.invalid_row == 3
    maker.batch([good(4)], audit, (), redelivered=True)
    assert (maker.invalid_row, maker.in_doubt) == (0, True)
    maker.batch([good(5)], audit, (), redelivered=False)
    assert not maker.in_doubt
    maker.batch([bad(1), bad(2), bad(3)], audit, (), redelivered=True)
    assert maker.invalid_row == 0
    maker.batch([bad(6)], audit, (), redelivered=False)
    assert maker.invalid_row == 1
