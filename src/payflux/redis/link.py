"""One connection to Redis: commands out, replies back in order, nothing retried.

Written by hand because a client library's generality costs 4 to 40 µs of CPU an event here, and because its helpful
retries are what loses or doubles events. A reply that does not come in time closes the connection, so that no later
reply can be taken for it.
"""

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import hiredis

from payflux.errors import StreamUnavailable
from payflux.settings import Setting, Values, mask, optional

Command = tuple[str | bytes | int, ...]

Settle = Callable[[Any], None]
"""Gets a reply, or the exception that stands for it: hiredis.ReplyError or StreamUnavailable."""

CONNECT_SECONDS = 2.0


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis is and who we are there; `path` is a unix socket and wins over host and port."""

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    tls: bool = False
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    database: int = 0

    def __str__(self) -> str:
        """The address as it may be shown: without user and password."""
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"


def parse_addr(text: str) -> RedisAddress:
    """Read `host:port`."""
    found = re.fullmatch(r"([^\s/@\[\]:]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", text)
    if found is None or not 0 < int(found[2]) < 65536:
        raise ValueError("host:port")
    return RedisAddress(host=found[1].strip("[]"), port=int(found[2]))


def parse_url(text: str) -> RedisAddress:
    """Read `redis://`, `rediss://` or `unix://`, with user, password and database."""
    wanted = "redis://[user:password@]host[:port][/db], rediss://… or unix://[user:password@]/path[?db=n]"
    try:
        url = urlsplit(text)
        port = 6379 if url.port is None else url.port
    except ValueError:
        raise ValueError(wanted) from None
    user, password = unquote(url.username or ""), unquote(url.password or "")
    if url.scheme == "unix":
        database = re.fullmatch(r"(?:db=([0-9]{1,4}))?", url.query)
        if database is None or not url.path or url.hostname or url.fragment:
            raise ValueError(wanted)
        return RedisAddress(path=unquote(url.path), user=user, password=password, database=int(database[1] or 0))
    database = re.fullmatch(r"/?([0-9]{1,4})?", url.path)
    if url.scheme not in ("redis", "rediss") or not url.hostname or not port or url.query or url.fragment:
        raise ValueError(wanted)
    if database is None:
        raise ValueError(wanted)
    tls = url.scheme == "rediss"
    return RedisAddress(url.hostname, port, "", tls, user, password, int(database[1] or 0))


def without_login(text: str) -> str:
    """A URL as it may be shown: user and password masked; masked whole where it is none."""
    try:
        parse_url(text)
    except ValueError:
        return mask(text)
    login, at, place = text.rpartition("@")
    return f"{login.partition('//')[0]}//****@{place}" if at else text


REDIS_ADDR = Setting("REDIS_ADDR", parse_addr, "localhost:6379", "Address of Redis, host:port.")
REDIS_URL = optional(
    "REDIS_URL",
    parse_url,
    "Address of Redis as a URL instead (redis://, rediss://, unix://; user, password, database).",
    secret=True,
    masked=without_login,
)


def check_address(values: Values) -> list[str]:
    """The rule that REDIS_ADDR and REDIS_URL exclude each other."""
    if values.is_set(REDIS_ADDR) and values.is_set(REDIS_URL):
        return ["REDIS_URL and REDIS_ADDR: expected one of the two, both are set"]
    return []


def address_of(values: Values) -> RedisAddress:
    """Where the configured Redis is."""
    url = values[REDIS_URL]
    return values[REDIS_ADDR] if url is None else url


CODES = {
    "READONLY": "redis_readonly",
    "OOM": "redis_oom",
    "LOADING": "redis_loading",
    "BUSY": "redis_loading",
    "MISCONF": "redis_misconf",
    "NOREPLICAS": "redis_misconf",
    "WRONGTYPE": "redis_wrong_type",
    "NOAUTH": "redis_auth",
    "WRONGPASS": "redis_auth",
    "NOPERM": "redis_auth",
    "ACL failure in script:": "redis_auth",
    "user executing the script can't run": "redis_auth",  # Redis 6.2 and 7.0
    "MASTERDOWN": "redis_down",
    "CLUSTERDOWN": "redis_down",
}
_CODE = re.compile(rf"(?:^|[ -])({'|'.join(CODES)}) ")


def unavailable(error: Exception) -> StreamUnavailable:
    """What an error reply means for the events it concerns. Redis 6.2 wraps a script's error in a text: look inside."""
    if isinstance(error, StreamUnavailable):
        return error
    text = str(error)
    found = _CODE.search(text)
    return StreamUnavailable(CODES[found[1]] if found else "redis_error", text)


def pack(command: Sequence[str | bytes | int]) -> bytes:
    """A command as it goes over the wire."""
    packed: bytes = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # its stub says tuple of one
    return packed


