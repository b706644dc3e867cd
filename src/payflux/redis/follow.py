"""The consumer's side of the stream on Redis: lease, group, reading, reclaim, ack, dead letters."""

import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any

import hiredis

from payflux.errors import StreamUnavailable
from payflux.redis.keys import CONSUMER, DEAD_LETTERS, GROUP, LEASE, LEDGER, STATE, STREAM
from payflux.redis.link import Command, RedisAddress, RedisLink, connect, unavailable
from payflux.stream.deliveries import Delivery, Ledger, entry_key
from payflux.stream.protocol import GroupMissing, LeaseLost

LEASE_MS = 5000
NAME_MS = 10_000
SLICE = 200


class _Script:
    def __init__(self, name: str) -> None:
        self.text = files("payflux.redis").joinpath("scripts", name).read_text()
        self.sha = hashlib.sha1(self.text.encode()).hexdigest()  # noqa: S324 - Redis names scripts by SHA-1


_LEASE, _ACK, _COMMIT = _Script("lease.lua"), _Script("ack.lua"), _Script("commit.lua")
_DEAD_LETTER = _Script("dead_letter.lua")
_CLAIM_NAME = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
)
_LET_GO = "for i, key in ipairs(KEYS) do if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end end"
_DELETE_SELF = (
    "if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then "
    "redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end"
)
_TAIL = (
    "if #redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1) > 0 then return false end "
    "return redis.call('HGET', KEYS[2], 'seq') or '0'"
)


