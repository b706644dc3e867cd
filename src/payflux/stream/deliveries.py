"""What is read from the stream, how far its consumer got, and what waits in it."""

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
    """

    owner: str = ""
    acked: int = 0
    settled: int = 0
    last_id: bytes = b"0-0"
    last_seq: int | None = 0
    unacked: tuple[bytes, ...] = ()


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
