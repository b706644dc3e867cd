"""`payflux config`: every setting with its value and source, secrets masked."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping

import pytest

from payflux.node.settings import SETTINGS

pytestmark = pytest.mark.process

SECRET = "sk_live_supersecret42"
ENVIRON = {
    "PAYFLUX_API_KEYS": "first-secret-key,second-secret-key",
    "STRIPE_API_KEY": SECRET,
    "REDIS_URL": "redis://user:hunter2word@host:6380/2",
    "PAYFLUX_CONSUMER_NAME": "[red]name[/red]",
    "PAYFLUX_STREAM_MAXLEN": " 5 ",
}


def run(*arguments: str, environ: Mapping[str, str] = ENVIRON) -> subprocess.CompletedProcess[str]:
    """Run `payflux config` in a pipe."""
    command = [sys.executable, "-m", "payflux", "config", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def assert_no_secret(text: str) -> None:
    """Nothing of a secret is in it beyond its last two characters."""
    for secret in (SECRET, "first-secret-key", "second-secret-key", "hunter2word"):
        assert secret not in text


def test_json() -> None:
    """With --json it is one object: value, source and meaning of every setting."""
    done = run("--json")
    assert done.returncode == 0
    assert done.stderr == ""
    shown = json.loads(done.stdout)
    assert list(shown) == [setting.name for setting in SETTINGS]
    assert_no_secret(done.stdout)
    assert {name: row["value"] for name, row in shown.items() if row["source"] == "environment"} == {
        "PAYFLUX_API_KEYS": "****ey",
        "STRIPE_API_KEY": "****42",
        "REDIS_URL": "redis://****@host:6380/2",
        "PAYFLUX_CONSUMER_NAME": "[red]name[/red]",
        "PAYFLUX_STREAM_MAXLEN": "5",
    }
    assert shown["PAYFLUX_WORKERS"]["value"] is None
    assert shown["HTTP_ADDR"] | {"help": ""} == {"value": ":8080", "source": "default", "help": ""}
    assert all(row["help"].endswith(".") for row in shown.values())


def test_in_a_pipe() -> None:
    """In a pipe each setting is one line of three fields, whatever the width of a terminal, for grep and cut."""
    done = run()
    assert done.returncode == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for name, _, _ in rows] == [setting.name for setting in SETTINGS]
    assert ["PAYFLUX_STREAM_MAXLEN", "5", "environment"] in rows
    assert ["PAYFLUX_WORKERS", "", "default"] in rows
    assert_no_secret(done.stdout)


def test_on_a_terminal() -> None:
    """On a terminal it is a table in which no name is cut off, and no value is taken for markup."""
    leader, follower = pty.openpty()
    environ = ENVIRON | {"TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-m", "payflux", "config"]
    process = subprocess.Popen(command, env=environ, stdout=follower, stdin=subprocess.DEVNULL)
    os.close(follower)
    text = b""
    try:
        while chunk := os.read(leader, 65536):
            text += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    finally:
        os.close(leader)
    assert process.wait(30) == 0
    for setting in SETTINGS:
        assert setting.name in text.decode()
    assert "[red]" in text.decode()
    assert_no_secret(text.decode())


def test_invalid() -> None:
    """An invalid configuration is said on stderr with exit code 2, and nothing is shown."""
    done = run(environ=ENVIRON | {"PAYFLUX_STREAM_MAXLEN": "many"})
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "payflux: PAYFLUX_STREAM_MAXLEN='many': expected a whole number, 0 or more\n"
