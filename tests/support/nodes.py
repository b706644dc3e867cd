"""Real nodes for tests: `payflux serve` as a process, over real sockets."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from payflux.event.example import make_event
from payflux.event.intake import BATCH_PATH, EVENT_PATH
from servers import until

KEY = "test-key-0123456789"
START_SECONDS = 30.0
event = make_event


class Node:
    """One `payflux serve`; stdout goes to `lines`, or to what is given, stderr to `log`.

    Args:
        directory: for its files.
        redis_url: of its server.
        environ: further variables.
        arguments: of the command line.
        stdout: a descriptor instead of the file.
        stderr: a descriptor instead of the file; what it says cannot be waited for.
        ready: wait until it is at work.
    """

    def __init__(
        self,
        directory: Path,
        redis_url: str,
        environ: dict[str, str] | None = None,
        arguments: Sequence[str] = ("serve",),
        stdout: int | None = None,
        *,
        stderr: int | None = None,
        ready: bool = True,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.lines_file = directory / "lines.jsonl"
        self.log_file = directory / "log.jsonl"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "REDIS_URL": redis_url,
            "HTTP_ADDR": "127.0.0.1:0",
            "PAYFLUX_API_KEY": KEY,
            "PAYFLUX_CHECKOUT_ENABLED": "false",
            "PAYFLUX_RATELIMIT_RPS": "1000000",
            "PAYFLUX_RATELIMIT_BURST": "1000000",
        } | (environ or {})
        self._arguments = arguments
        self._stdout, self._stderr = stdout, stderr
        self.port = 0
        self.start(ready=ready)

    def start(self, *, ready: bool = True) -> None:
        """Start it and wait until it is at work."""
        with self.log_file.open("ab") as log, self.lines_file.open("ab") as lines:
            start = self.log_file.stat().st_size
            self.process = subprocess.Popen(
                [sys.executable, "-m", "payflux", *self._arguments],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=lines if self._stdout is None else self._stdout,
                stderr=log if self._stderr is None else self._stderr,
                start_new_session=True,
            )
        if ready:
            until(lambda: self.logged("node_started", start) or self.process.poll() is not None, "node", START_SECONDS)
            assert self.process.poll() is None, self.log_file.read_text()
            self.port = int(self.logged("node_started", start)[-1]["address"].rpartition(":")[2])
            until(lambda: self.get("/health")[0] == 200, "health")

    def logs(self, start: int = 0) -> list[dict[str, Any]]:
        """The log lines from a position of the file on."""
        text = self.log_file.read_bytes()[start:].decode()
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def logged(self, msg: str, start: int = 0) -> list[dict[str, Any]]:
        """The log lines that say so."""
        return [line for line in self.logs(start) if line["msg"] == msg]

    def line_count(self) -> int:
        """How many whole lines there are while the node may be writing another."""
        return self.lines_file.read_bytes().count(b"\n")

    def lines(self) -> list[dict[str, Any]]:
        """The exported lines, all whole."""
        text = self.lines_file.read_bytes()
        assert not text or text.endswith(b"\n")
        return [json.loads(line) for line in text.splitlines()]

    def whole_lines(self) -> list[dict[str, Any]]:
        """The exported lines, without the one that a kill may have cut off."""
        return [json.loads(line) for line in self.lines_file.read_bytes().split(b"\n")[:-1]]

    def child_pid(self, name: str) -> int:
        """The process that is this child just now."""
        pid: int = [line["pid"] for line in self.logged("child_started") if line["child"] == name][-1]
        return pid

    def kill_child(self, name: str) -> int:
        """Kill -9 a child and wait until another process has taken its place; its pid."""
        former = self.child_pid(name)
        os.kill(former, signal.SIGKILL)
        until(lambda: self.child_pid(name) != former, f"a new {name}")
        return self.child_pid(name)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request on a connection of its own; status 0 when there was no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """GET a path."""
        return self.request("GET", path)

    def post(self, one: dict[str, Any]) -> int:
        """POST one event; the status, 0 when there was no answer."""
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        return self.request("POST", EVENT_PATH, json.dumps(one).encode(), headers)[0]

    def post_batch(self, events: Sequence[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        """POST events as NDJSON; status and answer."""
        body = b"\n".join(json.dumps(one, separators=(",", ":")).encode() for one in events)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-ndjson"}
        status, answer = self.request("POST", BATCH_PATH, body, headers)
        return status, json.loads(answer) if answer else {}

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, as `name{label="value",…}` without the prefix, labels sorted."""
        text = b""

        def answered() -> bool:  # its process starts last, and a machine with much to do lets it wait
            nonlocal text
            status, text = self.get("/metrics")
            assert status in {200, 503}
            return status == 200

        until(answered, "the metrics")
        found = {}
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
                name = sample.name.removeprefix("payflux_")
                found[f"{name}{{{labels}}}" if labels else name] = sample.value
        return found

    def drained(self) -> bool:
        """Nothing waits in the stream."""
        metrics = self.metrics()
        return metrics.get("pending_messages") == 0 and metrics.get("consumer_lag_messages") == 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def kill_all(self) -> None:
        """Kill -9 every process of the node at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """End it gracefully; its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(35)
        finally:
            self.kill_all()