class RedisReader:
    """One consumer of the group, on two connections: one may block in a read while the other acks and renews."""

    def __init__(self, address: RedisAddress, consumer: str, token: str) -> None:
        """Prepare; `connect` connects.

        Args:
            address: of Redis.
            consumer: the name in the group.
            token: what tells this node from every other one.
        """
        self._address = address
        self.consumer = consumer
        self._token = token
        self._link: RedisLink | None = None
        self._read_link: RedisLink | None = None

    async def connect(self) -> None:
        """Connect what is not connected."""
        if self._link is None or self._link.lost:
            self._link = await connect(self._address, f"payflux-{self.consumer}"[:60])
        if self._read_link is None or self._read_link.lost:
            self._read_link = await connect(self._address, "payflux-reader")

    async def claim_name(self) -> bool:
        """Take or keep the consumer name for this node; see ReadStream."""
        key = CONSUMER + self.consumer
        kept = await self._call("EVAL", _CLAIM_NAME, 1, key, self._token, NAME_MS)
        return bool(kept) or bool(await self._call("SET", key, self._token, "NX", "PX", NAME_MS))

    async def take_lease(self, ledger: Ledger, *, fresh: bool) -> Ledger | None:
        """Take or keep the lease; see ReadStream."""
        arguments = (self._token, LEASE_MS, int(fresh), ledger.settled)
        reply = await self._script(_LEASE, (LEASE, LEDGER), arguments)
        if reply is None:
            return None
        kept, before = reply
        return ledger if kept else _ledger(before)

    async def ensure_group(self, ledger: Ledger) -> bool:
        """Make the group if it is missing; see ReadStream."""
        newest, position = await self._newest(), await self._position()
        if position is not None:
            if newest is not None and entry_key(newest) < entry_key(ledger.last_id):
                ledger.last_id = newest
            return False
        start = _just_before(ledger.left[0]) if ledger.left else ledger.last_id
        if newest is None or entry_key(newest) < entry_key(ledger.last_id):
            ledger.last_id, ledger.left, start = b"0-0", (), b"0-0"
        try:
            await self._call("XGROUP", "CREATE", STREAM, GROUP, start, "MKSTREAM")
        except StreamUnavailable as error:
            if "BUSYGROUP" in str(error):
                return False
            raise
        return True

    async def _newest(self) -> bytes | None:
        """The highest id the stream ever gave; None when there is no stream."""
        try:
            info = await self._call("XINFO", "STREAM", STREAM)
        except StreamUnavailable as error:
            if "no such key" in str(error):
                return None
            raise
        found: bytes = dict(zip(info[::2], info[1::2], strict=True))[b"last-generated-id"]
        return found

    async def position(self) -> bytes:
        """The newest entry the group was given; see ReadStream."""
        found = await self._position()
        if found is None:
            raise GroupMissing("the group does not exist")
        return found

    async def _position(self) -> bytes | None:
        try:
            groups = await self._call("XINFO", "GROUPS", STREAM)
        except StreamUnavailable as error:
            if "no such key" in str(error):
                return None
            raise
        named = [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in groups]
        return next((group[b"last-delivered-id"] for group in named if group[b"name"] == GROUP.encode()), None)

    async def read(self, count: int, block_seconds: float) -> list[Delivery]:
        """Read new entries; see ReadStream."""
        return await self._read(("XREADGROUP", "GROUP", GROUP, self.consumer), count, block_seconds, b">")

    async def follow(self, after: bytes, count: int, block_seconds: float) -> list[Delivery]:
        """Entries after an id; see ReadStream."""
        return await self._read(("XREAD",), count, block_seconds, after)

    async def _read(self, how: Command, count: int, block_seconds: float, after: bytes) -> list[Delivery]:
        link = self._need(self._read_link)
        block = max(1, int(block_seconds * 1000))
        command = (*how, "COUNT", count, "BLOCK", block, "STREAMS", STREAM, after)
        try:
            reply = await link.call(*command, timeout=block_seconds + 4)
        except hiredis.ReplyError as error:
            raise _translate(error) from None
        if reply is None:
            return []
        return [_delivery(entry_id, fields) for entry_id, fields in reply[0][1]]

    async def commit(
        self, ledger: Ledger, after: bytes, entries: int, trimmed: int, undone: Sequence[bytes]
    ) -> Sequence[bytes]:
        """Note that what was followed is done; see ReadStream."""
        arguments: Command = (
            *self._head(ledger),
            self.consumer,
            entries - len(undone),
            after,
            entries,
            trimmed,
            *undone,
        )
        gone: list[bytes] = await self._guarded(_COMMIT, (STREAM, LEASE, LEDGER), arguments)
        return gone

    async def noted(self) -> Ledger:
        """The ledger as it was noted last; see ReadStream."""
        return _ledger(await self._call("HGETALL", LEDGER))

    async def pending(self, after: bytes, idle_seconds: float) -> list[Delivery]:
        """Take over pending entries; see ReadStream."""
        idle = int(idle_seconds * 1000)
        start = b"-" if after == b"0-0" else b"(" + after
        rows = await self._call("XPENDING", STREAM, GROUP, "IDLE", idle, start, "+", SLICE)
        if not rows:
            return []
        found = await self._calls([("XRANGE", STREAM, row[0], row[0]) for row in rows])
        alive = [row[0] for row, entries in zip(rows, found, strict=True) if entries]
        if alive:
            await self._call("XCLAIM", STREAM, GROUP, self.consumer, idle, *alive, "JUSTID")
        return [
            _delivery(entry_id, entries[0][1] if entries else None, attempts)
            for (entry_id, _, _, attempts), entries in zip(rows, found, strict=True)
        ]

    async def attempt(self, ids: Sequence[bytes]) -> None:
        """Count one more delivery; see ReadStream."""
        await self._call("XCLAIM", STREAM, GROUP, self.consumer, 0, *ids)

    async def ack(self, ids: Sequence[bytes], ledger: Ledger, expected: int) -> bytes:
        """Ack entries and note the ledger; see ReadStream."""
        return bytes(await self._guarded(_ACK, (STREAM, LEASE, LEDGER), (*self._head(ledger), expected, *ids)))

    async def dead_letter(self, delivery: Delivery, reason: str, ledger: Ledger) -> bool:
        """Copy an entry to the dead-letter stream, then ack it; see ReadStream."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        keys = (STREAM, LEASE, LEDGER, DEAD_LETTERS)
        arguments = (GROUP, self._token, delivery.id, delivery.data or b"", reason, stamp)
        left = b" ".join(entry_id for entry_id in ledger.left if entry_id != delivery.id)
        return bool(await self._guarded(_DEAD_LETTER, keys, (*arguments, ledger.last_id, ledger.last_seq, left)))

    async def unread_tail(self, ledger: Ledger) -> int | None:
        """The last number given when nothing follows; see ReadStream."""
        reply = await self._call("EVAL", _TAIL, 2, STREAM, STATE, ledger.last_id)
        return None if reply is None else int(reply)

    async def leave(self) -> None:
        """Give up lease and name, and close both connections.

        The consumer is taken out of the group, or names of former processes would pile up there; not while it has
        pending entries, which would be lost with it.
        """
        with suppress(StreamUnavailable, GroupMissing):
            await self._call("EVAL", _DELETE_SELF, 1, STREAM, GROUP, self.consumer)
        with suppress(StreamUnavailable, GroupMissing):  # they expire by themselves
            await self._call("EVAL", _LET_GO, 2, LEASE, CONSUMER + self.consumer, self._token)
        for link in (self._link, self._read_link):
            if link is not None:
                link.close()

    def _need(self, link: RedisLink | None) -> RedisLink:
        if link is None:
            raise StreamUnavailable("redis_down", f"no connection to Redis at {self._address}")
        return link

    async def _call(self, *command: str | bytes | int) -> Any:
        (reply,) = await self._calls([command])
        return reply

    async def _calls(self, commands: list[Command]) -> list[Any]:
        try:
            return await self._need(self._link).calls(commands)
        except hiredis.ReplyError as error:
            raise _translate(error) from None

    def _head(self, ledger: Ledger) -> Command:
        """How the arguments of a script begin that notes a ledger."""
        noted = (ledger.settled, ledger.last_id, ledger.last_seq, b" ".join(ledger.left))
        return (GROUP, self._token, LEASE_MS, *noted)

    async def _guarded(self, script: _Script, keys: tuple[str, ...], arguments: Command) -> Any:
        """Run a script that does nothing without the lease."""
        reply = await self._script(script, keys, arguments, timeout=4.0)
        if reply == b"lease":
            raise LeaseLost("another consumer may hold the stream")
        return reply

    async def _script(
        self,
        script: _Script,
        keys: tuple[str, ...],
        arguments: tuple[str | bytes | int, ...],
        timeout: float = 5.0,  # noqa: ASYNC109
    ) -> Any:
        link = self._need(self._link)
        try:
            return await link.call("EVALSHA", script.sha, len(keys), *keys, *arguments, timeout=timeout)
        except hiredis.ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise _translate(error) from None
        return await self._call("EVAL", script.text, len(keys), *keys, *arguments)


def _translate(error: hiredis.ReplyError) -> Exception:
    text = str(error)
    if "NOGROUP" in text or "UNBLOCKED" in text:
        return GroupMissing(text)
    return unavailable(error)


def _delivery(entry_id: bytes, fields: list[bytes] | None, attempts: int = 1) -> Delivery:
    """An entry as a delivery; anybody may have written to the stream, so its fields may be anything."""
    if fields is None:
        return Delivery(entry_id, 0, None, attempts, gone=True)
    if len(fields) == 4 and fields[0] == b"data" and fields[2] == b"seq":
        text = fields[3]
        return Delivery(entry_id, int(text) if text.isdigit() and len(text) < 17 else 0, fields[1], attempts)
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    seq, lost_to = _count(named.get(b"seq", b"")), _count(named.get(b"lost_to", b""))
    return Delivery(entry_id, seq, named.get(b"data"), attempts, lost_to)


def _count(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) < 17 else 0


def _ledger(flat: list[bytes]) -> Ledger:
    named = dict(zip(flat[::2], flat[1::2], strict=True))
    return Ledger(
        owner=named.get(b"owner", b"").decode(),
        acked=int(named.get(b"acked", 0)),
        settled=int(named.get(b"settled", 0)),
        last_id=named.get(b"last_id", b"0-0"),
        last_seq=int(named.get(b"last_seq", 0)),
        left=tuple(named.get(b"left", b"").split()),
    )


def _just_before(entry_id: bytes) -> bytes:
    milliseconds, counter = entry_key(entry_id)
    return b"%d-%d" % (milliseconds, counter - 1) if counter else b"%d-%d" % (milliseconds - 1, 2**64 - 1)
