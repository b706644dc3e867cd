"""A gate before a destination: a proxy that stalls, cuts, slows down or refuses what goes through it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import NamedTuple

CHUNK = 65_536
SLOW_BYTES = 2_000_000  # a second
SLOW_SECONDS = 0.02  # for each chunk


class Trouble(Enum):
    """What is wrong with the way to a destination."""

    NONE = "none"
    STALLED = "stalled"
    CUT = "cut after it took"
    SLOW = "slow"
    AWAY = "not there"
    ANSWERING = "answers instead of it"


Refuse = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
"""Answers requests of a connection by itself, until the connection ends; may ask the destination, at that port."""


class _Pair(NamedTuple):
    theirs: asyncio.StreamWriter
    ours: asyncio.StreamWriter

    def abort(self) -> None:
        self.theirs.transport.abort()
        self.ours.transport.abort()


class Gate:
    """Before one destination, on a port of its own; made by `gate`.

    Args:
        target: the port of the destination.

    Attributes:
        port: that of the gate.
        refused: how many connections were aborted or answered by the gate itself.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.target = target
        self.refused = 0
        self._trouble = Trouble.NONE
        self._refuse: Refuse | None = None
        self._pairs: set[_Pair] = set()
        self._going = asyncio.Event()
        self._loop = asyncio.new_event_loop()

    def set(self, trouble: Trouble, refuse: Refuse | None = None) -> None:
        """From now on this is wrong. What is held up by a stall goes on when it ends, as on a real way."""

        def change() -> None:
            held = Trouble.STALLED in (self._trouble, trouble)
            self._trouble, self._refuse = trouble, refuse
            (self._going.clear if trouble is Trouble.STALLED else self._going.set)()
            if not held:
                for pair in list(self._pairs):
                    pair.abort()

        asyncio.run_coroutine_threadsafe(_called(change), self._loop).result(10)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._trouble is Trouble.AWAY:
                self.refused += 1
            elif self._refuse is not None:
                self.refused += 1
                await self._refuse(reader, writer, self.target)
            else:
                await self._joined(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the streams of asyncio complain of a cancelled task, which is how a gate ends
        finally:
            writer.transport.abort()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, on = await asyncio.open_connection("127.0.0.1", self.target)
        pair = _Pair(writer, on)
        self._pairs.add(pair)
        try:
            # A client that has gone does not take back what it sent: that goes on, as on a real way.
            await asyncio.gather(self._pump(reader, on, pair, back=False), self._pump(back, writer, pair, back=True))
        finally:
            self._pairs.discard(pair)
            on.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, pair: _Pair, *, back: bool) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                await self._going.wait()
                if self._trouble is Trouble.CUT and back:
                    pair.abort()
                    return
                if self._trouble is Trouble.SLOW:
                    await asyncio.sleep(SLOW_SECONDS + len(data) / SLOW_BYTES)
                sink.write(data)
                await sink.drain()
            await self._going.wait()
            if sink.can_write_eof():
                sink.write_eof()

    async def _run(self, started: threading.Event) -> None:
        self._going.set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._stopping = asyncio.Event()
        started.set()
        await self._stopping.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def run(self, started: threading.Event) -> None:
        """Serve until `stop`."""
        self._loop.run_until_complete(self._run(started))
        self._loop.close()

    def stop(self) -> None:
        """End it, and every connection."""
        self._loop.call_soon_threadsafe(self._stopping.set)


async def _called(change: Callable[[], None]) -> None:
    change()


@contextmanager
def gate(target: int) -> Iterator[Gate]:
    """A gate before the destination at a port of this machine."""
    made, started = Gate(target), threading.Event()
    thread = threading.Thread(target=made.run, args=(started,), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield made
    finally:
        made.stop()
        thread.join(10)


def http_answer(status: int, **headers: str) -> Refuse:
    """Every request is answered so."""
    fields = {"Content-Length": "0", "Connection": "close"} | {
        name.replace("_", "-"): text for name, text in headers.items()
    }
    head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
    answer = f"HTTP/1.1 {status} No\r\n{head}\r\n".encode()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return refuse
