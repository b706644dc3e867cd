"""A stand-in for a node: its HTTP interface over a list in memory, with faults that can be switched on."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from payflux.errors import InvalidEvent
from payflux.event.decode import decode_event

KEYS = ("toy-key-1", "toy-key-2")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NTH = 40
"""Which stored event a fault of storing or exporting befalls."""


class ToyNode:
    """Stores, answers and exports at once.

    Faults, by name: of the NTH event `drop` its line, `double` it, `alter` a field, `swap` it with the next, `mark` it
    without storing it; `metric` counts one event too many; `all_429` and `all_503` refuse everything, `some_429` and
    `some_503` each tenth request, `lost_answer` cuts the connection after storing each tenth, `strange` answers 200 to
    everything.
    """

    def __init__(self, lines: Path, *faults: str) -> None:
        self.faults = set(faults)
        self.lines = lines
        self.marks: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.connections = 0
        self.requests: list[tuple[str, Mapping[str, str], bytes]] = []
        self.url = ""
        self._stored = 0
        self._changed = asyncio.Event()
        self._held = b""
        lines.touch()

    async def until_stored(self, events: int) -> None:
        """Wait until it has seen so many distinct events."""
        async with asyncio.timeout(10):
            while self._stored < events:
                self._changed.clear()
                await self._changed.wait()

    def metrics(self) -> bytes:
        """The exposition."""
        names = ["ingest_accepted_total", "ingest_duplicate_total", "pending_messages", "consumer_lag_messages"]
        names += [f'ingest_rejected_total{{reason="{reason}"}}' for reason in ("invalid_event", "rate_limited")]
        names += [f'events_exported_total{{destination="{name}"}}' for name in ("stdout", "file")]
        counts = self.counts + Counter({"ingest_accepted_total": 1} if self.marks and "metric" in self.faults else {})
        return "".join(f"payflux_{name} {counts[name]}\n" for name in names).encode()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """The answer to one request."""
        if (method, path) == ("GET", "/metrics"):
            return 200, self.metrics()
        if (method, path) == ("GET", "/export/health"):
            return 200, b'{"destinations":{"stdout":{"enabled":false},"file":{"enabled":true}}}'
        self.requests.append((path, headers, body))
        refusal = self._refusal(headers)
        if refusal:
            return refusal
        if path.endswith("/batch"):
            return self._batch(headers, body)
        result = self._store(body)
        if result["status"] == "rejected":
            return 400, _problem(str(result["code"]))
        return 202, json.dumps(result).encode()

    def _refusal(self, headers: Mapping[str, str]) -> tuple[int, bytes] | None:
        when = {"all", "some"} if len(self.requests) % 10 == 0 else {"all"}
        if headers.get("authorization") not in [f"Bearer {key}" for key in KEYS]:
            return 401, _problem("unauthorized")
        if "strange" in self.faults:
            return 200, b"<html>"
        if {f"{often}_429" for often in when} & self.faults:
            self.counts['ingest_rejected_total{reason="rate_limited"}'] += 1
            return 429, _problem("rate_limited")
        if {f"{often}_503" for often in when} & self.faults:
            return 503, _problem("redis_down")
        return None

    def _batch(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        if headers["content-type"] == "application/x-ndjson":
            bodies = body.splitlines()
        else:
            bodies = [json.dumps(event).encode() for event in json.loads(body)]
        results = [{"index": index, **self._store(event)} for index, event in enumerate(bodies)]
        said = Counter(str(result["status"]) for result in results)
        sums = {"accepted": said["accepted"], "duplicates": said["duplicate"], "rejected": said["rejected"]}
        return 200, json.dumps({**sums, "results": results}).encode()

    def _store(self, body: bytes) -> dict[str, Any]:
        try:
            event = decode_event(body)
        except InvalidEvent as error:
            self.counts['ingest_rejected_total{reason="invalid_event"}'] += 1
            return {"status": "rejected", "code": error.code}
        answer = {"event_id": event.event_id}
        self._stored += event.event_id not in self.marks
        self._changed.set()
        if event.event_id in self.marks or self._now("mark"):
            self.counts["ingest_duplicate_total"] += 1
            self.marks.add(event.event_id)
            return {"status": "duplicate"} | answer
        self.marks.add(event.event_id)
        self.counts["ingest_accepted_total"] += 1
        self._export(event.data)
        return {"status": "accepted"} | answer

    def _now(self, fault: str) -> bool:
        return fault in self.faults and self._stored == NTH

    def _export(self, data: bytes) -> None:
        self.counts['events_exported_total{destination="file"}'] += 1
        row = json.loads(data) | {"stream_message_id": f"1767957855596-{self._stored}", "consumer_name": "toy"}
        row |= {"seq": self._stored, "schema_version": 1}
        if self._now("alter"):
            row["amount_bucket"] += "0"
        line = json.dumps(row).encode() + b"\n"
        if self._now("swap"):
            self._held = line
            return
        line, self._held = line + self._held, b""
        with self.lines.open("ab") as file:
            file.write(line * (0 if self._now("drop") else 2 if self._now("double") else 1))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the client ends it."""
        self.connections += 1
        while True:
            method, path, headers, body = await _request(reader)
            status, text = self.answer(method, path, headers, body)
            if "lost_answer" in self.faults and len(self.requests) % 10 == 0 and method == "POST":
                return
            head = f"HTTP/1.1 {status} Toy\r\nContent-Length: {len(text)}\r\nRetry-After: 0\r\n\r\n"
            writer.write(head.encode() + text)
            await writer.drain()


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    method, path, _ = head[0].split()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return method, path, headers, await reader.readexactly(int(headers.get("content-length", "0")))


def _problem(code: str) -> bytes:
    return json.dumps({"type": "about:blank", "code": code}).encode()


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """A server on a port of its own: yields its URL, and ends its connections before it is left."""
    connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections[task] = writer
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, limit=4_000_000)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in connections.values():
            writer.transport.abort()
        await asyncio.gather(*connections)
        await asyncio.sleep(0)  # lets the loop close the sockets


@asynccontextmanager
async def toy_node(lines: Path, *faults: str) -> AsyncIterator[ToyNode]:
    """A running toy node."""
    node = ToyNode(lines, *faults)
    async with serving(node.serve) as node.url:
        yield node
