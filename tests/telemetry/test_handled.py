"""What a consumer was done with, in shared memory: it outlives the process, and its oldest entries make room."""

from payflux.telemetry.handled import HALF, SECTION, Handled
from payflux.telemetry.slab import Slab


def memory() -> Slab:
    """The shared memory of a node."""
    return Slab.create({SECTION: Handled.size()})


def ids(first: int, count: int) -> list[bytes]:
    """So many entries."""
    return [b"%d-0" % at for at in range(first, first + count)]


def test_a_successor_goes_on_from_what_was_exported() -> None:
    """Of what was acked and not exported it knows nothing: that has to come once more, if it is there."""
    slab = memory()
    former = Handled(slab)
    former.note(1, ids(1, 5), b"5-0")
    former.note_all([(b"7-0", 7), (b"9-0", 9), (b"10-0", 10)])
    former.acked()
    former.report(4, 2)
    assert (former.newest, former.highest) == (b"10-0", 10)
    successor = Handled(slab)
    successor.restart(6)
    assert successor.all() == dict(zip(ids(1, 5), range(1, 6), strict=True)) | {b"7-0": 7}
    assert (successor.newest, successor.highest, successor.reported, successor.parted) == (b"7-0", 7, 4, 2)
    successor.note(8, ids(8, 3), b"10-0")
    successor.acked()
    third = Handled(slab)
    third.restart(3)
    assert list(third.all().values()) == [1, 2, 3, 4, 5, 7, 8, 9, 10]


def test_what_is_safe_and_not_acked_is_told_from_the_rest() -> None:
    """By the process that made it safe, and by its successors until one has acked it."""
    slab = memory()
    former = Handled(slab)
    former.make_safe([(b"1-0", 1), (b"2-0", 2)])
    former.ack_safe([b"1-0", b"2-0"])
    former.make_safe([(b"3-0", 3), (b"4-0", 4)])
    assert (former.newest, former.highest, former.safe) == (b"2-0", 4, {b"3-0": 3, b"4-0": 4})
    for _ in range(2):
        successor = Handled(slab)
        successor.restart(99)
        assert (successor.newest, successor.highest, successor.safe) == (b"2-0", 4, {b"3-0": 3, b"4-0": 4})
        assert successor.all() == {b"1-0": 1, b"2-0": 2}
    successor.ack_safe([b"3-0"])
    assert successor.newest == b"2-0"
    successor.ack_safe([b"4-0"])
    assert (successor.newest, list(successor.all())) == (b"4-0", ids(1, 4))


def test_the_oldest_make_room() -> None:
    """The newest half at least is kept, without a gap."""
    handled = Handled(memory())
    size = 1000
    count = 3 * HALF // 10 // size
    for batch in range(count):
        found = ids(1 + batch * size, size)
        handled.note(1 + batch * size, found, found[-1])
    seqs = list(handled.all().values())
    assert seqs == list(range(seqs[0], 1 + count * size))
    assert HALF < sum(len(b"%d-0 " % seq) for seq in seqs) <= 2 * HALF


def test_some_are_kept() -> None:
    """After that, lines that were exported before are still counted from where they were."""
    slab = memory()
    handled = Handled(slab)
    handled.note(1, ids(1, 9), b"9-0")
    handled.acked()
    handled.keep({b"1-0": 1, b"2-0": 2}, {})
    assert (handled.newest, handled.highest) == (b"2-0", 2)
    handled.note(3, ids(20, 2), b"21-0")
    handled.acked()
    successor = Handled(slab)
    successor.restart(10)
    assert successor.all() == {b"1-0": 1, b"2-0": 2, b"20-0": 3}
