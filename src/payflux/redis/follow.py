"""The consumer's side of the stream on Redis: lease, group, reading, reclaim, ack, dead letters."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import hiredis

from payflux.errors import StreamUnavailable
from payflux.log import log
from payflux.redis.address import RedisAddress
from payflux.redis.dial import Dialler
from payflux.redis.entries import FIRST, count_of, deliveries_of, delivery_of, ledger_of, newest_id, settled_text
from payflux.redis.keys import Keys
from payflux.redis.link import Command
from payflux.redis.replies import named, text, unavailable
from payflux.redis.risk.keeper import MOST_ASSESSMENTS, RiskKeeper, words
from payflux.redis.script import Script, explained
from payflux.stream.deliveries import (
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
    just_before,
)
from payflux.stream.protocol import BurialRefused, GroupMissing, LeaseLost

LEASE_MS = 5000
NAME_MS = 10_000
SLICE = 200

_CLAIM_NAME, _LEASE, _LEAVE = Script("claim_name"), Script("lease"), Script("leave")
_ACK, _COMMIT, _DEAD_LETTER, _UNREAD_TAIL = (
    Script("ack"),
    Script("commit"),
    Script("dead_letter"),
    Script("unread_tail"),
)


class RedisReader:
    """One consumer of a group, on two connections: one may block in a read while the other acks and renews."""

    def __init__(
        self, address: RedisAddress, keys: Keys, group: str, consumer: str, token: str, *, at_newest: bool = False
    ) -> None:
        """Prepare; `connect` connects.

        Args:
            address: of Redis.
            keys: of the stream.
            group: the group it consumes for; each has a lease, a ledger, names and a place of its own.
            consumer: the name in the group.
            token: what tells this node from every other one.
            at_newest: a group that never was begins with what is appended from then on, and not with the oldest entry.
        """
        self.consumer = consumer
        self._at_newest = at_newest
        self._keys, self._group, self._token = keys, group, token
        self._stream, self._name = keys.stream, keys.consumer(group, consumer)
        self._lease, self._ledger = keys.lease(group), keys.ledger(group)
        self._risk = RiskKeeper(keys, token)
        self._dialler = Dialler(address, f"payflux-{consumer}"[:60])
        self._read_dialler = Dialler(address, "payflux-reader")

    async def connect(self) -> bool:
        """Connect what is not connected; see ReadStream."""
        connected = self._dialler.connected and self._read_dialler.connected
        await self._dialler.connect()
        await self._read_dialler.connect()
        return not connected

    async def claim_name(self) -> bool:
        """Take or keep the consumer name for this node; see ReadStream."""
        return bool(await self._run(_CLAIM_NAME, (self._name,), (self._token, NAME_MS)))

    async def take_lease(self, ledger: Ledger, *, fresh: bool) -> Ledger | None:
        """Take or keep the lease; see ReadStream."""
        arguments = (self._token, LEASE_MS, int(fresh), settled_text(ledger), ledger.life)
        reply = await self._run(_LEASE, (self._lease, self._ledger), arguments)
        if reply is None:
            return None
        kept, before = reply
        return ledger if kept else await self._numbered(await self._trusted(before))

    async def ensure_group(self, ledger: Ledger) -> bool:
        """Make the group if it is missing; see ReadStream."""
        newest, position = await newest_id(self._dialler.link, self._stream), await self._position()
        if position is not None:
            if newest is not None and entry_key(newest) < entry_key(ledger.last_id):
                ledger.last_id = newest
            return False
        start = just_before(ledger.unacked[0]) if ledger.unacked else ledger.last_id
        if newest is None or entry_key(newest) < entry_key(ledger.last_id):
            ledger.last_id, ledger.unacked, start = b"0-0", (), b"0-0"
        elif self._at_newest and ledger.last_id == FIRST:
            start = await self._begin_at_newest(ledger)
        try:
            await self._call("XGROUP", "CREATE", self._stream, self._group, start, "MKSTREAM")
        except StreamUnavailable as error:
            if "BUSYGROUP" in str(error):
                return False
            raise
        return True

    async def _begin_at_newest(self, ledger: Ledger) -> bytes:
        """Note that all there is lies behind us, before the group is made: it is made there whatever comes between."""
        entries, seq = await self._calls(
            [("XREVRANGE", self._stream, "+", "-", "COUNT", 1), ("HGET", self._keys.state, "seq")]
        )
        if entries:
            (newest,) = deliveries_of(entries)
            ledger.last_id, ledger.last_seq = newest.id, newest.seq or count_of(seq or b"")
            await self.ack([], ledger, 0)
        return ledger.last_id

    async def position(self) -> bytes:
        """The newest entry the group was given; see ReadStream."""
        found = await self._position()
        if found is None:
            raise GroupMissing("the group does not exist")
        return found

    async def _position(self) -> bytes | None:
        try:
            groups = await self._call("XINFO", "GROUPS", self._stream)
        except StreamUnavailable as error:
            if "no such key" in str(error):
                return None
            raise
        places = {group[b"name"]: group[b"last-delivered-id"] for group in map(named, groups)}
        return places.get(self._group.encode())

    async def read(self, count: int, block_seconds: float) -> list[Delivery]:
        """Read new entries; see ReadStream."""
        return await self._read(("XREADGROUP", "GROUP", self._group, self.consumer), count, block_seconds, b">")

    async def follow(self, after: bytes, count: int, block_seconds: float) -> list[Delivery]:
        """Entries after an id; see ReadStream."""
        return await self._read(("XREAD",), count, block_seconds, after)

    async def _read(self, how: Command, count: int, block_seconds: float, after: bytes) -> list[Delivery]:
        block = max(1, int(block_seconds * 1000))
        command = (*how, "COUNT", count, "BLOCK", block, "STREAMS", self._stream, after)
        try:
            reply = await self._read_dialler.link.call(*command, timeout=block_seconds + 4)
        except hiredis.ReplyError as error:
            raise _translate(error) from None
        return [] if reply is None else deliveries_of(reply[0][1])

    async def following(self, after: bytes, count: int) -> list[Delivery]:
        """Entries after an id; see ReadStream."""
        return deliveries_of(await self._call("XRANGE", self._stream, b"(" + after, "+", "COUNT", count))

    async def numbers(self, after: bytes) -> Numbers:
        """What the stream tells of the numbers of its entries; see ReadStream."""
        seq, entries, info = await self._calls(
            [
                ("HGET", self._keys.state, "seq"),
                ("XRANGE", self._stream, b"(" + after, "+", "COUNT", SLICE),
                ("XINFO", "STREAM", self._stream),
            ]
        )
        found = named(info)
        first = found[b"first-entry"]
        return Numbers(
            count_of(seq or b"") or None,
            deliveries_of(entries),
            found.get(b"max-deleted-entry-id"),
            first[0] if first else b"",
        )

    async def commit(  # noqa: PLR0917 - as in ReadStream
        self,
        ledger: Ledger,
        after: bytes,
        entries: int,
        trimmed: int,
        undone: Sequence[bytes],
        changes: Sequence[Change] = (),
    ) -> Sequence[bytes]:
        """Note that what was followed is done; see ReadStream."""
        arguments: Command = (
            *self._head(ledger),
            self.consumer,
            entries - len(undone),
            after,
            entries,
            trimmed,
            MOST_ASSESSMENTS,
            len(changes),
            *words(changes),
            *undone,
        )
        gone: list[bytes] = await self._guarded(_COMMIT, arguments, self._keys.assessments, self._keys.risk)
        return gone

    async def noted(self) -> Ledger:
        """The ledger as it was noted last; see ReadStream."""
        return await self._trusted(await self._call("HGETALL", self._ledger))

    async def _trusted(self, flat: list[bytes]) -> Ledger:
        """The ledger; anybody may have written there, and what cannot be ours is put right from the group's place."""
        ledger, odd = ledger_of(flat)
        newest, place = await newest_id(self._dialler.link, self._stream), await self._position()
        if place is not None and newest is not None and entry_key(ledger.last_id) > entry_key(newest):
            odd["last_id"] = ledger.last_id  # without a group it is another stream, which is no mistake
        if odd:
            log("error", "ledger_rebuilt", key=self._ledger, **{name: text(value)[:80] for name, value in odd.items()})
        if not {"last_id", "last_seq", "left"}.isdisjoint(odd):
            ledger.last_id, ledger.last_seq, ledger.unacked = place or FIRST, None, ()
        return ledger

    async def _numbered(self, ledger: Ledger) -> Ledger:
        """The ledger with a number that is not below that of the entry it ends at: what it ends at was not lost."""
        entries = await self._call("XREVRANGE", self._stream, ledger.last_id, b"-", "COUNT", 1)
        seq = deliveries_of(entries)[0].seq if entries else 0
        if seq and (ledger.last_seq is None or seq > ledger.last_seq):
            ledger.last_seq = seq
        return ledger

    async def pending(self, after: bytes, idle_seconds: float) -> list[Delivery]:
        """Take over pending entries; see ReadStream."""
        idle = int(idle_seconds * 1000)
        start = b"-" if after == b"0-0" else b"(" + after
        rows = await self._call("XPENDING", self._stream, self._group, "IDLE", idle, start, "+", SLICE)
        if not rows:
            return []
        found = await self._calls([("XRANGE", self._stream, row[0], row[0]) for row in rows])
        alive = [row[0] for row, entries in zip(rows, found, strict=True) if entries]
        if alive:
            await self._call("XCLAIM", self._stream, self._group, self.consumer, idle, *alive, "JUSTID")
        return [
            delivery_of(entry_id, entries[0][1] if entries else None, attempts)
            for (entry_id, _, _, attempts), entries in zip(rows, found, strict=True)
        ]

    async def attempt(self, ids: Sequence[bytes]) -> None:
        """Count one more delivery; see ReadStream."""
        await self._call("XCLAIM", self._stream, self._group, self.consumer, 0, *ids)

    async def ack(self, ids: Sequence[bytes], ledger: Ledger, expected: int) -> bytes:
        """Ack entries and note the ledger; see ReadStream."""
        return bytes(await self._guarded(_ACK, (*self._head(ledger), expected, *ids)))

    async def dead_letter(self, delivery: Delivery, reason: str, ledger: Ledger) -> bool:
        """Copy an entry to the dead-letter stream, then ack it; see ReadStream."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        dead_letters = self._keys.dead_letters(self._group, clustered=self._dialler.link.clustered)
        arguments = (self._group, self._token, delivery.id, delivery.data or b"", reason, stamp)
        left = b" ".join(entry_id for entry_id in ledger.unacked if entry_id != delivery.id)
        noted = (ledger.last_id, ledger.last_seq or 0, left)
        try:
            return bool(await self._guarded(_DEAD_LETTER, (*arguments, *noted), dead_letters))
        except StreamUnavailable as error:
            if error.code in {"redis_down", "redis_timeout"}:
                raise
            raise BurialRefused(error.code, f"{dead_letters}: {error}") from None

    async def unread_tail(self, ledger: Ledger) -> Tail | None:
        """The last number given when nothing follows; see ReadStream."""
        reply = await self._run(_UNREAD_TAIL, (self._stream, self._keys.state), (ledger.last_id, ledger.last_seq or 0))
        return None if reply is None else Tail(count_of(reply[0]), int(reply[1]) * 1000 + int(reply[2]) // 1000)

    async def keep_risk(self, news: RiskNews) -> None:
        """Keep assessments and snapshots; see ReadStream."""
        try:
            await self._risk.keep(self._dialler.link, news)
        except hiredis.ReplyError as error:
            raise _translate(error) from None

    async def risk(self) -> RiskKept:
        """What is kept of the risk of processors; see ReadStream."""
        return await self._risk.kept(self._dialler.link)

    async def snapshot(self, processor: str) -> bytes | None:
        """The snapshot that is kept of a processor; see ReadStream."""
        found: bytes | None = await self._call("GET", self._keys.snapshot(processor))
        return found

    async def keep_incidents(self, told: Sequence[Told]) -> None:
        """Keep what became of incidents; see ReadStream."""
        try:
            await self._risk.tell(self._dialler.link, told)
        except hiredis.ReplyError as error:
            raise _translate(error) from None

    async def incidents(self) -> IncidentsKept:
        """What is kept of incidents; see ReadStream."""
        try:
            return await self._risk.told(self._dialler.link)
        except hiredis.ReplyError as error:
            raise _translate(error) from None

    async def leave(self) -> None:
        """Give up lease and name, which expire by themselves where that fails, and close both connections."""
        with suppress(StreamUnavailable, GroupMissing):
            keys = (self._stream, self._lease, self._name)
            await self._run(_LEAVE, keys, (self._group, self.consumer, self._token))
        self._dialler.close()
        self._read_dialler.close()

    async def _call(self, *command: str | bytes | int) -> Any:
        (reply,) = await self._calls([command])
        return reply

    async def _calls(self, commands: list[Command]) -> list[Any]:
        try:
            return await self._dialler.link.calls(commands)
        except hiredis.ReplyError as error:
            raise await self._explained(error) from None

    def _head(self, ledger: Ledger) -> Command:
        """How the arguments of a script begin that notes a ledger."""
        noted = (settled_text(ledger), ledger.last_id, ledger.last_seq or 0, b" ".join(ledger.unacked))
        return (self._group, self._token, LEASE_MS, *noted)

    async def _guarded(self, script: Script, arguments: Command, *keys: str) -> Any:
        """Run a script that does nothing without the lease; `keys` are those beside the ones all of these take."""
        reply = await self._run(script, (self._stream, self._lease, self._ledger, *keys), arguments, 4.0)
        if reply == b"lease":
            raise LeaseLost("another consumer may hold the stream")
        return reply

    async def _run(self, script: Script, keys: tuple[str, ...], arguments: Command, seconds: float = 5.0) -> Any:
        try:
            return await script.run(self._dialler.link, keys, arguments, seconds)
        except hiredis.ReplyError as error:
            raise await self._explained(error) from None

    async def _explained(self, error: hiredis.ReplyError) -> Exception:
        found, link = _translate(error), self._dialler.link
        if not isinstance(found, StreamUnavailable):
            return found
        kinds = self._keys.kinds(self._group, clustered=link.clustered) | {self._name: "string"}
        return await explained(link, kinds, found)


def _translate(error: hiredis.ReplyError) -> Exception:
    said = str(error)
    if "NOGROUP" in said or "UNBLOCKED" in said:
        return GroupMissing(said)
    return unavailable(error)
