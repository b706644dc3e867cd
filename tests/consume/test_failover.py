"""A primary dies and its replica, which had not everything, is promoted: two real servers, one name for both."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from consumers import pending_ids
from faulty import NodeInTest, clock_ahead
from real_parts import binary_or_skip
from servers import Server, until
from stream_keys import STREAM
from streams import wait_for


class Pair(NamedTuple):
    """A primary, its replica, and the path that leads to one of them."""

    primary: Server
    replica: Server
    path: Path

    def lead_to(self, server: Server) -> None:
        """The name leads to this one from now on."""
        aside = self.path.with_suffix(".new")
        aside.symlink_to(server.path)
        aside.rename(self.path)


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.fixture(params=["redis-6.2", "redis-7", "valkey-9"])
def pair(request: pytest.FixtureRequest, directory: Path) -> Iterator[Pair]:
    """A primary with a replica that is up to date, of every supported kind in turn."""
    binary, port = binary_or_skip(request.param), str(_port())
    for name in ("a", "b"):
        (directory / name).mkdir()
    primary = Server(binary, directory / "a", "--port", port, "--repl-diskless-sync-delay", "0")
    replica = Server(binary, directory / "b", "--replicaof", "127.0.0.1", port)
    one = Pair(primary, replica, directory / "now.sock")
    one.lead_to(primary)
    until(lambda: replica.client.info("replication")["master_link_status"] == "up", "the replica to follow")
    yield one
    replica.stop()
    primary.stop()


@pytest.mark.parametrize("export_first", [False, True])
@pytest.mark.parametrize("ahead", [False, True])
async def test_what_the_new_primary_accepts_comes_out(pair: Pair, ahead: bool, export_first: bool) -> None:
    """Ten of 110 events are not replicated, all are exported; fifty more come out once, and nothing counts as lost.

    Also when the clock of the new primary is behind, so that its entries have lower ids than those that are gone.
    """
    primary, replica, path = pair
    primary.url = f"unix://{path}"
    one = NodeInTest(primary, export_first=export_first)
    one.start()
    ids = await one.send(100)
    await wait_for(lambda: one.processed == 100)
    await wait_for(lambda: replica.client.xlen(STREAM) == 100)
    primary.client.wait(1, 5000)
    replica.client.replicaof("NO", "ONE")
    if ahead:
        clock_ahead(primary)
    ids += await one.send(10)
    await wait_for(lambda: one.processed == 110)
    pair.lead_to(replica)
    primary.kill()
    ids += await one.send(25)
    ids += await one.send(25)
    await wait_for(lambda: len(one.lines) >= len(ids))
    await wait_for(lambda: pending_ids(replica) == [])
    assert one.lines == ids
    assert one.lost() == {}
    await one.end()
