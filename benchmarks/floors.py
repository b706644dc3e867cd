"""The floors: what the same machine needs for the least that could be called the same work."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import hiredis
import msgspec
from load_generator import LoadGenerator, body
from machine import children, cpu_seconds

from payflux.embedded import server_binary
from payflux.redis_link import pack

START_SECONDS = 10.0
PIPELINE = 64
NGINX_CONFIG = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    server {{ listen 127.0.0.1:{port}; location / {{ return 202; }} }}
}}
"""


class Floor(msgspec.Struct):
    """What a floor took: CPU for each request or command in µs, and how many a second; latency where it has one."""

    cpu_us: float
    per_second: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0


class FloorMissing(Exception):
    """Something a floor needs is not installed, or does not work; the text says what to do."""


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Nginx:
    """`return 202`, one worker process, no log: a web server that does nothing."""

    def __init__(self, directory: Path) -> None:
        binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
        if binary is None:
            raise FloorMissing("nginx is not installed: apt-get install nginx-light (or your system's nginx)")
        self.port = free_port()
        directory.mkdir()
        config = directory / "nginx.conf"
        config.write_text(NGINX_CONFIG.format(directory=directory, port=self.port))
        self._process = subprocess.Popen(
            [binary, "-p", str(directory), "-e", str(directory / "nginx.log"), "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._await_worker(directory / "nginx.log")
        (self.pid,) = children(self._process.pid)
        self.version = f"{binary} -v"

    def _await_worker(self, log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not (self._process.poll() is None and children(self._process.pid) and self._answers()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text().strip() if log.exists() else "nothing"
                self.stop()
                raise FloorMissing(f"nginx did not start: {said}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def measure(self, generator: LoadGenerator, connections: int) -> Floor:
        """Take the same requests the node gets."""
        before = cpu_seconds(self.pid)
        load = generator.run(self.port, connections)
        if load.bad or load.broken or not load.answers:
            raise FloorMissing(f"nginx did not answer every request with 202: {load}")
        spent = cpu_seconds(self.pid) - before
        return Floor(spent / load.answers * 1e6, load.answers / load.seconds, load.p50_ms, load.p99_ms)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)


class Redis:
    """A server of the binary the embedded Valkey uses, on a unix socket, alone with its data.

    Args:
        directory: of its files.
        aof: `off` or `everysec`.
    """

    def __init__(self, directory: Path, aof: str) -> None:
        directory.mkdir()
        self.binary = server_binary()
        self.path = str(directory / "r.sock")
        self.url = f"unix://{self.path}"
        persistence = ["--appendonly", "yes", "--appendfsync", aof] if aof != "off" else ["--appendonly", "no"]
        self._process = subprocess.Popen(
            [
                self.binary,
                "--port",
                "0",
                "--unixsocket",
                self.path,
                "--dir",
                str(directory),
                "--save",
                "",
                *persistence,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
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
                    raise FloorMissing(f"{self.binary} did not start") from None
                time.sleep(0.01)
            else:
                connection.settimeout(30)
                return connection

    def command(self, *words: str) -> object:
        """Send a command and return its reply; raises what Redis answers as an error."""
        return self._pipeline(pack(words), 1)

    def _pipeline(self, packed: bytes, replies: int) -> object:
        self._socket.sendall(packed)
        reply: object = None
        for _ in range(replies):
            while (reply := self._reader.gets()) is False:
                self._reader.feed(self._socket.recv(65_536))
            if isinstance(reply, Exception):
                raise reply
        return reply

    def commands_run(self) -> dict[str, dict[str, float]]:
        """Calls and µs of every command since the start, by its name."""
        stats = {}
        for line in str(self.command("INFO", "commandstats")).splitlines():
            name, _, values = line.partition(":")
            if name.startswith("cmdstat_"):
                pairs = (value.partition("=") for value in values.split(","))
                stats[name.removeprefix("cmdstat_")] = {key: float(value) for key, _, value in pairs}
        return stats

    def measure_xadd(self, commands: int) -> Floor:
        """Bare pipelined XADD of the same payload, by redis-benchmark or else by ourselves; then forget them."""
        event = body("550e8400-e29b-41d4-a716-446655440000")
        words = ("XADD", "floor", "*", "data", event)
        tool = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
        before, started = cpu_seconds(self.pid), time.monotonic()
        if tool:
            how = ("-s", self.path, "-c", "4", "-P", str(PIPELINE), "-n", str(commands), "-q")
            subprocess.run([tool, *how, *words], stdout=subprocess.DEVNULL, check=True, timeout=60)
        else:
            packed = pack(words) * PIPELINE
            for _ in range(commands // PIPELINE):
                self._pipeline(packed, PIPELINE)
        took = time.monotonic() - started
        spent = cpu_seconds(self.pid) - before
        done = self.command("XLEN", "floor")
        assert isinstance(done, int)
        self.command("FLUSHALL", "SYNC")
        return Floor(spent / done * 1e6, done / took)

    def stop(self) -> None:
        """End it, without saving anything."""
        self._socket.close()
        self._process.kill()
        self._process.wait(10)
