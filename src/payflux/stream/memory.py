"""The stream in memory, for tests of what is built on PayFlux."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from payflux.errors import StreamUnavailable
from payflux.event.decode import StoredEvent
from payflux.stream.deliveries import (
    Backlog,
    Change,
    Delivery,
    IncidentsKept,
    Ledger,
    Numbers,
    RiskKept,
    RiskNews,
    Tail,
    Told,
    entry_key,
)
from payflux.stream.protocol import APPENDED, DUPLICATE, GROUP, GroupMissing, LeaseLost, OnAppended
from payflux.stream.risk_store import RiskStore

LEASE_SECONDS = 5.0
NAME_SECONDS = 10.0
SLICE = 200

_Id = tuple[int, int]
_id = entry_key


class _Pending(NamedTuple):
    since: float
    attempts: int


@dataclass
class _Place:
    """What the stream knows of a group, and loses with itself."""

    last: _Id
    pending: dict[_Id, _Pending] = field(default_factory=dict)


@dataclass
class _Group:
    """What is kept for the members of a group, whatever becomes of the stream."""

    place: _Place | None = None
    lease: tuple[str, float] = ("", float("-inf"))
    names: dict[str, tuple[str, float]] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)


@dataclass
class _Store:
    """What a server would hold; shared by all members of a stream."""

    entries: dict[_Id, tuple[int, bytes]] | None = None
    newest: _Id = (0, 0)
    seq: int = 0
    marks: set[bytes] = field(default_factory=set)
    dead: list[tuple[Delivery, str]] = field(default_factory=list)
    groups: dict[str, _Group] = field(default_factory=dict)
    risk: RiskStore = field(default_factory=RiskStore)
    appended: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryStream:
    """The stream in memory, both sides of it: an `AppendStream` and a `ReadStream` for one process and one event loop.

    Ids, idle times and leases follow the given clock; event ids are remembered for ever.

    Args:
        consumer: the name in the group.
        token: what tells this member's node from every other one.
        group: the group it consumes for.
        maxlen: length of the stream, exact; 0 for no trimming.
        now: the clock, Unix seconds.

    Attributes:
        failure: while set, nothing works and this is why.
    """

    def __init__(
        self,
        consumer: str = "one",
        token: str = "one",  # noqa: S107 - a name, no secret
        *,
        group: str = GROUP,
        maxlen: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.consumer = consumer
        self.failure: StreamUnavailable | None = None
        self._token, self._maxlen, self._now = token, maxlen, now
        self._enter(_Store(), group)

    def _enter(self, store: _Store, group: str) -> None:
        self._store, self._group_name = store, group
        self._group = store.groups.setdefault(group, _Group())

    def member(self, consumer: str, token: str, group: str = "") -> "MemoryStream":
        """Another member on the same stream, as another node would be; of the same group unless told otherwise."""
        other = MemoryStream(consumer, token, maxlen=self._maxlen, now=self._now)
        other._enter(self._store, group or self._group_name)
        return other

    def entries(self) -> list[Delivery]:
        """What is in the stream, in order; `attempts` is 0."""
        return [Delivery(_text(at), seq, data, 0) for at, (seq, data) in (self._store.entries or {}).items()]

    def dead_letters(self) -> list[tuple[Delivery, str]]:
        """What was dead-lettered, with the reasons."""
        return list(self._store.dead)

    def backlog(self) -> Backlog:
        """What waits in the stream for this group."""
        entries, place = self._store.entries or {}, self._group.place
        unread = sum(place is None or at > place.last for at in entries)
        return Backlog(len(entries), len(place.pending) if place else 0, unread, len(self._store.dead))

    def trim(self, length: int) -> None:
        """Delete the oldest entries, read or not, until so many are left; 0 is all."""
        entries = self._store.entries or {}
        for at in list(entries)[: max(0, len(entries) - length)]:
            del entries[at]

    def delete(self) -> None:
        """Delete the stream and its groups, as an operator might; ids and numbers given stay known."""
        self._store.entries, self._store.newest = None, (0, 0)
        for group in self._store.groups.values():
            group.place = None

    def destroy_group(self) -> None:
        """Delete this group alone, as an operator might."""
        self._group.place = None

    def append(self, events: Sequence[StoredEvent], on_appended: OnAppended) -> None:
        """Store events; see AppendStream."""
        loop = asyncio.get_running_loop()
        if self.failure is not None:
            loop.call_soon(on_appended, b"", self.failure)
            return
        results = bytes(self._append(event) for event in events)
        if self._maxlen:
            self.trim(self._maxlen)
        self._store.appended.set()
        loop.call_soon(on_appended, results, None)

    async def probe(self) -> None:
        """Prove that appending works; see AppendStream."""
        self._check()

    async def connect(self) -> bool:
        """Nothing to connect; see ReadStream."""
        self._check()
        return False

    async def claim_name(self) -> bool:
        """Take or keep the consumer name; see ReadStream."""
        self._check()
        names, now = self._group.names, self._now()
        holder, until = names.get(self.consumer, ("", now))
        if holder != self._token and now < until:
            return False
        names[self.consumer] = (self._token, now + NAME_SECONDS)
        return True

    async def take_lease(self, ledger: Ledger, *, fresh: bool) -> Ledger | None:
        """Take or keep the lease; see ReadStream."""
        self._check()
        group, now = self._group, self._now()
        holder, until = group.lease
        if holder != self._token and now < until:
            return None
        group.lease = (self._token, now + LEASE_SECONDS)
        if group.ledger.owner == self._token and not fresh:
            group.ledger.settled, group.ledger.in_doubt = ledger.settled, ledger.in_doubt
            return ledger
        before, begun = group.ledger, {"owner": self._token, "acked": 0, "settled": 0, "in_doubt": b""}
        group.ledger = msgspec.structs.replace(before, life=ledger.life, **begun)
        return before

    async def ensure_group(self, ledger: Ledger) -> bool:
        """Make the group if it is missing; see ReadStream."""
        self._check()
        store = self._store
        if self._group.place is not None:
            if store.newest < entry_key(ledger.last_id):
                ledger.last_id = _text(store.newest)
            return False
        if store.entries is None or store.newest < entry_key(ledger.last_id):
            ledger.last_id, ledger.unacked = b"0-0", ()
        if store.entries is None:
            store.entries = {}
        milliseconds, counter = entry_key(ledger.unacked[0] if ledger.unacked else ledger.last_id)
        self._group.place = _Place((milliseconds, counter - 1) if ledger.unacked else (milliseconds, counter))
        return True

    async def position(self) -> bytes:
        """The newest entry the group was given; see ReadStream."""
        return _text(self._place().last)

    async def read(self, count: int, block_seconds: float) -> list[Delivery]:
        """Read new entries; see ReadStream."""
        return await self._wait(lambda: self._unread(count), block_seconds)

    async def follow(self, after: bytes, count: int, block_seconds: float) -> list[Delivery]:
        """Entries after an id; see ReadStream."""
        self._check()
        return await self._wait(lambda: self._after(entry_key(after), count), block_seconds)

    async def following(self, after: bytes, count: int) -> list[Delivery]:
        """Entries after an id; see ReadStream."""
        self._check()
        return self._after(entry_key(after), count)

    async def numbers(self, after: bytes) -> Numbers:
        """What is known of the numbers; see ReadStream. What was deleted is not remembered."""
        self._check()
        first = next(iter(self._store.entries or {}), None)
        return Numbers(self._store.seq, self._after(entry_key(after), SLICE), None, _text(first) if first else b"")

    async def _wait(self, found: Callable[[], list[Delivery]], seconds: float) -> list[Delivery]:
        if not (deliveries := found()):
            self._store.appended.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._store.appended.wait()
            except TimeoutError:
                return []
            deliveries = found()
        return deliveries

    async def commit(  # noqa: PLR0917 - as in ReadStream
        self,
        ledger: Ledger,
        after: bytes,
        entries: int,
        trimmed: int,
        undone: Sequence[bytes],
        changes: Sequence[Change] = (),
    ) -> Sequence[bytes]:
        """Note that what was followed is done; see ReadStream. The other numbers serve the lag a server tells."""
        del after, trimmed
        self._hold()
        place = self._place()
        place.last = entry_key(ledger.last_id)
        alive = self._store.entries or {}
        place.pending |= {entry_key(entry): _Pending(self._now(), 1) for entry in undone if entry_key(entry) in alive}
        self._note(ledger, entries - len(undone))
        self._store.risk.keep_changes(changes)
        return [entry for entry in undone if entry_key(entry) not in alive]

    async def noted(self) -> Ledger:
        """The ledger as it was noted last; see ReadStream."""
        self._check()
        return msgspec.structs.replace(self._group.ledger)

    async def pending(self, after: bytes, idle_seconds: float) -> list[Delivery]:
        """Take over pending entries; see ReadStream."""
        place, now, start = self._place(), self._now(), entry_key(after)
        idle = [at for at, one in sorted(place.pending.items()) if at > start and now - one.since >= idle_seconds]
        deliveries = []
        for at in idle[:SLICE]:
            attempts = place.pending[at].attempts
            entry = (self._store.entries or {}).get(at)
            if entry is None:
                deliveries.append(Delivery(_text(at), 0, None, attempts, gone=True))
            else:
                place.pending[at] = _Pending(now, attempts)
                deliveries.append(Delivery(_text(at), *entry, attempts))
        return deliveries

    async def attempt(self, ids: Sequence[bytes]) -> None:
        """Count one more delivery; see ReadStream."""
        pending = self._place().pending
        for at in map(entry_key, ids):
            pending[at] = _Pending(self._now(), pending[at].attempts + 1)

    async def ack(self, ids: Sequence[bytes], ledger: Ledger, expected: int) -> bytes:
        """Ack entries and note the ledger; see ReadStream. `expected` only spares a server work."""
        del expected
        self._hold()
        flags = b""
        if ids:
            pending = self._place().pending
            flags = b"".join(b"0" if pending.pop(entry_key(entry), None) is None else b"1" for entry in ids)
        self._note(ledger, flags.count(b"1"))
        return flags

    def _note(self, ledger: Ledger, acked: int) -> None:
        group = self._group
        counted = {"acked": group.ledger.acked + acked, "life": group.ledger.life}
        group.ledger = msgspec.structs.replace(ledger, owner=self._token, **counted)
        group.lease = (self._token, self._now() + LEASE_SECONDS)

    async def dead_letter(self, delivery: Delivery, reason: str, ledger: Ledger) -> bool:
        """Copy an entry to the dead letters, then ack it; see ReadStream."""
        self._hold()
        if self._place().pending.pop(entry_key(delivery.id), None) is None:
            return False
        self._store.dead.append((delivery, reason))
        noted = self._group.ledger
        noted.owner, noted.last_id, noted.last_seq = self._token, ledger.last_id, ledger.last_seq
        return True

    async def unread_tail(self, ledger: Ledger) -> Tail | None:
        """The last number given when nothing follows; see ReadStream."""
        self._check()
        last = entry_key(ledger.last_id)
        followed = any(at > last for at in self._store.entries or {})
        return None if followed else Tail(self._store.seq, int(self._now() * 1000))

    async def keep_risk(self, news: RiskNews) -> None:
        """Keep assessments and snapshots; see ReadStream."""
        self._hold()
        self._store.risk.keep(news)

    async def risk(self) -> RiskKept:
        """What is kept of the risk of processors; see ReadStream."""
        self._check()
        return self._store.risk.kept()

    async def snapshot(self, processor: str) -> bytes | None:
        """The snapshot that is kept of a processor; see ReadStream."""
        self._check()
        return self._store.risk.snapshot(processor)

    async def keep_incidents(self, told: Sequence[Told]) -> None:
        """Keep what became of incidents; see ReadStream."""
        self._hold()
        self._store.risk.tell(told)

    async def incidents(self) -> IncidentsKept:
        """What is kept of incidents; see ReadStream."""
        self._check()
        return self._store.risk.told()

    async def leave(self) -> None:
        """Give up lease and name; see ReadStream."""
        group = self._group
        if group.lease[0] == self._token:
            group.lease = ("", float("-inf"))
        if group.names.get(self.consumer, ("", 0.0))[0] == self._token:
            del group.names[self.consumer]

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _hold(self) -> None:
        self._check()
        holder, until = self._group.lease
        if holder != self._token or self._now() >= until:
            raise LeaseLost("another consumer may hold the stream")

    def _place(self) -> _Place:
        self._check()
        if self._group.place is None:
            raise GroupMissing("the group does not exist")
        return self._group.place

    def _append(self, event: StoredEvent) -> int:
        store = self._store
        if event.uid in store.marks:
            return DUPLICATE
        if store.entries is None:
            store.entries = {}
        last, counter = store.newest
        store.newest = max((int(self._now() * 1000), 0), (last, counter + 1))
        store.seq += 1
        store.entries[store.newest] = (store.seq, event.data)
        store.marks.add(event.uid)
        return APPENDED

    def _unread(self, count: int) -> list[Delivery]:
        place, now = self._place(), self._now()
        found = self._after(place.last, count)
        for delivery in found:
            place.last = entry_key(delivery.id)
            place.pending[place.last] = _Pending(now, 1)
        return found

    def _after(self, last: _Id, count: int) -> list[Delivery]:
        entries = self._store.entries or {}
        return [Delivery(_text(at), *entries[at]) for at in entries if at > last][:count]


def _text(entry: _Id) -> bytes:
    return b"%d-%d" % entry
