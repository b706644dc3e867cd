"""What numbers tell: exact losses, whatever was deleted, rolled back or wiped, and numbers that are not ours."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.consume.audit import Losses, SeqAudit
from payflux.stream.deliveries import Delivery

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
