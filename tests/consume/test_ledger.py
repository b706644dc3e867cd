"""The ledger: how far a consumer got, and exact losses, whatever was deleted, rolled back or wiped."""

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer_parts import Parts, good
from payflux.consume.ledger import Losses, SeqAudit
from payflux.stream.deliveries import Delivery, Ledger, entry_key
from payflux.telemetry.metrics import PROCESSED, STREAM_LOST
from payflux.testing import MemoryStream

Seen = tuple[int, int]
"""Number and `lost_to` of an entry."""


def deliveries(*seen: Seen | int) -> list[Delivery]:
    """Entries with these numbers, in stream order."""
    pairs = [one if isinstance(one, tuple) else (one, 0) for one in seen]
    return [Delivery(b"%d-0" % at, seq, b"{}", lost_to=lost_to) for at, (seq, lost_to) in enumerate(pairs, 1)]


@pytest.mark.parametrize(
    ("last_seq", "seen", "losses"),
    [
        (0, [1, 2, 3], (0, 0)),
        (0, [], (0, 0)),
        (0, [3], (2, 0)),  # the first two were trimmed before anybody read
        (0, [1, 4, 5, 9], (5, 0)),
        (7, [8], (0, 0)),
        (7, [10], (2, 0)),
        (None, [500, 501], (0, 0)),  # nobody knows where the group was
        (None, [500, 503], (2, 0)),
        (5, [0, 6, 0, 0, 8], (1, 0)),  # entries without a number are somebody else's
        (10, [1, 2, 3], (0, 0)),  # began anew, and nobody had been told a number
        (10, [(1, 10), 2, 3], (0, 0)),  # all ten had been read
        (6, [(1, 10), 2, 3], (0, 4)),  # wiped with four unread
        (6, [(1, 10), (2, 10), (3, 11)], (0, 5)),  # two appenders, both told what was lost
        (6, [7, 8, (9, 12), 10], (0, 4)),  # the newest four were rolled back, unread
        (10, [(9, 12), 10, 11], (0, 2)),  # two of four rolled back had been read
        (12, [(9, 12), 10, 11], (0, 0)),
        (6, [(1, 10), 2, 4], (1, 4)),
        (6, [8, (11, 12)], (3, 2)),  # 7, 9 and 10 deleted, 11 and 12 rolled back
        (50, [(1, 50), 2, (1, 2), 2], (0, 0)),  # wiped twice, everything read before
        (50, [(1, 50), (1, 9)], (0, 8)),  # wiped twice, the second time with eight unread
        (0, [(1, 30)], (0, 30)),
        (None, [(5, 30)], (0, 26)),
    ],
)
def test_losses_are_told_from_the_numbers(last_seq: int | None, seen: list[Seen | int], losses: Losses) -> None:
    """Trimmed and reset losses of short histories."""
    audit = SeqAudit(last_seq)
    for delivery in deliveries(*seen):
        audit.see(delivery)
    assert audit.losses() == losses


def test_the_position_follows_every_entry() -> None:
    """The newest id is that of the last entry, numbered or not; the number that of the last numbered one."""
    audit = SeqAudit()
    for delivery in deliveries(1, 2, 0):
        audit.see(delivery)
    assert (audit.last_id, audit.last_seq) == (b"3-0", 2)


def test_counting_keeps_the_position_and_counts_nothing_twice() -> None:
    """What was counted is gone, what was reported is remembered, and the original is untouched."""
    audit = SeqAudit(6)
    for delivery in deliveries(8, (1, 10)):
        audit.see(delivery)
    counted = audit.counted()
    assert audit.losses() == (1, 2)
    assert counted.losses() == (0, 0)
    assert (counted.last_seq, counted.last_id, counted.reported) == (1, b"2-0", 10)
    counted.see(Delivery(b"3-0", 2, b"{}", lost_to=10))
    assert counted.losses() == (0, 0)


@given(
    st.integers(1, 60).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(1, n - 1)) if n > 1 else st.just(set()))
    ),
    st.integers(1, 7),
)
def test_any_set_of_deleted_entries_is_counted_exactly(history: tuple[int, set[int]], batch: int) -> None:
    """Whatever was deleted before the newest entry, and however reading was cut into batches."""
    count, deleted = history
    left = deliveries(*(seq for seq in range(1, count + 1) if seq not in deleted))
    audit, trimmed = SeqAudit(), 0
    for start in range(0, len(left), batch):
        audit = audit.counted()
        for delivery in left[start : start + batch]:
            audit.see(delivery)
        trimmed += audit.losses().trimmed
        assert audit.losses().reset == 0
    assert trimmed == len(deleted)


@dataclass
class Stream:
    """A stream with its appender and its reader, and the truth about what was lost."""

    audit: SeqAudit = field(default_factory=SeqAudit)
    seq: int = 0
    told: int = 0
    at: int = 0
    unread: list[Delivery] = field(default_factory=list)
    lost: int = 0

    def append(self, count: int) -> None:
        """New entries; the first one after a loss says so."""
        for _ in range(count):
            self.seq, self.at = self.seq + 1, self.at + 1
            lost_to = self.told if self.seq <= self.told else 0
            self.unread.append(Delivery(b"%d-0" % self.at, self.seq, b"{}", lost_to=lost_to))
            self.told = self.seq

    def read(self, count: int) -> None:
        """The oldest unread entries are read."""
        for delivery in self.unread[:count]:
            self.audit.see(delivery)
        del self.unread[:count]

    def delete(self, index: int) -> None:
        """An unread entry is trimmed; one that tells of a loss is not, for nothing could tell it then."""
        if index < len(self.unread) and not self.unread[index].lost_to:
            del self.unread[index]
            self.lost += 1

    def roll_back(self, entries: int) -> None:
        """Redis comes back without its newest entries; while the reader knows nothing of the last time it does not."""
        if (
            any(one.lost_to for one in self.unread)
            or self.seq < self.told
            or self.audit.reported > (self.audit.last_seq or 0)
        ):
            return
        first = max(0, self.seq - entries) + 1
        self.lost += sum(one.seq >= first for one in self.unread)
        self.unread = [one for one in self.unread if one.seq < first]
        self.seq = first - 1


