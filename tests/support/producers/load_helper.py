"""Continuing load on nodes, with an exact record of what each event was answered."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nodes import KEY, Node, event
from payflux.load.attempts import Item
from payflux.load.sender import Sender
from servers import until

CONNECTIONS = 8
PER_SECOND = 2000
PAUSE_SECONDS = 0.02  # after an answer that is none, so that a dead node is not flooded


class Load:
    """Producers in a thread of their own: single events over connections that stay open, each event sent once.

    Args:
        nodes: where to; the connections are spread over them.
        connections: how many.

    Attributes:
        bodies: every event ever sent, by its id, in order.
        stored: the ids answered 202, with the verdict: `accepted` or `duplicate`.
        unknown: the ids whose answer was a 5xx, or none.
        troubled: the connections (by number) that had such an answer.
    """

    def __init__(self, nodes: Sequence[Node], connections: int = CONNECTIONS) -> None:
        self.bodies: dict[str, bytes] = {}
        self.stored: dict[str, str] = {}
        self.unknown: set[str] = set()
        self.troubled: set[int] = set()
        self._urls = [f"http://127.0.0.1:{node.port}" for node in nodes]
        self._connections = connections
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if error is None and self._failure is not None:
            raise self._failure

    def more(self, events: int = 1000) -> None:
        """Wait until so many more events are answered 202."""
        wanted = len(self.stored) + events
        until(lambda: len(self.stored) >= wanted or self._failure, f"{events} more events answered 202", 60)

    def repost(self, node: Node) -> dict[str, str]:
        """Send every event again, and again until each is answered 202; their verdicts by id."""
        items = [Item(event_id, body) for event_id, body in self.bodies.items()]
        found: dict[str, str] = {}

        async def run() -> None:
            async with Sender(f"http://127.0.0.1:{node.port}", [KEY], patience_seconds=30) as sender:
                for start in range(0, len(items), 500):
                    attempts = await sender.send(items[start : start + 500], "ndjson")
                    found.update((attempt.event_id, attempt.verdict) for attempt in attempts)

        asyncio.run(run())
        assert set(found) == set(self.bodies)
        assert set(found.values()) <= {"accepted", "duplicate"}, Counter(found.values())
        return found

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            self._failure = error

    async def _send(self) -> None:
        await asyncio.gather(*(self._produce(number) for number in range(self._connections)))

    async def _produce(self, number: int) -> None:
        url = self._urls[number % len(self._urls)]
        async with Sender(url, [KEY], connections=1, patience_seconds=0) as sender:
            due = time.monotonic()
            while not self._stopping.is_set():
                await self._send_one(sender, number)
                due = max(due + self._connections / PER_SECOND, time.monotonic() - 0.1)
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _send_one(self, sender: Sender, number: int) -> None:
        one = event()
        event_id = one["event_id"]
        self.bodies[event_id] = json.dumps(one, separators=(",", ":")).encode()
        (attempt,) = await sender.send([Item(event_id, self.bodies[event_id])])
        if attempt.verdict == "unknown":
            self.unknown.add(event_id)
            self.troubled.add(number)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            assert attempt.verdict in ("accepted", "duplicate"), attempt
            self.stored[event_id] = attempt.verdict


def count_lines(*files: Path) -> int:
    """How many lines the files have."""
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


def read_lines(*files: Path, torn: int = 0) -> list[dict[str, Any]]:
    """The exported lines of the files, one after the other; every one whole.

    Args:
        files: in this order.
        torn: how many may be empty or cut off, because a writer to stdout was killed.
    """
    lines, broken = [], []
    for file in files:
        for line in file.read_bytes().split(b"\n")[:-1]:
            try:
                lines.append(json.loads(line))
            except ValueError:
                broken.append(line)
    assert len(broken) <= torn, broken
    return lines


def ids_of(lines: Sequence[dict[str, Any]]) -> Counter[str]:
    """How often each event is among the lines."""
    return Counter(line["event_id"] for line in lines)


def lost(metrics: dict[str, float], *reasons: str) -> float:
    """The losses of the stream, for these reasons."""
    return sum(metrics[f'stream_lost_total{{reason="{reason}"}}'] for reason in reasons)


def export_errors(metrics: dict[str, float]) -> float:
    """The lines that were not exported."""
    return sum(value for name, value in metrics.items() if name.startswith("export_errors_total"))


def assert_settled(node: Node) -> None:
    """Wait until nothing waits anywhere: not in the stream, not in the consumer, not before a destination."""

    def settled() -> bool:
        metrics = node.metrics()
        exported = sum(value for name, value in metrics.items() if name.startswith("events_exported_total"))
        waiting = sum(value for name, value in metrics.items() if name.startswith("export_queue_bytes"))
        return (
            waiting == 0
            and metrics.get("pending_messages") == 0
            and metrics.get("consumer_lag_messages") == 0
            and metrics["consumer_processed_total"] <= exported + export_errors(metrics) + lost(metrics, "crash")
        )

    until(settled, "nothing to wait anywhere", 40)


def assert_exactly_once(load: Load, *files: Path) -> None:
    """Wait for the lines: every event of the load is there once, in the order of numbers without a gap."""
    until(lambda: count_lines(*files) >= len(load.bodies), "every event to come out", 40)
    lines = read_lines(*files)
    found = ids_of(lines)
    assert [event_id for event_id, times in found.items() if times > 1] == []
    assert set(found) == set(load.bodies)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
