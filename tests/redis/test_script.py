"""Lua scripts: sent short, sent whole where they are missing, and never run twice."""

import asyncio
import re
import signal
from importlib.resources import files
from typing import Any

import hiredis
import pytest

from payflux.errors import StreamUnavailable
from payflux.redis.address import parse_url
from payflux.redis.script import Script
from redis_links import linked
from servers import Server
from stream_keys import STATE, STREAM

UNREAD_TAIL = Script("unread_tail")
ARGUMENTS = ((STREAM, STATE), (b"0-0",))


def calls(server: Server) -> tuple[int, int]:
    """How often scripts were run by digest and whole."""
    told: Any = server.client.info("commandstats")
    by_digest, whole = (told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval"))
    return by_digest, whole


async def test_a_script_goes_over_the_wire_once(every_server: Server) -> None:
    """By its digest always, whole only to a server that has not got it, after a flush again."""
    async with linked(parse_url(every_server.url)) as link:
        for _ in range(3):
            assert (await UNREAD_TAIL.run(link, *ARGUMENTS))[0] == b"0"
        assert calls(every_server) == (3, 1)
        every_server.client.script_flush()
        replies = await asyncio.gather(*(UNREAD_TAIL.run(link, *ARGUMENTS) for _ in range(3)))
        assert [reply[0] for reply in replies] == [b"0"] * 3
        assert (await UNREAD_TAIL.run(link, *ARGUMENTS))[0] == b"0"
        assert calls(every_server) == (7, 4)


async def test_an_error_of_the_script_is_raised_and_nothing_repeated(every_server: Server) -> None:
    """Only a script that is missing is sent again."""
    every_server.client.set(STREAM, "mine")
    async with linked(parse_url(every_server.url)) as link:
        for _ in range(2):
            with pytest.raises(hiredis.ReplyError, match="WRONGTYPE"):
                await UNREAD_TAIL.run(link, *ARGUMENTS)
        assert calls(every_server) == (2, 1)


async def test_a_reply_that_does_not_come_ends_the_connection(server: Server) -> None:
    """Everybody who waits is told; a reply that comes leaves no timer behind that would end it later."""
    async with linked(parse_url(server.url)) as link:
        await UNREAD_TAIL.run(link, *ARGUMENTS, 0.05)
        await asyncio.sleep(0.06)
        assert not link.lost
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(StreamUnavailable) as raised:
                await UNREAD_TAIL.run(link, *ARGUMENTS, 0.05)
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert (raised.value.code, link.lost) == ("redis_timeout", True)
        told: list[StreamUnavailable] = []
        UNREAD_TAIL.send(link, *ARGUMENTS, 1.0, told.append)
        assert [error.code for error in told] == ["redis_down"]


@pytest.mark.parametrize("path", sorted(files("payflux.redis").joinpath("scripts").iterdir(), key=str), ids=str)
def test_every_script_says_what_it_takes(path: Any) -> None:
    """Its header names the keys and arguments that its code uses, and no others."""
    lines = path.read_text().splitlines()
    header = [line for line in lines if line.startswith("--")]
    code = [line for line in lines if not line.startswith("--")]
    for what in ("KEYS", "ARGV"):
        told, used = ({int(number) for number in _places(what, text)} for text in (header, code))
        assert used <= told, what
        assert told == set(range(1, len(told) + 1)), what
    assert any(" Returns " in f" {line[2:].strip()} " for line in header) or path.name == "leave.lua"


def _places(what: str, lines: list[str]) -> list[str]:
    return re.findall(rf"{what}\[(\d+)", "\n".join(lines))
