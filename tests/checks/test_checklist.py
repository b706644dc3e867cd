"""`payflux check --production`: each point of the checklist passes on a sound deployment, and fails on another."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from needs import program
from nodes import KEY
from operator_commands import environ, payflux
from payflux.checks.alerting import RULES, judge_alerting
from real_parts import MakeNode
from servers import Server, until

STRONG = "3f9a2c7e51b8d04613f9a2c7e51b8d046e1b7c90a4d2f658"


def report(found: subprocess.CompletedProcess[bytes]) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code, and the findings by name."""
    findings = json.loads(found.stdout)["findings"]
    return found.returncode, {finding["check"]: finding for finding in findings}


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Prometheus:
    """A real one, which scrapes one address every 100 ms."""

    def __init__(self, directory: Path, target: int) -> None:
        directory.mkdir()
        alerts = [{"alert": name, "expr": "payflux_processor_risk_score_last > 0.6"} for name in RULES]
        (directory / "rules.yml").write_text(json.dumps({"groups": [{"name": "payflux", "rules": alerts}]}))
        config = {
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "payflux", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["127.0.0.1:1"]}]}]},
        }
        (directory / "prometheus.yml").write_text(json.dumps(config))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data"),
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                cwd=directory,
                stdout=log,
                stderr=log,
            )

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def prometheus(directory: Path, target: int) -> Iterator[str]:
    """A running Prometheus; its address."""
    running = Prometheus(directory, target)
    try:
        yield running.url
    finally:
        running.end()


@pytest.mark.process
def test_a_sound_deployment_passes(server: Server, make_node: MakeNode, directory: Path) -> None:
    """Real node, Redis and Prometheus: every point passes, strictly, and the exit code is 0."""
    server.client.config_set("save", "3600 1")
    node = make_node({"PAYFLUX_API_KEY": STRONG})
    shell = environ(server.url, PAYFLUX_API_KEY=STRONG, PAYFLUX_CHECKOUT_ENABLED="false")
    with prometheus(directory / "prometheus", node.port) as url:
        assert judge_alerting(url).verdict == "fail"
        until(lambda: judge_alerting(url).verdict == "pass", "Prometheus to scrape the node")
        arguments = ("--production", "--node", f"http://127.0.0.1:{node.port}/", "--prometheus", url)
        code, found = report(payflux(shell, "check", "--strict", "--json", *arguments))
    assert code == 0, found
    assert {finding["verdict"] for finding in found.values()} == {"pass"}
    points = {"auth", "rate_limit", "durability", "persistence", "node", "node_auth", "losses", "export", "alerting"}
    assert points | {"clock", "disk", "rotation", "outcomes", "failure_categories"} <= set(found)
    assert f"127.0.0.1:{node.port} is scraped" in found["alerting"]["reason"]


@pytest.mark.process
def test_a_careless_deployment_fails(server: Server, directory: Path) -> None:
    """No node, weak key, no limit, no AOF, a file nobody rotates: each point fails with its fix."""
    server.client.config_set("appendonly", "no")
    shell = environ(
        server.url,
        HTTP_ADDR=f"127.0.0.1:{free_port()}",
        PAYFLUX_API_KEYS=f"changeme,{STRONG}",
        PAYFLUX_RATELIMIT_RPS="1000000",
        PAYFLUX_CHECKOUT_ENABLED="false",
        PAYFLUX_EXPORT_MODE="file",
        PAYFLUX_EXPORT_FILE=str(directory / "events.jsonl"),
    )
    code, found = report(payflux(shell, "check", "--production", "--json"))
    assert code == 1
    failed = {name for name, finding in found.items() if finding["verdict"] == "fail"}
    assert {"auth", "rate_limit", "durability", "node", "rotation"} <= failed
    assert all(found[name]["fix"] for name in failed)
    assert found["auth"]["reason"].startswith("1 of 2 keys")
    assert "changeme" not in json.dumps(found)
    assert found["persistence"]["verdict"] == found["alerting"]["verdict"] == "warn"
    assert "--prometheus" in found["alerting"]["fix"]


@pytest.mark.process
def test_a_node_on_another_redis_is_noticed(make_node: MakeNode, directory: Path) -> None:
    """A healthy node beside a Redis that does not answer: this is not the node's environment."""
    node = make_node()
    shell = environ(f"unix://{directory}/none", PAYFLUX_API_KEY=STRONG, PAYFLUX_CHECKOUT_ENABLED="false")
    arguments = ("check", "--production", "--json", "--node")
    code, found = report(payflux(shell, *arguments, f"http://127.0.0.1:{node.port}"))
    assert (code, found["redis"]["verdict"], found["node"]["verdict"]) == (1, "fail", "pass")
    assert found["node_redis"]["verdict"] == "warn"
    assert "another Redis" in found["node_redis"]["reason"]
    assert "node_redis" not in report(payflux(shell, *arguments, f"http://127.0.0.1:{free_port()}"))[1]


@pytest.mark.process
def test_without_production_nothing_of_it_is_asked(server: Server) -> None:
    """The ordinary check stays as it was; addresses without --production, or that are none, are wrong usage."""
    shell = environ(server.url, PAYFLUX_API_KEY=KEY, PAYFLUX_CHECKOUT_ENABLED="false")
    code, found = report(payflux(shell, "check", "--json"))
    assert code == 0
    assert not {"auth", "node", "alerting", "rotation", "durability"} & set(found)
    stray = payflux(shell, "check", "--node", "http://localhost:8080")
    assert (stray.returncode, stray.stdout) == (2, b"")
    assert b"--production" in stray.stderr
    wrong = payflux(shell, "check", "--production", "--node", "localhost:8080", "--prometheus", "ftp://x")
    assert wrong.returncode == 2
    assert wrong.stdout.count(b"fail  configuration: --") == 2
