"""Run the load check against a node of its own: embedded Valkey, `payflux serve`, all in a temporary directory.

Everything given on the command line is passed on to smoke_load.sh after URL, keys and lines (`--events 1000`). Exit
codes are those of smoke_load.sh, and 2 when the node does not start or does not end well.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from payflux.errors import SettingsError
from payflux.redis.embedded import EmbeddedServer

KEYS = "smoke-key-one-0123,smoke-key-two-4567"
START_SECONDS = 30.0
END_SECONDS = 35.0
POLL_SECONDS = 0.02
LOAD_CHECK = Path(__file__).parent.parent / "smoke_load.sh"


class NodeFailed(Exception):
    """The node did not start, or did not end as it should."""


class Node:
    """A node whose stdout goes to the file `lines`, and its log to another one.

    Attributes:
        address: of its HTTP server, `host:port`.
        url: the same, `http://…`.

    Args:
        directory: for its files.
        redis_url: of its Valkey.
        arguments: of `payflux serve`.
        more: further variables.

    Raises:
        NodeFailed: it did not start.
    """

    def __init__(
        self, directory: Path, redis_url: str, arguments: Sequence[str] = (), more: Mapping[str, str] | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.lines, self._log = directory / "lines.jsonl", directory / "log.jsonl"
        environ = {
            "PATH": os.defpath,
            "REDIS_URL": redis_url,
            "HTTP_ADDR": "127.0.0.1:0",
            "PAYFLUX_API_KEYS": KEYS,
            "PAYFLUX_RATELIMIT_RPS": "1000000",
            "PAYFLUX_RATELIMIT_BURST": "1000000",
            "PAYFLUX_CHECKOUT_ENABLED": "false",
        } | dict(more or {})
        with self.lines.open("ab") as lines, self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "payflux", "serve", *arguments],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this command, which ends the node
            )
        try:
            self.address = self._ready()
            self.url = f"http://{self.address}"
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def _ready(self) -> str:
        """Its address, once it is at work."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            for line in self._log.read_text().splitlines():
                if '"node_started"' in line and line.endswith("}"):
                    return str(json.loads(line)["address"])
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NodeFailed(f"the node did not start; its log:\n{self._log.read_text()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End it gracefully.

        Raises:
            NodeFailed: it did not end, or with another exit code than 0.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code:
            raise NodeFailed(f"the node ended with exit code {code}; its log:\n{self._log.read_text()}")

    def kill(self) -> None:
        """End all its processes at once, as a machine does that fails; one that has ended is left alone."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def check(directory: Path, arguments: Sequence[str]) -> int:
    """Start a node, check it, end it; returns the exit code of the check.

    Raises:
        NodeFailed: the node did not start, or did not end as it should.
        SettingsError: there is no server to embed, or it did not start.
    """
    server = EmbeddedServer(directory / "valkey")
    try:
        node = Node(directory, server.url)
        try:
            return subprocess.run(
                [str(LOAD_CHECK), node.url, KEYS, str(node.lines), *arguments], check=False
            ).returncode
        finally:
            node.stop()
    finally:
        server.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check as a command, return its exit code."""
    with tempfile.TemporaryDirectory(prefix="pf-smoke-") as directory:
        try:
            return check(Path(directory), sys.argv[1:] if arguments is None else arguments)
        except (NodeFailed, SettingsError) as error:
            sys.stderr.write(f"smoke: {error}\n")
            return 2


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that node and server are ended too
    sys.exit(main())
