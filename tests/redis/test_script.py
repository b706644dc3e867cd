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


UNDECLARED = {
    "append.lua": {"key", "unpack(doomed)"},  # sets of marks: in which layer is known once the state is read
    "probe.lua": {"key"},  # the set that could not be read, as the state names it
}
"""Keys that a script takes from elsewhere than KEYS, by what they are called there."""

_CALL = re.compile(r"""\b(?:p?call|try|demand|unusable|number)\(([^()]*(?:\([^()]*\)[^()]*)*)\)""")
_ALIAS = re.compile(r"^\s*local ([\w, ]+?) = (.*?KEYS\[.*)$", re.MULTILINE)


@pytest.mark.parametrize("path", sorted(files("payflux.redis").joinpath("scripts").iterdir(), key=str), ids=str)
def test_every_key_a_script_touches_is_declared(path: Any) -> None:
    """As clusters, proxies and Dragonfly ask for; the few that cannot be are known here, and said in the first line."""
    text = path.read_text()
    code = re.sub(r"--.*", "", text)
    declared = {name for names, _ in _ALIAS.findall(code) for name in names.split(", ")}
    strange = {key for call in _CALL.findall(code) for key in _keys_of(call) if not _is_declared(key, declared)}
    assert strange == UNDECLARED.get(path.name, set())
    assert text.startswith("--!df flags=allow-undeclared-keys\n") == bool(strange)


def _keys_of(call: str) -> list[str]:
    """The keys of one command of a script, as they are written."""
    words = [word.strip() for word in re.split(r",\s*(?![^()]*\))", call)]
    quoted = [at for at, word in enumerate(words) if word.startswith("'") and word.strip("'").isupper()]
    if not quoted or words[quoted[0]] == "'TIME'":
        return []
    at = quoted[0] + 1
    return [words[at + (words[at] in {"'GROUPS'", "'STREAM'", "'SETID'", "'DELCONSUMER'"})]]


def _is_declared(key: str, declared: set[str]) -> bool:
    return key.startswith("KEYS[") or key in declared
