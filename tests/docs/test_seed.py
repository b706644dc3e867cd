"""The first PayFlux's quick start and checklist, line by line, on a real Redis with nothing configured but two keys."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from needs import program
from servers import until

pytestmark = pytest.mark.process

EVENT = json.dumps(
    {
        "event_type": "payment_failed",
        "event_timestamp": "2026-01-09T12:00:00Z",
        "event_id": "550e8400-e29b-41d4-a716-446655440000",
        "processor": "stripe",
    }
)
NO_UUID = EVENT.replace("550e8400-e29b-41d4-a716-446655440000", "not-a-uuid")
POST = "curl -s -w ' %{http_code}' -X POST localhost:8080/v1/events/payment_exhaust"
KEYED = f'{POST} -H "Authorization: Bearer test_key" -H "Content-Type: application/json"'
CHECKLIST = (
    ("curl localhost:8080/health", r"^ok\n$"),
    ("curl -s localhost:8080/metrics | grep payflux_", r"^payflux_ingest_accepted_total 0"),
    (POST, r" 401$"),
    (f"{KEYED} -d '{EVENT}'", r" 202$"),
    (f"{KEYED} -d '{EVENT}'", r" 202$"),
    ("curl -s localhost:8080/metrics | grep ingest_duplicate", r"^payflux_ingest_duplicate_total 1"),
    (f"{KEYED} -d '{NO_UUID}'", r"event_id must be valid UUID.* 400$"),
)
"""What is typed, and what it shows; ports 8080 and 6379 stand for free ones."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def ports() -> dict[str, str]:
    """The ports of the page, and those that are free here."""
    return {"8080": str(free_port()), "6379": str(free_port())}


@pytest.fixture
def redis_server(directory: Path, ports: dict[str, str]) -> Iterator[None]:
    """`redis-server &`, with nothing but its port changed."""
    command = [program("redis-server"), "--port", ports["6379"]]
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL) as process:
        yield
        process.terminate()


def test_the_first_quick_start_works_line_by_line(directory: Path, ports: dict[str, str], redis_server: None) -> None:
    """Start with two keys, look, be refused, be accepted, be recognised, be corrected, end: each as its page said."""
    program("curl")
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(directory),
        "HTTP_ADDR": f":{ports['8080']}",
        "REDIS_ADDR": f"localhost:{ports['6379']}",
    }
    log = directory / "node.log"
    with log.open("wb") as stderr:
        node = subprocess.Popen(
            ["sh", "-c", "PAYFLUX_API_KEY=test_key STRIPE_API_KEY=sk_test_placeholder exec payflux"],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    until(lambda: b"node_started" in log.read_bytes() or node.poll() is not None, "the node", 40)
    for typed, shown in CHECKLIST:
        command = typed.replace("8080", ports["8080"])
        done = subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=30)
        assert re.search(shown, done.stdout, re.MULTILINE), (typed, done)
    started = time.monotonic()
    node.send_signal(signal.SIGTERM)
    assert node.wait(30) == 0
    assert time.monotonic() - started < 30
    said = log.read_text()
    assert said.index("shutdown_initiated") < said.index("shutdown_complete")
