"""A Redis of the benchmark's own, and what it says of itself."""

import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import hiredis

from payflux.redis.embedded import server_binary
from payflux.redis.link import pack

START_SECONDS = 10.0

IN_SCRIPTS = ("xack", "xpending", "xclaim", "xgroup|setid")
CONSUMER_COMMANDS = ("xreadgroup", "xread", "xrange", "xautoclaim", *IN_SCRIPTS)
"""What only the consumer runs; what else its scripts take is in `evalsha`, so counted to the append side."""

APPENDS, COMMITS = "hmget", "xgroup|setid"
"""By which scripts are told apart: each append script runs the first once, each commit of the consumer the second."""


class Commands(NamedTuple):
    """µs Redis measured in commands since its start, and how often some ran.

    Attributes:
        append_us: in scripts, without what is the consumer's in them.
        consumer_us: in the consumer's commands, inside and outside scripts.
        calls: of each command, by name.
    """

    append_us: float
    consumer_us: float
    calls: dict[str, float]


class RedisMissing(Exception):
    """There is no server to measure, or it does not start."""


class Redis:
    """A server of the binary the embedded Valkey uses, on a unix socket, alone with its data.

    Args:
        directory: of its files.
        aof: `off`, `everysec` or `always`.

    Raises:
        RedisMissing: it does not start.
    """

    def __init__(self, directory: Path, aof: str) -> None:
        directory.mkdir()
        self.binary = server_binary()
        self.path = str(directory / "r.sock")
        self.url = f"unix://{self.path}"
        persistence = ["--appendonly", "yes", "--appendfsync", aof] if aof != "off" else ["--appendonly", "no"]
        where = ["--port", "0", "--unixsocket", self.path, "--dir", str(directory), "--save", ""]
        self._process = subprocess.Popen(
            [self.binary, *where, *persistence], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.pid = self._process.pid
        self._socket = self._connect()
        self._reader = hiredis.Reader(encoding="utf-8", errors="replace")

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + START_SECONDS
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self.path)
            except OSError:
                connection.close()
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._process.kill()
                    raise RedisMissing(f"{self.binary} did not start") from None
                time.sleep(0.01)
            else:
                connection.settimeout(30)
                return connection

    def command(self, *words: str) -> object:
        """Send a command and return its reply; raises what Redis answers as an error."""
        self._socket.sendall(pack(words))
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65_536))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def number(self, *words: str) -> int:
        """The reply to a command as a number; 0 for none."""
        return int(str(self.command(*words) or 0))

    def info(self, section: str) -> dict[str, str]:
        """A section of INFO."""
        lines = (line.partition(":") for line in str(self.command("INFO", section)).splitlines())
        return {name: value for name, colon, value in lines if colon}

    def commands(self) -> Commands:
        """What it has spent on commands, by side."""
        stats = {}
        for name, values in self.info("commandstats").items():
            pairs = (value.partition("=") for value in values.split(","))
            stats[name.removeprefix("cmdstat_")] = {key: float(value) for key, _, value in pairs}
        consumer = sum(stats[name]["usec"] for name in CONSUMER_COMMANDS if name in stats)
        inside = sum(stats[name]["usec"] for name in IN_SCRIPTS if name in stats)
        scripts = sum(stats[name]["usec"] for name in ("evalsha", "eval") if name in stats)
        return Commands(scripts - inside, consumer, {name: values["calls"] for name, values in stats.items()})

    def stop(self) -> None:
        """End it, without saving anything."""
        self._socket.close()
        self._process.kill()
        self._process.wait(10)
