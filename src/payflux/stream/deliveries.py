"""What is read from the stream, how far its consumer got, and what waits in it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One reading of one event.

    Attributes:
        id: the entry's id in the stream, `<milliseconds>-<counter>`.
        seq: its number, without gaps; 0 when the entry has none.
        data: the canonical JSON; None when the entry has none.
        attempts: how often it has been delivered.
        lost_to: above 0, the stream had lost events before this entry, the last of them numbered so.
        gone: it is pending, but was deleted from the stream.
    """

    id: bytes
    seq: int
    data: bytes | None
    attempts: int = 1
    lost_to: int = 0
    gone: bool = False

    def tried(self) -> "Delivery":
        """The same, delivered once more."""
        return msgspec.structs.replace(self, attempts=self.attempts + 1)

    @property
    def at_ms(self) -> int:
        """When it was appended by the clock of the stream, milliseconds."""
        return at_ms(self.id)


def entry_key(entry_id: bytes) -> tuple[int, int]:
    """An entry id as it is ordered: milliseconds and counter."""
    milliseconds, _, counter = entry_id.partition(b"-")
    return int(milliseconds), int(counter or 0)


def just_before(entry_id: bytes) -> bytes:
    """The highest id below an entry's."""
    milliseconds, counter = entry_key(entry_id)
    return b"%d-%d" % (milliseconds, counter - 1) if counter else b"%d-%d" % (milliseconds - 1, 2**64 - 1)


def at_ms(entry_id: bytes) -> int:
    """When an entry was appended by the clock of the stream, milliseconds."""
    return int(entry_id[: entry_id.index(b"-")])


class Ledger(msgspec.Struct):
    """How far the consumer of a stream got; survives it in the stream's own store.

    Attributes:
        owner: who wrote it.
        acked: events it acked so far.
        settled: of those, how many are exported or counted as not exported.
        last_id: the newest entry acked or dead-lettered.
        last_seq: its number; None when that cannot be known.
        unacked: older entries that are not acked yet, in order.
        in_doubt: the numbers of acked events that may not be exported yet, `first-last` each, separated by blanks.
        life: tells this count of acked events from every other one, above 0; 0 when that is not known.
    """

    owner: str = ""
    acked: int = 0
    settled: int = 0
    last_id: bytes = b"0-0"
    last_seq: int | None = 0
    unacked: tuple[bytes, ...] = ()
    in_doubt: bytes = b""
    life: int = 0


class Tail(NamedTuple):
    """The end of the stream, when everything in it was read.

    Attributes:
        seq: the last number given.
        at_ms: the time by the stream's clock, milliseconds.
    """

    seq: int
    at_ms: int


class Change(NamedTuple):
    """An assessment that is to be kept with the stream.

    Attributes:
        processor: the payment processor.
        second: stream time from which on it holds; a processor's go up.
        data: the assessment as JSON.
    """

    processor: str
    second: int
    data: bytes


class Scored(NamedTuple):
    """A place in the stream in stream time: between two seconds.

    Attributes:
        second: the one before it.
        seq: the number of the first entry after it, or a lower one; 0 when that is not known.
    """

    second: int = 0
    seq: int = 0

    @property
    def just_before(self) -> bytes:
        """The highest entry id before it."""
        return just_before(b"%d-0" % (1000 * (self.second + 1))) if self.second else b"0-0"


class RiskNews(NamedTuple):
    """What is to be kept of the risk of processors.

    Attributes:
        changes: assessments, in order.
        snapshots: by processor, each with what was said last of it, be it nothing: so that it is found again.
        scored: the place up to which everything is in some snapshot; None when that has not changed.
        forgotten: processors of which nothing is to be kept any more but their snapshots.
    """

    changes: Sequence[Change] = ()
    snapshots: Mapping[str, tuple[Change, bytes]] = {}
    scored: Scored | None = None
    forgotten: Sequence[str] = ()


class IncidentNews(NamedTuple):
    """Something that became of an incident.

    Attributes:
        kind: `opened`, `worsened`, `resolved`, or `updated`, which is no news but newer numbers.
        processor: whom it concerns; empty for all.
        id: of the incident.
        record: the incident as JSON.
    """

    kind: str
    processor: str
    id: str
    record: bytes


class Told(NamedTuple):
    """A step in what is told of incidents: kept as a whole, once, if it is later than the one before.

    Attributes:
        second: stream time up to which everything is told.
        state: what a successor has to know to tell what comes after.
        changes: what became of incidents, in order.
    """

    second: int = -1
    state: bytes = b""
    changes: Sequence[IncidentNews] = ()


class IncidentsKept(NamedTuple):
    """What is kept of incidents.

    Attributes:
        second: stream time up to which everything is told; below 0 when nothing ever was.
        state: what was known then; empty when nothing was.
        open: the open incidents as JSON, by id.
    """

    second: int
    state: bytes
    open: Mapping[str, bytes]


class RiskKept(NamedTuple):
    """What is kept of the risk of processors, beside their snapshots.

    Attributes:
        log: assessments as JSON, in the order they were kept; older ones are dropped.
        current: the latest one of each processor.
        scored: the place up to which everything is in some snapshot.
    """

    log: Sequence[bytes]
    current: Mapping[str, bytes]
    scored: Scored


class Numbers(NamedTuple):
    """What a stream tells of the numbers of its entries, to judge some that were read before.

    Attributes:
        newest: the last number given; None when that is not known.
        following: some of the entries after those, asked for after `newest`; none when nothing follows.
        deleted: the newest entry that was deleted other than by trimming; None where the server does not tell.
        first: the oldest entry, asked for after `following`; empty when there is none.
    """

    newest: int | None
    following: list[Delivery]
    deleted: bytes | None
    first: bytes

    def nothing_deleted_after(self, entry_id: bytes) -> bool:
        """Whether an entry and every one that was ever appended after it are still there; false when in doubt."""
        if not self.first or entry_key(entry_id) < entry_key(self.first):
            return False
        if self.deleted is None:
            return entry_id == self.first  # what is trimmed is trimmed from the oldest on
        return entry_key(entry_id) > entry_key(self.deleted)


class Backlog(NamedTuple):
    """What waits in the stream.

    Attributes:
        length: entries in the stream.
        pending: entries read and not acked.
        lag: entries not yet read.
        dead: entries in the dead-letter stream.
    """

    length: int
    pending: int
    lag: int
    dead: int
