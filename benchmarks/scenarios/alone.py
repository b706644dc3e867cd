"""What is measured without a load: an idle node, a start, the memory of the marks."""

import asyncio
import random
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from math import exp
from statistics import median

from benchmarks.load.generator import KEY, event_of
from benchmarks.report.result import Run
from benchmarks.scenarios.scenario import Scenario
from benchmarks.servers.fleet import Servers
from benchmarks.servers.node import Node, until
from benchmarks.servers.redis import Redis
from payflux.errors import StreamUnavailable
from payflux.event.decode import StoredEvent
from payflux.event.intake import EVENT_PATH
from payflux.load.latencies import Latencies
from payflux.redis.address import parse_url
from payflux.redis.append import SCRIPT, RedisAppender
from payflux.redis.keys import Keys

IDLE_EVENTS = 200
PAUSE_SECONDS = (0.005, 0.05)
WINDOW_SECONDS = 86_400
APPENDED_AT_ONCE = 500
FIRST_LOOK = 50_000
MODELLED = (1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000, 100_000_000)
DAY_SECONDS = 86_400
RATES = (1_000, 50_000)


def run_idle(servers: Servers, scenario: Scenario) -> Iterator[Run]:
    """One event at a time, at irregular intervals: how long until its answer, and until its line."""
    with servers.node(scenario.workers) as node:
        for _ in range(servers.options.rounds):
            yield servers.watched(lambda: _one_by_one(node, scenario, min(IDLE_EVENTS, servers.options.idle)))


def _one_by_one(node: Node, scenario: Scenario, events: int) -> Run:
    came = threading.Event()
    when = 0.0

    def watch(_: bytes, at: float) -> None:
        nonlocal when
        when = at
        came.set()

    answers, lines = Latencies(), Latencies()
    wrong: list[str] = []
    counting = node.counting()
    node.lines.watch = watch
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(10)
        for _ in range(events):
            time.sleep(random.uniform(*PAUSE_SECONDS))
            came.clear()
            request = _request(scenario)
            sent = time.perf_counter()
            connection.sendall(request)
            answer = connection.recv(65_536)
            answers.add(time.perf_counter() - sent)
            if not answer.startswith(b"HTTP/1.1 202 ") or not came.wait(10):
                wrong.append(f"an event got {answer[:40]!r}, and {'a' if came.is_set() else 'no'} line")
                break
            lines.add(when - sent)
    node.lines.watch = None
    counted = counting()
    if len({events, counted.accepted, counted.lines, counted.exported, counted.added, counted.numbered}) > 1:
        wrong.append(f"{events:,} went in, but {counted}")
    figures = {f"{name}_{key}": value for name, of in (("answer", answers), ("line", lines)) for key, value in _ms(of)}
    return Run({"events": float(events), **figures}, wrong=wrong)


def _ms(latencies: Latencies) -> Iterator[tuple[str, float]]:
    yield "p50_ms", latencies.percentile(50) * 1e3
    yield "p99_ms", latencies.percentile(99) * 1e3
    yield "max_ms", latencies.longest * 1e3


