"""Sends distinct events over HTTP: wrk where it is installed; our own generator otherwise, and for constant rates."""

import http.client
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.machine import ROOT
from payflux.event.example import make_event
from payflux.event.intake import BATCH_PATH, EVENT_PATH, Form

HERE = Path(__file__).parent
KEY = "bench-key-0123456789"
EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"
LONG = (
    *("merchant_id_hash", "payment_intent_id_hash", "failure_category", "amount_bucket", "system_source", "channel"),
    "payment_method_bucket",
)
"""Fields that are filled up for larger entries."""

MORE_SECONDS = 20.0
STORE_TRIES = 10
BLANKS = (('":', '": '), (',"', ', "'))
POOL = 10_000
LATE_P99_MS = 5.0
RATE_SHARE = 0.99


class Shape(msgspec.Struct, frozen=True):
    """What a load looks like.

    Attributes:
        connections: at once.
        size: events in a request.
        form: how they are sent; `single` for a size of 1.
        depth: requests on a connection before their answers are awaited.
        duplicates: percent of events that were sent before: 0, 50 or 100.
        keys: API keys, in turn.
        processors: payment processors, in turn; 1 is the example's.
        stored: about how many bytes the stored event has; 0 for the example as it is.
        ignored: bytes of a further member, which PayFlux does not store.
        spaced: as Python's `json.dumps` writes it.
    """

    connections: int = 64
    size: int = 1
    form: Form = "single"
    depth: int = 1
    duplicates: Literal[0, 50, 100] = 0
    keys: int = 1
    processors: int = 1
    stored: int = 0
    ignored: int = 0
    spaced: bool = False


class Load(msgspec.Struct):
    """What the generator saw: answers, those of them that were not right, connections that broke, and latency.

    Attributes:
        answers: to requests.
        bad: answers that are not the expected ones, as far as the generator looks.
        broken: connections that failed.
        octets: of all answers; 0 when the generator does not say.
        rate: requests a second that were due; 0 without a schedule.
        late_p99_ms: how late the generator was against its schedule.
        late_max_ms: the same, at its worst.
    """

    answers: int
    bad: int
    broken: int
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float = 0.0
    max_ms: float = 0.0
    octets: int = 0
    rate: float = 0.0
    late_p99_ms: float = 0.0
    late_max_ms: float = 0.0


def key_of(number: int) -> str:
    """One of the keys of a node with several; number 0 is the usual one."""
    return KEY if number == 0 else f"bench-key-{number:010d}"


def event_of(shape: Shape, event_id: str = EXAMPLE_ID) -> str:
    """One event of a shape; `%` stands where the processor belongs when there are several."""
    event = make_event(event_id=event_id)
    missing = shape.stored - len(msgspec.json.encode(event))
    for name in LONG:
        room = max(0, min(100 - len(str(event[name])), missing))
        event[name] = str(event[name]) + "x" * room
        missing -= room
    if shape.processors > 1:
        event["processor"] = "p%"
    if shape.ignored:
        event["note"] = "x" * shape.ignored
    text = msgspec.json.encode(event).decode()
    for plain, with_blank in BLANKS if shape.spaced else ():
        text = text.replace(plain, with_blank)
    return text


class GeneratorMissing(Exception):
    """A generator is needed that is not installed; the text says which."""