class RedisLink(asyncio.Protocol):
    """A connection: made by `connect`, used until `lost` is set, then thrown away."""

    def __init__(self, on_lost: Callable[[], None] | None = None) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[Settle] = deque()
        self._transport: asyncio.WriteTransport | None = None
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the socket is connected."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are not instances of it

    def data_received(self, data: bytes) -> None:
        """Asyncio: hand every complete reply to whoever waits for it."""
        self._reader.feed(data)
        while (reply := self._next()) is not False:
            if not self._waiting:
                self.fail(StreamUnavailable("redis_error", "Redis sent a reply nobody asked for"))
                return
            self._waiting.popleft()(reply)

    def _next(self) -> Any:
        try:
            return self._reader.gets()
        except hiredis.ProtocolError as error:
            self.fail(StreamUnavailable("redis_error", f"this is not Redis: {error}"))
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the socket is closed."""
        self.fail(StreamUnavailable("redis_down", f"connection to Redis lost: {exc or 'closed by the server'}"))

    def fail(self, error: StreamUnavailable) -> None:
        """Close the connection and tell everyone who waits why; the fate of what they sent is unknown."""
        if self.lost:
            return
        self.lost = True
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for settle in waiting:
            settle(error)
        if self._on_lost is not None:
            self._on_lost()

    def close(self) -> None:
        """Close the connection."""
        self.fail(StreamUnavailable("redis_down", "connection closed"))

    def send(self, packed: bytes, settle: Settle) -> None:
        """Send one packed command; `settle` gets its reply later, or at once the reason why it could not be sent."""
        if self.lost or self._transport is None:
            settle(StreamUnavailable("redis_down", "no connection to Redis"))
            return
        self._waiting.append(settle)
        self._transport.write(packed)

    async def call(self, *command: str | bytes | int, timeout: float = 5.0) -> Any:  # noqa: ASYNC109
        """Send one command and wait for its reply.

        Raises:
            hiredis.ReplyError: Redis answered with an error.
            StreamUnavailable: no reply within `timeout` seconds, or the connection was lost.
        """
        (reply,) = await self.calls([command], timeout=timeout)
        return reply

    async def calls(
        self,
        commands: list[Command],
        timeout: float = 5.0,  # noqa: ASYNC109
    ) -> list[Any]:
        """Send several commands at once and wait for all their replies; raises as `call` does, the first error."""
        futures: list[asyncio.Future[Any]] = [self._loop.create_future() for _ in commands]
        timer = self._loop.call_later(timeout, self.fail, StreamUnavailable("redis_timeout", "Redis did not answer"))
        for command, future in zip(commands, futures, strict=True):
            self.send(pack(command), _settle(future))
        try:
            replies = [await future for future in futures]
        finally:
            timer.cancel()
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


def _settle(future: asyncio.Future[Any]) -> Settle:
    def settle(reply: Any) -> None:
        if not future.done():
            future.set_result(reply)

    return settle


async def connect(address: RedisAddress, client: str, on_lost: Callable[[], None] | None = None) -> RedisLink:
    """Open a connection: log in, choose the database, say who we are.

    Args:
        address: where, and as whom.
        client: the name Redis shows in `CLIENT LIST`.
        on_lost: called once when the connection is gone.

    Raises:
        StreamUnavailable: Redis cannot be reached, or refuses us.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            if address.path:
                _, link = await loop.create_unix_connection(lambda: RedisLink(on_lost), address.path)
            else:
                context = ssl.create_default_context() if address.tls else None
                _, link = await loop.create_connection(
                    lambda: RedisLink(on_lost), address.host, address.port, ssl=context
                )
    except (OSError, ValueError) as error:  # ValueError: a name no resolver takes
        raise StreamUnavailable(
            "redis_down", f"no connection to Redis at {address}: {str(error) or 'timed out'}"
        ) from None
    try:
        await link.calls(_greeting(address), timeout=CONNECT_SECONDS)
        await _introduce(link, client)
    except (hiredis.ReplyError, StreamUnavailable) as error:
        link.close()
        raise unavailable(error) from None
    return link


def _greeting(address: RedisAddress) -> list[Command]:
    commands: list[Command] = []
    if address.user:
        commands.append(("AUTH", address.user, address.password))
    elif address.password:
        commands.append(("AUTH", address.password))
    if address.database:
        commands.append(("SELECT", address.database))
    return commands


async def _introduce(link: RedisLink, client: str) -> None:
    name = re.sub(r"[^!-~]", "_", client)  # Redis takes no other characters
    try:
        await link.call("CLIENT", "SETNAME", name, timeout=CONNECT_SECONDS)
    except hiredis.ReplyError as error:
        if not str(error).startswith("NOPERM"):  # a name is a courtesy, and in Redis 6.2 few users may give one
            raise
