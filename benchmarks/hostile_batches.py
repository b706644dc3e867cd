"""What hostile text costs others: thirteen batches of a megabyte in fifteen seconds, beside events and `/livez`.

Run with `.venv/bin/python -m benchmarks.hostile_batches`; the figures stand in `docs/performance.md`. It starts a node
of its own on an embedded server. The texts are the worst that `benchmarks.card_numbers` knows.
"""

import http.client
import json
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

from benchmarks.card_numbers import HOSTILE, hostile
from benchmarks.client_outage import KEY, Node
from payflux.event.example import EXAMPLE
from payflux.event.intake import BATCH_EVENTS, BATCH_PATH, EVENT_PATH
from payflux.http.limits import BODY_BYTES

SECONDS, BATCHES, PAUSE = 15.0, 13, 0.005
WORST = ("every separator", "rows in rows", "chip data", "cards in account numbers", "fractions and foreign blanks")


def batch(kind: str) -> bytes:
    """As many events full of a text as a batch may have, each with an id of its own."""
    one = json.loads(hostile(HOSTILE[kind]))
    size = min(BATCH_EVENTS, BODY_BYTES // (len(json.dumps(one)) + 1))
    return b"\n".join(json.dumps(one | {"event_id": str(uuid.uuid4())}).encode() for _ in range(size))


@contextmanager
def connected(url: str) -> Iterator[http.client.HTTPConnection]:
    """A connection to a node."""
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        connection.connect()
        yield connection


def post(connection: http.client.HTTPConnection, path: str, kind: str, body: bytes) -> int:
    """Send a body; the status of the answer."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": f"application/{kind}"}
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def answered(url: str, seconds: float, ask: Callable[[http.client.HTTPConnection], int]) -> list[float]:
    """How long requests take, one after the other, in milliseconds."""
    took, end = [], time.monotonic() + seconds
    with connected(url) as connection:
        while time.monotonic() < end:
            began = time.perf_counter()
            if ask(connection) not in {http.HTTPStatus.OK, http.HTTPStatus.ACCEPTED}:
                raise RuntimeError("a request was refused")
            took.append(1000 * (time.perf_counter() - began))
            time.sleep(PAUSE)
    return took


def single(connection: http.client.HTTPConnection) -> int:
    """Send an event; the status of the answer."""
    return post(connection, EVENT_PATH, "json", json.dumps(EXAMPLE | {"event_id": str(uuid.uuid4())}).encode())


def alive(connection: http.client.HTTPConnection) -> int:
    """Ask whether the node lives, as Kubernetes does; the status of the answer."""
    connection.request("GET", "/livez")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def attack(url: str) -> None:
    """Send the batches, evenly over the time."""
    bodies = [batch(WORST[number % len(WORST)]) for number in range(BATCHES)]
    with connected(url) as connection:
        for body in bodies:
            began = time.monotonic()
            post(connection, BATCH_PATH, "x-ndjson", body)
            time.sleep(max(0.0, SECONDS / BATCHES - (time.monotonic() - began)))


def told(what: str, took: list[float]) -> str:
    """The quantiles that count."""
    cut = quantiles(took, n=100)
    figures = f"p50 {cut[49]:.1f}, p95 {cut[94]:.1f}, p99 {cut[98]:.1f}, longest {max(took):.0f} ms"
    return f"  {what:<13} {figures} of {len(took):,}"


def measure(title: str, url: str) -> None:
    """Ask for both at once, and show."""
    with ThreadPoolExecutor() as pool:
        events = pool.submit(answered, url, SECONDS, single)
        probes = pool.submit(answered, url, SECONDS, alive)
    print(title, told("single events", events.result()), told("/livez", probes.result()), sep="\n")


def main() -> None:
    """Measure and show."""
    with tempfile.TemporaryDirectory() as path:
        node = Node(Path(path))
        try:
            measure("alone", node.url)
            attacker = threading.Thread(target=attack, args=(node.url,))
            attacker.start()
            measure("beside hostile batches", node.url)
            attacker.join()
        finally:
            node.stop()


if __name__ == "__main__":
    main()