class LoadGenerator:
    """Makes load for so many seconds each time; `threads` is of wrk."""

    def __init__(self, seconds: float, *, threads: int) -> None:
        self._wrk = shutil.which("wrk")
        self._seconds, self._threads = seconds, threads
        self.name = f"wrk, {threads} thread(s)" if self._wrk else "our own generator (wrk is not installed)"

    def run(self, port: int, shape: Shape, seconds: float = 0.0) -> Load:
        """Keep connections busy: as many requests as are answered.

        Args:
            port: of what takes them.
            shape: of the load.
            seconds: other than the usual.

        Raises:
            GeneratorMissing: the scenario needs wrk, and it is not installed.
            subprocess.SubprocessError: the generator failed.
        """
        seconds = seconds or self._seconds
        if not self._wrk:
            if shape.duplicates or shape.keys > 1 or shape.processors > 1:
                raise GeneratorMissing("this scenario needs wrk: apt-get install wrk")
            return self.paced(port, shape, 0.0, seconds)
        path, kind = (EVENT_PATH if shape.size == 1 else BATCH_PATH), "x-ndjson" if shape.form == "ndjson" else "json"
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/{kind}\r\n"
        what = [head, event_of(shape, "@"), f"{_prefix()}-", str(shape.size), shape.form, str(shape.depth)]
        what += [str(shape.duplicates), f"{POOL_PREFIX}-", str(POOL), str(shape.processors), str(shape.keys), KEY]
        seconds = max(1.0, round(seconds))  # wrk knows no less
        threads = min(self._threads, shape.connections)
        options = [f"-t{threads}", f"-c{shape.connections}", f"-d{seconds:.0f}s", "--timeout", "10s"]
        command = [self._wrk, *options, "-s", str(HERE / "wrk.lua"), f"http://127.0.0.1:{port}", "--", *what]
        return _read(command, seconds)

    def prepared(self, port: int, connections: int, requests: Path) -> Load:
        """Keep connections busy with requests that were made before, each sent once.

        Args:
            port: of what takes them.
            connections: at once.
            requests: the file of them, as `prepared.lua` says; more than are answered.

        Raises:
            GeneratorMissing: wrk is not installed.
            subprocess.SubprocessError: the generator failed.
        """
        if not self._wrk:
            raise GeneratorMissing("this needs wrk: apt-get install wrk")
        options = ["-t1", f"-c{connections}", f"-d{self._seconds:.0f}s", "--timeout", "10s"]
        command = [self._wrk, *options, "-s", str(HERE / "prepared.lua"), f"http://127.0.0.1:{port}"]
        return _read([*command, "--", str(requests)], self._seconds)

    def paced(self, port: int, shape: Shape, rate: float, seconds: float) -> Load:
        """Send at a constant rate, each request when it is due, whatever became of those before it.

        Args:
            port: of what takes them.
            shape: of the load: neither duplicates, nor several keys or processors.
            rate: events a second; 0 for as many as are answered.
            seconds: how long.

        Raises:
            subprocess.SubprocessError: the generator failed.
        """
        plan = {
            "shape": shape,
            "port": port,
            "rate": rate,
            "seconds": seconds,
            "event": event_of(shape, "@"),
            "key": KEY,
        }
        return _read([sys.executable, "-m", "benchmarks.load.own", msgspec.json.encode(plan).decode()], seconds)


def _read(command: list[str], seconds: float) -> Load:
    done = subprocess.run(command, capture_output=True, timeout=seconds + MORE_SECONDS, check=True, cwd=ROOT)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Load)


def _prefix() -> str:
    """The first four groups of the ids of one run."""
    one, two, three = secrets.token_hex(4), secrets.token_hex(2), secrets.token_hex(3)
    return f"{one}-{two}-4{three[:3]}-8{three[3:]}"


POOL_PREFIX = _prefix()
"""Of the ids that are sent again and again."""


def fill_pool(port: int, shape: Shape) -> None:
    """Store the events that a load with duplicates repeats."""
    store(port, shape, (f"{POOL_PREFIX}-{number:012x}" for number in range(POOL)))


def fill(port: int, shape: Shape, events: int) -> None:
    """Store so many new events."""
    prefix = _prefix()
    store(port, shape, (f"{prefix}-{number:012x}" for number in range(events)))


def store(port: int, shape: Shape, ids: Iterator[str]) -> None:
    """Store events in batches; what a busy machine did not confirm in time is sent again, which is safe.

    Raises:
        GeneratorMissing: a batch was not answered with 200.
    """
    event = event_of(shape, "@")
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-ndjson"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while batch := list(islice(ids, 1000)):
        body = "\n".join([event.replace("@", one) for one in batch])
        for _ in range(STORE_TRIES):
            connection.request("POST", f"{BATCH_PATH}?results=errors", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 503:
                break
            time.sleep(float(answer.headers["Retry-After"]))
        if answer.status != 200:
            raise GeneratorMissing(f"the node answered {answer.status} to a batch: {text[:200]!r}")
    connection.close()


def off_schedule(load: Load) -> Iterator[str]:
    """Why a paced load was not what it was to be."""
    if not load.rate:
        return
    if load.late_p99_ms > LATE_P99_MS:
        yield f"the load generator was late itself: p99 {load.late_p99_ms:.1f} ms, at worst {load.late_max_ms:.1f} ms"
    if load.answers < RATE_SHARE * load.rate * load.seconds:
        yield f"{load.answers / load.seconds:,.0f} requests a second were answered, {load.rate:,.0f} were due"
