"""Dead letters on Redis: read, put back into the stream, delete."""

from collections.abc import AsyncIterator, Sequence
from importlib.resources import files
from typing import Self

import msgspec

from payflux.errors import StreamUnavailable
from payflux.redis.entries import ask, id_after, newest_id
from payflux.redis.keys import DEAD_LETTERS, STATE, STREAM
from payflux.redis.link import RedisAddress, RedisLink, connect
from payflux.stream.deliveries import entry_key

REQUEUE = files("payflux.redis").joinpath("scripts", "requeue.lua").read_text()
PAGE = 500


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
    """The dead-letter stream over a connection of its own, open while in `async with`.

    Every method raises StreamUnavailable.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._link: RedisLink | None = None

    async def newest(self) -> bytes:
        """The highest id ever given; `0-0` without dead letters. What comes later belongs to another run."""
        return await newest_id(self._need(), DEAD_LETTERS)

    async def between(self, start: bytes, end: bytes) -> AsyncIterator[DeadLetter]:
        """Every dead letter from `start` to `end`, both included, oldest first; deleting them meanwhile is fine."""
        while entry_key(start) <= entry_key(end):
            entries = await ask(self._need(), "XRANGE", DEAD_LETTERS, start, end, "COUNT", PAGE)
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
        number: int | None = await ask(self._need(), "EVAL", REQUEUE, 3, STREAM, STATE, DEAD_LETTERS, entry_id)
        return number

    async def purge(self, entry_ids: Sequence[bytes]) -> int:
        """Delete for good; returns how many were there."""
        return int(await ask(self._need(), "XDEL", DEAD_LETTERS, *entry_ids)) if entry_ids else 0

    async def __aenter__(self) -> Self:
        self._link = await connect(self._address, "payflux-dlq")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._link is not None:
            self._link.close()

    def _need(self) -> RedisLink:
        if self._link is None:
            raise StreamUnavailable("redis_down", f"no connection to Redis at {self._address}")
        return self._link


def _dead_letter(entry_id: bytes, fields: list[bytes]) -> DeadLetter:
    named = {name.decode(errors="replace"): value for name, value in zip(fields[::2], fields[1::2], strict=True)}
    data = named.pop("data", b"")
    texts = {name: value.decode(errors="replace") for name, value in named.items()}
    original_id, reason, timestamp = (texts.pop(name, "") for name in ("original_id", "reason", "timestamp"))
    return DeadLetter(entry_id, data, original_id, reason, timestamp, texts)
