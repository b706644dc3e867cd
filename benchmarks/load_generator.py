"""Sends distinct events over HTTP: wrk when it is installed, else our own generator, which is slower itself."""

import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
KEY = "bench-key-0123456789"
EVENT = {
    "event_type": "payment_failed",
    "event_timestamp": "2026-01-09T12:00:00Z",
    "event_id": "@",
    "merchant_id_hash": "abc123",
    "payment_intent_id_hash": "xyz456",
    "processor": "stripe",
    "failure_category": "processor_timeout",
    "retry_count": 0,
    "geo_bucket": "US",
    "amount_bucket": "50-200",
    "system_source": "checkout_api",
    "payment_method_bucket": "credit_card",
    "channel": "web",
    "retry_result": "failed",
    "failure_origin": "processor",
}
SINGLE_PATH = "/v1/events/payment_exhaust"
MORE_SECONDS = 20.0
BLANKS = (('":', '": '), (',"', ', "'))


class Load(msgspec.Struct):
    """What the generator saw: answers, those of them that were not 2xx, connections that broke, and latency."""

    answers: int
    bad: int
    broken: int
    seconds: float
    p50_ms: float
    p99_ms: float


def body(event_id: str, *, spaced: bool = False) -> str:
    """One event: canonical JSON, or with the blanks `json.dumps` puts in."""
    text = msgspec.json.encode(EVENT | {"event_id": event_id}).decode()
    for plain, with_blank in BLANKS if spaced else ():
        text = text.replace(plain, with_blank)
    return text


class LoadGenerator:
    """Makes load, always of the same kind.

    Args:
        seconds: how long each time.
        spaced: send bodies as `json.dumps` writes them.
        threads: of wrk.
    """

    def __init__(self, seconds: float, *, spaced: bool, threads: int) -> None:
        self._wrk = shutil.which("wrk")
        self._seconds, self._threads = seconds, threads
        self._event = body("@", spaced=spaced)
        self.name = f"wrk, {threads} thread(s)" if self._wrk else "own_load.py (wrk is not installed)"

    def run(self, port: int, connections: int, size: int = 1) -> Load:
        """Keep connections busy: `size` events in a request, one request at a time on each.

        Raises:
            subprocess.SubprocessError: the generator failed.
        """
        path, kind = (SINGLE_PATH, "json") if size == 1 else (f"{SINGLE_PATH}/batch", "x-ndjson")
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/{kind}\r\n"
        )
        one, two, three = secrets.token_hex(4), secrets.token_hex(2), secrets.token_hex(3)
        prefix = f"{one}-{two}-4{three[:3]}-8{three[3:]}-"
        what = [head, self._event, prefix, str(size)]
        url = f"http://127.0.0.1:{port}"
        if self._wrk:
            threads, duration = min(self._threads, connections), f"-d{self._seconds:g}s"
            script = ["-s", str(HERE / "wrk_load.lua"), url, "--"]
            command = [self._wrk, f"-t{threads}", f"-c{connections}", duration, "--timeout", "10s", *script, *what]
        else:
            own = [str(HERE / "own_load.py"), url, str(connections), str(self._seconds)]
            command = [sys.executable, *own, *what]
        done = subprocess.run(command, capture_output=True, timeout=self._seconds + MORE_SECONDS, check=True)
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Load)
