"""The ledger: how far a consumer got, what is not acked behind it, and what another left undone."""

import msgspec
import pytest

from consumer_parts import Parts
from payflux.consume.doubt import Run
from payflux.consume.ledger import Step
from payflux.exporters import Exported
from payflux.stream.deliveries import Delivery, Ledger, Numbers, entry_key
from payflux.telemetry.metrics import STREAM_LOST
from payflux.testing import MemoryStream


@pytest.mark.parametrize(
    "ordered", [[b"0-0", b"0-1", b"9-0", b"10-0", b"10-2", b"10-10", b"1767957855596-0"], [b"5", b"5-1"]]
)
def test_ids_are_ordered_as_the_stream_orders_them(ordered: list[bytes]) -> None:
    """By milliseconds, then by counter, both as numbers."""
    assert sorted(sorted(ordered), key=entry_key) == ordered


def test_a_ledger_is_noted_as_it_will_be_after_a_batch() -> None:
    """Nothing of it is true before the ack has happened."""
    one = Parts(MemoryStream())
    found = [Delivery(b"%d-0" % at, at, b"") for at in (1, 2, 3, 5)]
    assert one.ledger.after([1, 2, 3, 5], b"5-0") is None
    audit = one.ledger.after_gap(found, Numbers(5, [], b"4-0", b"1-0"))
    step = Step(audit, [b"1-0", b"2-0", b"5-0"], [b"3-0"], (Run(1, 2), Run(5, 5)))
    after = Ledger("one", last_id=b"5-0", last_seq=5, unacked=(b"3-0",))
    assert one.ledger.noted_after(step) == msgspec.structs.replace(after, in_doubt=b"1-2 5-5")
    assert one.ledger.noted() == Ledger("one")
    one.ledger.acked(step, lines=3, silent=0, gone=1)
    assert one.ledger.noted() == after
    assert one.count(STREAM_LOST, "trimmed") == 2  # the number 4, and one that was gone
    nothing = one.ledger.after([], b"")
    assert nothing is not None
    one.ledger.acked(Step(nothing, [b"1-0"], ()), lines=0, silent=1, gone=0)
    assert one.ledger.noted().settled == 1  # acked, and nothing of it is to be exported
    one.ledger.buried(b"3-0")
    assert not one.ledger.unacked


def test_the_place_of_an_entry() -> None:
    """Older or newer than the newest one seen, next to it or with something missing between."""
    one = Parts(MemoryStream())
    one.ledger.begin(Ledger("other", last_id=b"10-0", last_seq=7), fresh=True)
    entries = {b"9-5": 6, b"10-0": 7, b"11-0": 8}
    assert [one.ledger.is_behind(entry_id) for entry_id in entries] == [False, False, True]
    assert all(one.ledger.follows(entry_id, seq) for entry_id, seq in entries.items())
    assert not one.ledger.follows(b"12-0", 9)
    one.ledger.passed(b"9-9")
    assert one.ledger.last_id == b"10-0"
    one.ledger.passed(b"12-0")
    assert one.ledger.last_id == b"12-0"


@pytest.mark.parametrize(
    ("owner", "fresh", "former_settled", "lost"),
    [
        ("other", True, None, 3),
        ("other", True, 9, 3),
        ("one", True, None, 3),
        ("one", True, 9, 1),
        ("one", False, 9, 3),
    ],
)
def test_what_a_former_holder_acked_and_did_not_export(
    owner: str, fresh: bool, former_settled: int | None, lost: int
) -> None:
    """Counted as lost; a former process of this node may have exported more than it could note."""
    one = Parts(MemoryStream(), former_settled=former_settled)
    before = Ledger(owner, acked=10, settled=7, last_id=b"10-0", last_seq=10, unacked=(b"4-0",))
    one.ledger.begin(before, fresh=fresh)
    assert one.count(STREAM_LOST, "crash") == lost
    assert (one.ledger.last_id, list(one.ledger.unacked)) == (b"10-0", [b"4-0"])


@pytest.mark.parametrize(
    ("owner", "life", "lost"), [("one", 7, 3), ("one", 0, 3), ("one", 5, 0), ("other", 6, 0), ("other", 5, 3)]
)
def test_a_ledger_of_long_ago_is_not_counted_again(owner: str, life: int, lost: int) -> None:
    """Its holder had a successor: we hold 7, which went on from 6. What nobody went on from is counted."""
    one = Parts(MemoryStream(), former_settled=0)
    one.ledger.handled.begin(7, former=6)
    before = Ledger(owner, acked=10, settled=7, last_id=b"10-0", last_seq=10, life=life)
    one.ledger.begin(before, fresh=True, life=8)
    assert one.count(STREAM_LOST, "crash") == lost
    assert (one.ledger.handled.life, one.ledger.handled.former) == (8, life)


def test_lines_at_the_destination_that_nobody_noted_are_safe() -> None:
    """Those of entries to come or not acked; older ones are done."""
    one = Parts(MemoryStream())
    one.ledger.begin(Ledger("other", last_id=b"10-0", last_seq=7, unacked=(b"4-0",)), fresh=True)
    one.ledger.handled.note(6, [b"9-0"], b"9-0")
    there = [Exported("12-0", 9), Exported("11-0", 8), Exported("10-0", 7), Exported("9-0", 6), Exported("4-0", 3)]
    one.ledger.recognise(there)
    assert one.ledger.handled.safe == {b"4-0": 3, b"11-0": 8, b"12-0": 9}
    assert one.ledger.noted().settled == 3  # so that they count as exported once they are acked


def test_nobody_noted_where_the_group_is() -> None:
    """Unknown until it is read, unless the group is made from the first entry on."""
    one, other = Parts(MemoryStream()), Parts(MemoryStream())
    for parts in (one, other):
        parts.ledger.begin(Ledger(), fresh=True)
        assert not parts.ledger.begun
    one.ledger.place(b"0-0", anew=True)
    other.ledger.place(b"0-0", anew=False)
    assert (one.ledger.begun, other.ledger.begun) == (True, False)
    for parts in (one, other):
        parts.ledger.ended(3, Numbers(3, [], None, b""))
    assert (one.ledger.lacks(4), one.ledger.lacks(3), other.ledger.lacks(4)) == (True, False, False)
    assert (one.count(STREAM_LOST, "trimmed"), other.count(STREAM_LOST, "trimmed")) == (3, 0)


@pytest.mark.parametrize(
    ("last_id", "anew", "kept"), [(b"9-0", True, True), (b"0-0", True, False), (b"8-0", False, True)]
)
def test_what_is_not_acked_is_forgotten_with_its_stream(last_id: bytes, anew: bool, kept: bool) -> None:
    """A group made anew in the same stream gives it again; one in another stream can't."""
    one = Parts(MemoryStream())
    one.ledger.begin(Ledger("other", last_id=b"9-0", last_seq=9, unacked=(b"4-0",)), fresh=True)
    one.ledger.place(last_id, anew=anew)
    assert one.ledger.last_id == last_id
    assert bool(one.ledger.unacked) is kept
    one.ledger.keep_pending(set(), b"9-0")
    assert not one.ledger.unacked
