"""The floors: what the same machine needs for the least that could be called the same work."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.load.generator import Load, LoadGenerator, Shape, event_of
from benchmarks.machine import ROOT, children, cpu_seconds
from benchmarks.servers.redis import Redis

START_SECONDS = 10.0
PIPELINE, CLIENTS = 64, 4
XADD_COMMANDS = 400_000
SCRIPT_EVENTS = 200_000
MAXLEN = "200000"
SEQ = "12345678"
MARK = "0123ab1234567890123456789"
"""As long as the word by which the append script tells an event: bucket and mark."""

SCRIPT = (
    "for i = 2, #ARGV, 2 do redis.call('XADD', KEYS[1], '*', 'data', ARGV[i], 'seq', "
    + SEQ
    + " + i) end return #ARGV / 2"
)
"""XADD alone in a script: the same entries and the same arguments as the append script's, nothing else done."""

NGINX_CONFIG = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 8192; }}
worker_rlimit_nofile 16384;
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_max_body_size 2m;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    server {{ listen 127.0.0.1:{port}; location / {{ return 202; }} }}
}}
"""


class Floor(msgspec.Struct, omit_defaults=True):
    """What a floor took: CPU for each request or event in µs, and how many a second; latency where it has one."""

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


class WebServer:
    """A web server that answers 202 to everything and does nothing else.

    Args:
        name: what to call it.
        command: starts it.
        port: where it listens.
        pid: of the process that answers, once the server runs; given the pid of what was started.

    Raises:
        FloorMissing: it does not start.
    """

    def __init__(self, name: str, command: list[str], port: int, pid: Callable[[int], int | None]) -> None:
        self.name, self.port = name, port
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
        deadline = time.monotonic() + START_SECONDS
        while not ((found := pid(self._process.pid)) and self._answers()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise FloorMissing(f"{name} did not start: {' '.join(command)}")
            time.sleep(0.01)
        self.pid = found

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def measure(self, generator: LoadGenerator, shape: Shape) -> Floor:
        """Take the same requests the node gets; cost and speed are by request.

        Raises:
            FloorMissing: not every answer was a 202.
        """
        before = cpu_seconds(self.pid)
        load = generator.run(self.port, shape)
        return floor_of(self.name, load, cpu_seconds(self.pid) - before)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)


def floor_of(name: str, load: Load, spent: float) -> Floor:
    """A floor from what the generator saw and the CPU seconds it took.

    Raises:
        FloorMissing: not every answer was a success, or there was none.
    """
    if load.bad or load.broken or not load.answers:
        raise FloorMissing(f"{name} did not answer every request with 202: {load}")
    return Floor(spent / load.answers * 1e6, load.answers / load.seconds, load.p50_ms, load.p99_ms)


def nginx(directory: Path) -> WebServer:
    """`return 202`, one worker process, no log.

    Raises:
        FloorMissing: it is not installed.
    """
    binary = nginx_binary()
    directory.mkdir()
    port, config = free_port(), directory / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(directory=directory, port=port))
    command = [binary, "-p", str(directory), "-e", str(directory / "nginx.log"), "-c", str(config)]
    return WebServer("nginx", command, port, lambda master: next(iter(children(master)), None))


def nginx_binary() -> str:
    """Where nginx is.

    Raises:
        FloorMissing: nowhere.
    """
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if found is None:
        raise FloorMissing("nginx is not installed: apt-get install nginx-light (or your system's nginx)")
    return found


def bare_server() -> WebServer:
    """PayFlux's own HTTP server with a handler that answers 202 and does nothing."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.servers.bare", str(port)]
    return WebServer("the bare HTTP server", command, port, lambda pid: pid)


def measure_xadd(redis: Redis, shape: Shape) -> Floor:
    """Bare pipelined XADD of the entries PayFlux makes.

    Raises:
        FloorMissing: redis-benchmark is not installed or fails.
    """
    entry = ("data", event_of(shape), "seq", SEQ)
    words = ("XADD", "floor", "MAXLEN", "~", MAXLEN, "*", *entry)
    return _redis_benchmark(redis, XADD_COMMANDS, 1, words, CLIENTS, PIPELINE)


def measure_script(redis: Redis, shape: Shape, events: int) -> Floor:
    """XADD alone in a script of so many events; cost and speed are by event.

    Raises:
        FloorMissing: redis-benchmark is not installed or fails.
    """
    sha = str(redis.command("SCRIPT", "LOAD", SCRIPT))
    words = ("EVALSHA", sha, "1", "floor", *((MARK, event_of(shape)) * events))
    return _redis_benchmark(redis, SCRIPT_EVENTS // events, events, words, 2, 1)


def _redis_benchmark(  # noqa: PLR0917 - a command line
    redis: Redis, commands: int, each: int, words: tuple[str, ...], clients: int, pipeline: int
) -> Floor:
    tool = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if tool is None:
        raise FloorMissing("redis-benchmark is not installed: apt-get install redis-tools (or your system's Redis)")
    before, started = cpu_seconds(redis.pid), time.monotonic()
    how = ("-s", redis.path, "-c", str(clients), "-P", str(pipeline), "-n", str(commands), "-q")
    try:
        subprocess.run([tool, *how, *words], stdout=subprocess.DEVNULL, check=True, timeout=120)
    except subprocess.SubprocessError as error:
        raise FloorMissing(f"redis-benchmark failed: {error}") from None
    took, spent = time.monotonic() - started, cpu_seconds(redis.pid) - before
    added = int(str(_fields(redis.command("XINFO", "STREAM", "floor"))["entries-added"]))
    redis.command("FLUSHALL", "SYNC")
    if added < commands * each:
        raise FloorMissing(f"redis-benchmark added {added:,} entries instead of {commands * each:,}")
    return Floor(spent / added * 1e6, added / took)


def _fields(flat: object) -> dict[str, object]:
    assert isinstance(flat, list)
    return dict(zip(flat[::2], flat[1::2], strict=True))
