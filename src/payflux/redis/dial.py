"""Making connections to Redis: log in, choose the database, say who we are; and having one again after it was lost."""

import asyncio
import re
import ssl
from collections.abc import Callable

import hiredis

from payflux.errors import StreamUnavailable
from payflux.redis.address import RedisAddress, newest
from payflux.redis.link import Command, RedisLink
from payflux.redis.replies import named, unavailable

CONNECT_SECONDS = 2.0
HANDSHAKE_SECONDS = 1.5  # a server without TLS says nothing to it


async def connect(address: RedisAddress, client: str, on_lost: Callable[[], None] | None = None) -> RedisLink:
    """Open a connection: log in, choose the database, say who we are.

    Args:
        address: where, and as whom; the file it stands in, if any, is read anew.
        client: the name Redis shows in `CLIENT LIST`.
        on_lost: called once when the connection is gone.

    Raises:
        StreamUnavailable: Redis cannot be reached, or refuses us.
    """
    address = newest(address)
    link = await _open(address, on_lost)
    try:
        await _greet(link, address, client)
    except (hiredis.ReplyError, StreamUnavailable) as error:
        link.close()
        refusal = unavailable(error)
        why = _hint(address) if refusal.code == "redis_down" else ""
        raise StreamUnavailable(refusal.code, f"{address} refuses the connection: {refusal}{why}") from None
    return link


def _hint(address: RedisAddress) -> str:
    """What Redis may want that hangs up instead of answering: with TLS 1.3 so late it asks who we are.

    No more than a hint: a proxy whose Redis is down hangs up as well.
    """
    if not address.tls:
        return " (does it want TLS, rediss://?)"
    wanted = "another PAYFLUX_REDIS_CERT" if address.certificate else "a certificate, PAYFLUX_REDIS_CERT"
    return f" (is it down behind a proxy, or does it want {wanted}?)"


async def _open(address: RedisAddress, on_lost: Callable[[], None] | None) -> RedisLink:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            if address.path:
                _, link = await loop.create_unix_connection(lambda: RedisLink(on_lost), address.path)
            else:
                context = _trust(address) if address.tls else None
                _, link = await loop.create_connection(
                    lambda: RedisLink(on_lost),
                    *(address.host, address.port),
                    ssl=context,
                    ssl_handshake_timeout=HANDSHAKE_SECONDS if address.tls else None,
                )
    except (OSError, ValueError) as error:  # ValueError: a name no resolver takes
        # Whoever hangs up in the handshake does not speak TLS, or not ours.
        kind = "redis_tls" if isinstance(error, ssl.SSLError) or _hung_up(error, address) else "redis_down"
        raise StreamUnavailable(kind, f"no connection to Redis at {address}: {str(error) or 'timed out'}") from None
    return link


def _trust(address: RedisAddress) -> ssl.SSLContext:
    """Whom we trust, and what we show; made for each connection, as certificates are replaced while we run."""
    try:
        context = ssl.create_default_context(cafile=address.authority or None)
    except OSError as error:
        raise ssl.SSLError(f"PAYFLUX_REDIS_CA={address.authority} cannot be used: {error}") from None
    if address.certificate:
        try:
            context.load_cert_chain(address.certificate, address.key or None, password="")  # or it asks the terminal
        except OSError as error:
            raise ssl.SSLError(f"PAYFLUX_REDIS_CERT={address.certificate} cannot be used: {error}") from None
    return context


def _hung_up(error: Exception, address: RedisAddress) -> bool:
    return address.tls and isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError))


def _login(address: RedisAddress) -> list[Command]:
    commands: list[Command] = []
    if address.user:
        commands.append(("AUTH", address.user, address.password))
    elif address.password:
        commands.append(("AUTH", address.password))
    if address.database:
        commands.append(("SELECT", address.database))
    return commands


async def _greet(link: RedisLink, address: RedisAddress, client: str) -> None:
    name = re.sub(r"[^!-~]", "_", client)  # Redis takes no other characters
    commands: list[Command] = [*_login(address), ("CLIENT", "SETNAME", name), ("HELLO",)]
    *answers, hello = await link.replies(commands, timeout=CONNECT_SECONDS)
    mode = named(hello).get(b"mode") if isinstance(hello, list) else None
    if mode == b"sentinel":
        raise StreamUnavailable("redis_sentinel", "a Sentinel keeps no streams")
    for answer in answers:
        # A name is a courtesy: few users of Redis 6.2 may give one, and proxies and renamed commands know none.
        is_refused = answer is answers[-1] and str(answer).startswith(("NOPERM", "ERR"))
        if isinstance(answer, hiredis.ReplyError) and not is_refused:
            raise answer
    link.clustered = mode == b"cluster"


class Dialler:
    """A connection that is made when it is wanted, and anew when it was lost."""

    def __init__(self, address: RedisAddress, client: str) -> None:
        """Prepare.

        Args:
            address: of Redis.
            client: name of the connection.
        """
        self._address, self._client = address, client
        self._link: RedisLink | None = None
        self._lock = asyncio.Lock()
        self._refused: StreamUnavailable | None = None  # what came of the last try

    async def connect(self) -> RedisLink:
        """The connection, made first where there is none; raises StreamUnavailable.

        Those who want it at once get the same one, or hear the same reason why there is none.
        """
        if self.connected:
            return self.link
        before = self._refused
        async with self._lock:
            if self._refused is not None and self._refused is not before:
                raise self._refused  # while we waited
            if not self.connected:
                await self._try()
        return self.link

    async def _try(self) -> None:
        try:
            self._link = await connect(self._address, self._client)
        except StreamUnavailable as error:
            self._refused = error
            raise
        self._refused = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._link is not None and not self._link.lost

    @property
    def link(self) -> RedisLink:
        """The connection made last, be it lost; raises StreamUnavailable where none was made."""
        if self._link is None:
            raise StreamUnavailable("redis_down", f"no connection to Redis at {self._address}")
        return self._link

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()
