"""Lua scripts: sent by their digest, and whole to a server that has not got them (any more)."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.resources import files
from typing import Any

import hiredis

from payflux.errors import StreamUnavailable
from payflux.redis.link import OnReply, RedisLink, pack, resolving


class Script:
    """One script of the folder `scripts`; its header says which keys and arguments it takes, and what it returns.

    Attributes:
        text: its source.
    """

    def __init__(self, name: str) -> None:
        self.text = files("payflux.redis").joinpath("scripts", f"{name}.lua").read_text()
        sha = hashlib.sha1(self.text.encode()).hexdigest()  # noqa: S324 - Redis names scripts by SHA-1
        self._short, self._whole = (b"EVALSHA", sha.encode()), (b"EVAL", self.text.encode())

    def send(
        self,
        link: RedisLink,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int],
        seconds: float,
        on_reply: OnReply,
    ) -> None:
        """Run it once.

        Args:
            link: the connection, which is closed when no reply came within `seconds`.
            keys: every key it touches, but those its header names as built inside.
            arguments: in the order its header tells.
            seconds: to wait for the reply.
            on_reply: gets the reply later, or why there is none, which may be at once.
        """
        timer = link.deadline(seconds)
        packed = pack((*self._short, len(keys), *keys, *arguments))
        link.send(packed, partial(self._replied, link, (keys, arguments), timer, on_reply))

    def _replied(
        self,
        link: RedisLink,
        sent: tuple[Sequence[str], Sequence[str | bytes | int]],
        timer: asyncio.TimerHandle,
        on_reply: OnReply,
        reply: Any,
    ) -> None:
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            # Nothing was executed, so sending the same again is no retry; EVAL also stores the script.
            keys, arguments = sent
            packed = pack((*self._whole, len(keys), *keys, *arguments))
            link.send(packed, partial(self._replied, link, sent, timer, on_reply))
        else:
            timer.cancel()
            on_reply(reply)

    async def run(
        self, link: RedisLink, keys: Sequence[str], arguments: Sequence[str | bytes | int], seconds: float = 5.0
    ) -> Any:
        """Run it once and wait for its reply.

        Raises:
            hiredis.ReplyError: Redis answered with an error.
            StreamUnavailable: no reply within `seconds`, or the connection was lost.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(link, keys, arguments, seconds, resolving(future))
        reply = await future
        if isinstance(reply, Exception):
            raise reply
        return reply


async def explained(link: RedisLink, kinds: Mapping[str, str], error: StreamUnavailable) -> StreamUnavailable:
    """An error with the key it is about, where Redis did not tell: it names none for a wrong type or missing rights.

    Args:
        link: the connection it came over.
        kinds: of each key that may be the one, the type it has to be of.
        error: what was refused.
    """
    if error.key or error.code not in {"redis_wrong_type", "redis_forbidden"} or link.lost:
        return error
    found = await link.replies([("TYPE", key) for key in kinds])
    for (key, wanted), kind in zip(kinds.items(), found, strict=True):
        refused = isinstance(kind, hiredis.ReplyError) and "key" in str(kind)
        if refused or (isinstance(kind, bytes) and kind.decode() not in {wanted, "none"}):
            return StreamUnavailable(error.code, f"{error} (key {key})", key)
    return error