steps = st.one_of(
    st.tuples(st.sampled_from(["append", "read"]), st.integers(1, 9)),
    st.tuples(st.just("delete"), st.integers(0, 9)),
    st.tuples(st.just("roll_back"), st.integers(1, 25)),
)


@given(st.lists(steps, max_size=60))
@settings(max_examples=200)
def test_every_history_is_accounted_for(history: list[tuple[str, int]]) -> None:
    """Appends, reads, deletions and losses of Redis's newest data in any order: the sum of the losses is the truth."""
    stream = Stream()
    for step, argument in history:
        getattr(stream, step)(argument)
    stream.append(1)  # the next event tells what is missing before it
    stream.read(1000)
    assert sum(stream.audit.losses()) == stream.lost


@pytest.mark.parametrize(
    "ordered", [[b"0-0", b"0-1", b"9-0", b"10-0", b"10-2", b"10-10", b"1767957855596-0"], [b"5", b"5-1"]]
)
def test_ids_are_ordered_as_the_stream_orders_them(ordered: list[bytes]) -> None:
    """By milliseconds, then by counter, both as numbers."""
    assert sorted(sorted(ordered), key=entry_key) == ordered


async def test_a_ledger_is_noted_as_it_will_be_after_a_batch() -> None:
    """Nothing of it is true before the ack has happened."""
    one = Parts(MemoryStream())
    found = [Delivery(b"%d-0" % at, at, good().data if at != 3 else b"{") for at in (1, 2, 3, 5)]
    batch = one.assembler.batch(found, 0, (), redelivered=False)
    audit = one.ledger.after(found)
    after = Ledger("one", last_id=b"5-0", last_seq=5, unacked=(b"3-0",))
    assert one.ledger.noted_after(batch, audit) == msgspec.structs.replace(after, in_doubt=b"1-2 5-5")
    assert one.ledger.noted() == Ledger("one")
    assert len(one.ledger.acked(batch, audit, b"101")) == 2
    assert one.ledger.noted() == after
    assert one.count(STREAM_LOST, "trimmed") == 1
    assert one.count(PROCESSED) == 2
    assert one.ledger.known(found) == 4
    silent = one.assembler.batch(found[:1], 1, (), redelivered=True)
    one.ledger.acked(silent, one.ledger.after([]), b"1")
    assert one.ledger.noted().settled == 1  # acked, and nothing of it is to be exported
    one.ledger.buried(b"3-0")
    assert not one.ledger.unacked


def test_the_place_of_an_entry() -> None:
    """Older or newer than the newest one seen, next to it or with something missing between."""
    one = Parts(MemoryStream())
    one.ledger.begin(Ledger("other", last_id=b"10-0", last_seq=7), fresh=True, former_settled=None)
    ids = [Delivery(b"9-5", 6, b""), Delivery(b"10-0", 7, b""), Delivery(b"11-0", 8, b"")]
    assert one.ledger.known(ids) == 2
    assert [one.ledger.is_behind(delivery.id) for delivery in ids] == [False, False, True]
    assert all(one.ledger.follows(delivery) for delivery in ids)
    assert not one.ledger.follows(Delivery(b"12-0", 9, b""))
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
    one = Parts(MemoryStream())
    before = Ledger(owner, acked=10, settled=7, last_id=b"10-0", last_seq=10, unacked=(b"4-0",))
    one.ledger.begin(before, fresh=fresh, former_settled=former_settled)
    assert one.count(STREAM_LOST, "crash") == lost
    assert (one.ledger.last_id, list(one.ledger.unacked)) == (b"10-0", [b"4-0"])


def test_nobody_noted_where_the_group_is() -> None:
    """Unknown until it is read, unless the group is made from the first entry on."""
    one, other = Parts(MemoryStream()), Parts(MemoryStream())
    for parts in (one, other):
        parts.ledger.begin(Ledger(), fresh=True, former_settled=None)
        assert not parts.ledger.begun
    one.ledger.place(b"0-0", anew=True)
    other.ledger.place(b"0-0", anew=False)
    assert (one.ledger.begun, other.ledger.begun) == (True, False)
    one.ledger.ended(3)
    other.ledger.ended(3)
    assert (one.count(STREAM_LOST, "trimmed"), other.count(STREAM_LOST, "trimmed")) == (3, 0)


@pytest.mark.parametrize(
    ("last_id", "anew", "kept"), [(b"9-0", True, True), (b"0-0", True, False), (b"8-0", False, True)]
)
def test_what_is_not_acked_is_forgotten_with_its_stream(last_id: bytes, anew: bool, kept: bool) -> None:
    """A group made anew in the same stream gives it again; one in another stream can't."""
    one = Parts(MemoryStream())
    one.ledger.begin(Ledger("other", last_id=b"9-0", last_seq=9, unacked=(b"4-0",)), fresh=True, former_settled=None)
    one.ledger.place(last_id, anew=anew)
    assert one.ledger.last_id == last_id
    assert bool(one.ledger.unacked) is kept
    one.ledger.keep_pending(set())
    assert not one.ledger.unacked