def _request(scenario: Scenario) -> bytes:
    one = secrets.token_hex(16)
    body = event_of(scenario.shape, f"{one[:8]}-{one[8:12]}-4{one[13:16]}-8{one[17:20]}-{one[20:]}")
    return (
        f"POST {EVENT_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def run_start(servers: Servers, scenario: Scenario) -> Iterator[Run]:
    """From the start of the process to the first 202, Redis being up."""
    for _ in range(servers.options.rounds):
        with servers.node(scenario.workers) as node:
            with socket.create_connection(("127.0.0.1", node.port)) as connection:
                connection.sendall(_request(scenario))
                answer = connection.recv(65_536)
            took = time.perf_counter() - node.started
            wrong = [] if answer.startswith(b"HTTP/1.1 202 ") else [f"the first event got {answer[:40]!r}"]
            if not until(lambda node=node: node.lines.count == 1, 10):  # type: ignore[misc]
                wrong.append("the first event got no line")
            yield Run({"start_ms": took * 1e3, **node.memory()}, wrong=wrong)


def run_dedup_memory(servers: Servers, scenario: Scenario) -> Iterator[Run]:  # noqa: ARG001 - as all are called
    """Bytes of Redis for each remembered id: appended for real as far as asked for, calculated beyond."""
    with servers.redis() as redis:
        trace = asyncio.run(remember(redis, servers.options.ids))
    per_id, per_bucket = fit(trace)
    measured = [size / ids for ids, size in zip(trace["x"], trace["bytes"], strict=True) if ids >= MODELLED[0]]
    beyond = {ids: modelled(ids, per_id, per_bucket) for ids in MODELLED if ids > trace["x"][-1]}
    between = [MODELLED[0] * 1.1**step for step in range(49)]  # up to 100 million
    worst = max(modelled(ids, per_id, per_bucket) for ids in between if ids > trace["x"][-1])
    figures = {"measured_ids": trace["x"][-1], "per_id": per_id, "per_bucket": per_bucket}
    figures |= {f"bytes_at_{ids // 1_000_000}m": value for ids, value in beyond.items()}
    for rate in RATES:
        ids = rate * DAY_SECONDS
        figures[f"gib_a_day_at_{rate}"] = ids * modelled(ids, per_id, per_bucket) / 2**30
    figures["bytes_per_id"] = max([*measured, worst])
    found = median(abs(modelled(ids, per_id, per_bucket) * ids / size - 1) for ids, size in _large(trace))
    wrong = [] if found < 0.1 else [f"the model is {found:.0%} off what was measured"]
    yield Run(figures, trace=trace, wrong=wrong)


def _large(trace: dict[str, list[float]]) -> list[tuple[float, float]]:
    return list(zip(trace["x"], trace["bytes"], strict=True))[-5:]


async def remember(redis: Redis, ids: int) -> dict[str, list[float]]:
    """Append so many events with new ids, looking at memory and keys on the way; the stream itself is kept short."""
    appender = RedisAppender(parse_url(redis.url), Keys(), maxlen=1, window_sec=WINDOW_SECONDS)
    task = asyncio.create_task(appender.run())
    while not appender.connected:  # noqa: ASYNC110 - it has no event to wait for
        await asyncio.sleep(0.01)
    empty = float(redis.info("memory")["used_memory"])
    trace: dict[str, list[float]] = {"x": [], "bytes": [], "keys": []}
    done, look = 0, min(FIRST_LOOK, ids)
    while done < ids:
        size = min(look, ids) - done
        for start in range(0, size, APPENDED_AT_ONCE):
            await _append(appender, min(APPENDED_AT_ONCE, size - start))
        done += size
        look = min(ids, int(look * 1.5))
        trace["x"].append(float(done))
        trace["bytes"].append(float(redis.info("memory")["used_memory"]) - empty)
        trace["keys"].append(float(redis.number("DBSIZE")))
    task.cancel()
    appender.close()
    return trace


async def _append(appender: RedisAppender, size: int) -> None:
    settled: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def settle(results: bytes, error: StreamUnavailable | None) -> None:
        if error is None:
            settled.set_result(results)
        else:
            settled.set_exception(error)

    appender.append([StoredEvent(b"x", "", secrets.token_bytes(16), "p") for _ in range(size)], settle)
    results = await settled
    assert results == b"1" * size, "a new id was taken for a known one"


def layout() -> tuple[int, int, int]:
    """Ids in a bucket when a layer is full, and the hexadecimal digits of the smallest and the largest layer.

    Raises:
        ValueError: the append script keeps its marks in another way.
    """
    found = re.search(r"local MEAN, SMALLEST, LARGEST\b.*= (\d+), (\d+), (\d+)", SCRIPT.text)
    if found is None:
        raise ValueError("append.lua does not say how large its layers are")
    mean, smallest, largest = (int(number) for number in found.groups())
    return mean, smallest, largest


def buckets(ids: float) -> float:
    """How many sets hold so many ids of one window; ids fall into them at random."""
    mean, digits, largest = layout()
    total = 0.0
    while ids > 0:
        size = 16.0**digits
        here = min(ids, mean * size) if digits < largest else ids
        total += size * (1 - exp(-here / size))
        ids -= here
        digits = min(digits + 1, largest)
    return total


def fit(trace: dict[str, list[float]]) -> tuple[float, float]:
    """Bytes of an id and of a bucket, by least squares over what was measured: bytes = a * ids + b * buckets."""
    rows = list(zip(trace["x"], trace["keys"], trace["bytes"], strict=True))
    aa, ab, bb = (sum(x * x for x, _, _ in rows), sum(x * k for x, k, _ in rows), sum(k * k for _, k, _ in rows))
    ay, by = sum(x * y for x, _, y in rows), sum(k * y for _, k, y in rows)
    determinant = aa * bb - ab * ab
    return (ay * bb - by * ab) / determinant, (by * aa - ay * ab) / determinant


def modelled(ids: float, per_id: float, per_bucket: float) -> float:
    """Bytes for each of so many remembered ids."""
    return per_id + per_bucket * buckets(ids) / ids
