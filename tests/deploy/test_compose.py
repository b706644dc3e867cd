"""The Compose file: read by Compose itself, and true to the node, to Redis and to Vector."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from deploying import DEPLOY, broken, documents, run
from needs import program
from payflux import __version__
from payflux.node.settings import SETTINGS
from real_parts import binary_or_skip
from servers import Server

COMPOSE = DEPLOY / "docker-compose.yml"


def compose(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What Compose makes of a file, every profile included."""
    return run([program("docker-compose"), "-f", path, "--profile", "*", "config", *arguments])


@cache
def services() -> dict[str, dict[str, Any]]:
    """The services as Compose reads them."""
    found = compose(COMPOSE, "--format", "json")
    assert found.returncode == 0, found.stderr
    read: dict[str, dict[str, Any]] = json.loads(found.stdout)["services"]
    return read


def test_compose_is_silent() -> None:
    """Compose takes the file and warns of nothing."""
    found = compose(COMPOSE, "--quiet")
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("stop_grace_period: 35s", "stop_grace: 35s"),
        ("- redis:/data", "- other:/data"),
        ("redis: {condition: service_healthy}", "redis: {condition: healthy}"),
        ("*hardened", "*harden"),
    ],
)
def test_compose_finds_what_is_wrong(good: str, bad: str, directory: Path) -> None:
    """A broken copy does not pass."""
    assert compose(broken(COMPOSE, directory, good, bad), "--quiet").returncode != 0


def test_profiles_are_optional() -> None:
    """PayFlux, Redis and Vector run as it is; the rest is asked for."""
    plain = {name for name, service in services().items() if not service.get("profiles")}
    assert plain == {"payflux", "redis", "vector"}
    assert {"prometheus", "alertmanager", "grafana"} == set(services()) - plain


def test_images_are_pinned_and_ports_are_local() -> None:
    """A version for each image, PayFlux's own among them; nothing listens to the world."""
    for name, service in services().items():
        assert re.search(r":v?\d+\.\d+\.\d+(-\w+)?$", service["image"]), name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
        assert service["restart"] == "unless-stopped"
        assert service["cap_drop"] == ["ALL"]
    assert services()["payflux"]["image"] == f"payflux:{__version__}"


def _missing(wanted: dict[str, dict[str, Any]]) -> list[str]:
    """What is mounted from beside the Compose file and is not there."""
    mounts = {m["source"] for service in wanted.values() for m in service.get("volumes", []) if m["type"] == "bind"}
    assert mounts
    return sorted(path for path in mounts if not Path(path).exists())


def test_what_is_mounted_is_there() -> None:
    """Every file and directory mounted exists; those of the profile come with its dashboards and rules."""
    profile = (DEPLOY / "prometheus").exists()
    assert _missing({name: s for name, s in services().items() if profile or not s.get("profiles")}) == []
    assert _missing({"other": {"volumes": [{"type": "bind", "source": "/nowhere"}]}}) == ["/nowhere"]


def test_the_node_is_configured_with_settings_it_knows() -> None:
    """No variable is misspelt; the lines go where Vector looks for them."""
    environment = services()["payflux"]["environment"]
    assert set(environment) <= {setting.name for setting in SETTINGS}
    (vector,) = documents(DEPLOY / "vector" / "vector.yaml")
    assert environment["PAYFLUX_EXPORT_FILE"] in vector["sources"]["payflux"]["include"]
    assert environment["PAYFLUX_EXPORT_FILE"] in " ".join(services()["payflux"]["entrypoint"])


def test_the_rotation_is_told_the_node(directory: Path) -> None:
    """The entry point starts the rotation with the process that becomes the node."""
    entrypoint = [word.replace("$$", "$") for word in services()["payflux"]["entrypoint"]]
    for name, script in {
        "payflux-rotate": f'echo "$2" >{directory}/told',
        "payflux": f"echo $$ >{directory}/node",
    }.items():
        program = directory / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    done = run(entrypoint, env={"PATH": f"{directory}:/usr/bin:/bin"})
    assert done.returncode == 0
    assert (directory / "told").read_text() == (directory / "node").read_text() != ""


def test_redis_keeps_what_it_accepted(directory: Path) -> None:
    """A real server started with Compose's command has its append-only file on, and forgets nothing."""
    binary = binary_or_skip("redis-7")
    command = services()["redis"]["command"]
    assert command[0] == "redis-server"
    server = Server(binary, directory, "--appendonly", "no", "--save", "", *command[1:])
    try:
        found = server.client.config_get("append*", "save", "maxmemory-policy", "no-appendfsync-on-rewrite")
    finally:
        server.stop()
    assert found["appendonly"] == "yes"
    assert found["appendfsync"] == "everysec"
    assert found["no-appendfsync-on-rewrite"] == "no"
    assert found["maxmemory-policy"] == "noeviction"
    assert found["save"] == "3600 1 300 100"
