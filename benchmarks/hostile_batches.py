"""What batches of hostile text cost others: thirteen of a megabyte in fifteen seconds, beside single events.

Run with `.venv/bin/python -m benchmarks.hostile_batches`; the figures stand in `docs/performance.md`. It starts a node
of its own on an embedded server. The texts are the worst that `benchmarks.card_numbers` knows.
"""

import http.client
import json
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
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
WORST = ("chip data", "fractions", "account numbers", "track 1")


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


def singles(url: str, seconds: float) -> list[float]:
    """How long single events take, one after the other, in milliseconds."""
    took, end = [], time.monotonic() + seconds
    with connected(url) as connection:
        while time.monotonic() < end:
            body = json.dumps(EXAMPLE | {"event_id": str(uuid.uuid4())}).encode()
            began = time.perf_counter()
            if post(connection, EVENT_PATH, "json", body) != http.HTTPStatus.ACCEPTED:
                raise RuntimeError("an event was refused")
            took.append(1000 * (time.perf_counter() - began))
            time.sleep(PAUSE)
    return took


def attack(url: str) -> None:
    """Send the batches, evenly over the time."""
    bodies = [batch(WORST[number % len(WORST)]) for number in range(BATCHES)]
    with connected(url) as connection:
        for body in bodies:
            began = time.monotonic()
            post(connection, BATCH_PATH, "x-ndjson", body)
            time.sleep(max(0.0, SECONDS / BATCHES - (time.monotonic() - began)))


def told(took: list[float]) -> str:
    """The quantiles that count."""
    cut = quantiles(took, n=100)
    return (
        f"p50 {cut[49]:.1f}, p95 {cut[94]:.1f}, p99 {cut[98]:.1f}, longest {max(took):.0f} ms of {len(took):,} events"
    )


def main() -> None:
    """Measure and show."""
    with tempfile.TemporaryDirectory() as path:
        node = Node(Path(path))
        try:
            print("alone:        ", told(singles(node.url, SECONDS)))
            attacker = threading.Thread(target=attack, args=(node.url,))
            attacker.start()
            print("beside hostile:", told(singles(node.url, SECONDS)))
            attacker.join()
        finally:
            node.stop()


if __name__ == "__main__":
    main()
