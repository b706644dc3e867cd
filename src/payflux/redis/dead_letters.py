"""Dead letters on Redis: read, put back into the stream, delete."""

from collections.abc import AsyncIterator, Sequence
from typing import Self

import hiredis
import msgspec

from payflux.redis.address import RedisAddress
from payflux.redis.dial import Dialler
from payflux.redis.entries import FIRST, id_after, newest_id
from payflux.redis.keys import Keys
from payflux.redis.replies import named, text, unavailable
from payflux.redis.script import Script
from payflux.stream.deliveries import entry_key

PAGE = 500

_REQUEUE = Script("requeue")


class DeadLetter(msgspec.Struct, frozen=True):
    """One entry of the dead-letter stream.

    Attributes:
        id: its own id, whose milliseconds say when it was dead-lettered.
        data: what the stream's entry held, byte by byte; empty when that had none.
        original_id: id of the entry in the stream.
        reason: why it was dead-lettered.
        timestamp: when, in RFC 3339.
        further: other fields it has.
    """

    id: bytes
    data: bytes
    original_id: str
    reason: str
    timestamp: str
    further: dict[str, str]


class DeadLetters:
    """The dead letters of a stream, over a connection of its own, open while in `async with`.

    Every method raises StreamUnavailable.
    """

    def __init__(self, address: RedisAddress, keys: Keys) -> None:
        self._keys, self._dialler = keys, Dialler(address, "payflux-dlq")

    async def newest(self) -> bytes:
        """The highest id ever given; `0-0` without dead letters. What comes later belongs to another run."""
        return await newest_id(self._dialler.link, self._name) or FIRST

    async def between(self, start: bytes, end: bytes) -> AsyncIterator[DeadLetter]:
        """Every dead letter from `start` to `end`, both included, oldest first; deleting them meanwhile is fine."""
        while entry_key(start) <= entry_key(end):
            entries = await self._dialler.link.ask("XRANGE", self._name, start, end, "COUNT", PAGE)
            for entry_id, fields in entries:
                yield _dead_letter(entry_id, fields)
            if len(entries) < PAGE:
                return
            start = id_after(entries[-1][0])

    async def requeue(self, entry_id: bytes) -> int | None:
        """Put one back into the stream and delete it here, in one atomic step; see `requeue.lua`.

        Returns:
            The number it was given; None when it was no longer there.
        """
        keys = (self._keys.stream, self._keys.state, self._name)
        try:
            number: int | None = await _REQUEUE.run(self._dialler.link, keys, (entry_id,))
        except hiredis.ReplyError as error:
            raise unavailable(error) from None
        return number

    async def purge(self, entry_ids: Sequence[bytes]) -> int:
        """Delete for good; returns how many were there."""
        return int(await self._dialler.link.ask("XDEL", self._name, *entry_ids)) if entry_ids else 0

    @property
    def _name(self) -> str:
        return self._keys.dead_letters(clustered=self._dialler.link.clustered)

    async def __aenter__(self) -> Self:
        await self._dialler.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._dialler.close()


def _dead_letter(entry_id: bytes, fields: list[bytes]) -> DeadLetter:
    found = named(fields)
    data = found.pop(b"data", b"")
    texts = {text(name): text(value) for name, value in found.items()}
    original_id, reason, timestamp = (texts.pop(name, "") for name in ("original_id", "reason", "timestamp"))
    return DeadLetter(entry_id, data, original_id, reason, timestamp, texts)
