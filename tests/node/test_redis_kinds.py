"""Redis as people have it: what a node and its operators meet on a cluster of one, and after a new password."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nodes import KEY, Node, event
from real_parts import binary_or_skip
from servers import Server, until
from stream_keys import STREAM

pytestmark = pytest.mark.process


def command(node: Node, *arguments: str) -> str:
    """What a command of an operator says, run as on the node's machine."""
    environ = node.environ | {"HTTP_ADDR": f"127.0.0.1:{node.port}", "NO_COLOR": "1", "COLUMNS": "200"}
    line = [sys.executable, "-m", "payflux", *arguments]
    return subprocess.run(line, env=environ, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("clustered_server", ["redis-7"], indirect=True)
def test_a_cluster_of_one_shard(clustered_server: Server, directory: Path) -> None:
    """As managed services sell it: events are taken and come out, Redis is up, dead letters and `check` work."""
    client: Any = clustered_server.client
    node = Node(directory / "node", clustered_server.url)
    try:
        assert node.post(event()) == 202
        client.xadd(STREAM, {"data": "no event"})
        until(lambda: client.xlen("{events_stream}:dlq") == 1, "the dead letter")
        until(node.drained, "the stream to be drained")
        metrics = node.metrics()
        assert (metrics["redis_up"], metrics["dlq_depth"], metrics["consumer_processed_total"]) == (1, 1, 1)
        assert node.get("/health")[0] == node.request("GET", "/v1/risk", headers={"Authorization": f"Bearer {KEY}"})[0]
        found = {one["check"]: one["verdict"] for one in json.loads(command(node, "check", "--json"))["findings"]}
        assert (found["redis"], found["role"], found["writes"]) == ("pass", "pass", "pass")
        assert "CROSSSLOT" not in command(node, "check")
        assert json.loads(command(node, "dlq", "list", "--json"))["summary"]["by_reason"] == {"invalid_json": 1}
        assert node.stop() == 0
        assert len(node.lines()) == 1
    finally:
        node.stop()


def test_a_new_password_while_a_node_runs(directory: Path) -> None:
    """Without a name for connections, which proxies refuse; written into its file before or after it has changed."""
    server = Server(binary_or_skip("valkey-9"), directory, "--rename-command", "CLIENT", "CLIENT2")
    server.client.config_set("requirepass", "one")
    file = directory / "url"
    file.write_text(f"unix://:one@{server.path}")
    server.client.connection_pool.connection_kwargs["password"] = "one"
    node = Node(directory / "node", "", {"REDIS_URL_FILE": str(file)})
    try:
        assert node.post(event()) == 202
        client: Any = server.client
        client.config_set("requirepass", "two")
        assert node.post(event()) == 202  # who is there stays
        client.execute_command("CLIENT2", "KILL", "TYPE", "normal", "SKIPME", "yes")
        until(lambda: node.get("/readyz")[0] == 503, "the connections to be lost")
        assert json.loads(node.get("/readyz")[1])["code"] == "redis_auth"
        file.write_text(f"unix://:two@{server.path}")
        until(lambda: node.get("/readyz")[0] == 200, "the new password to be read")
        assert node.post(event()) == 202
        until(node.drained, "what was taken to come out")
        file.unlink()
        assert node.stop() == 0
        assert len(node.lines()) == 3
    finally:
        node.stop()
        server.stop()
