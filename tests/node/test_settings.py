"""A wrong configuration stops the start: exit code 2, every problem at once, each naming variable and value."""

import array
import fcntl
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from nodes import KEY, Node, event
from payflux.errors import SettingsError
from payflux.node.settings import load_settings, quoted_secrets
from servers import Server, until

VALID = {"PAYFLUX_API_KEY": KEY, "PAYFLUX_CHECKOUT_ENABLED": "false"}
SECRETS = ("pk_live_51Habcdefghij", "topsecretpassword", "two words secret")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine the tests run on."""
    for name in ("REDIS_ADDR", "REDIS_URL", "HTTP_ADDR", "STRIPE_API_KEY", "PAYFLUX_API_KEY", "PAYFLUX_API_KEYS"):
        monkeypatch.delenv(name, raising=False)


def problems(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> list[str]:
    """What is said of a valid environment with these changes."""
    for name, value in (VALID | environ).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PAYFLUX_API_KEYS", ",", "at least one value"),
        ("PAYFLUX_CHECKOUT_ENABLED", "maybe", "true or false"),
        ("REDIS_ADDR", "localhost", "host:port"),
        ("REDIS_ADDR", "localhost:0", "host:port"),
        ("REDIS_ADDR", "localhost:65536", "host:port"),
        ("REDIS_ADDR", ":6379", "host:port"),
        ("HTTP_ADDR", "8080", ":port or host:port"),
        ("HTTP_ADDR", ":65536", ":port or host:port"),
        ("HTTP_ADDR", "localhost:http", ":port or host:port"),
        ("PAYFLUX_WORKERS", "0", "from 1 to 256"),
        ("PAYFLUX_WORKERS", "257", "from 1 to 256"),
        ("PAYFLUX_WORKERS", "-1", "from 1 to 256"),
        ("PAYFLUX_WORKERS", "1.5", "from 1 to 256"),
        ("PAYFLUX_CONSUMER_NAME", "two words", "without blanks"),
        ("PAYFLUX_CONSUMER_NAME", "x" * 201, "at most 200"),
        ("PAYFLUX_RATELIMIT_RPS", "0", "from 1 to 10000000"),
        ("PAYFLUX_RATELIMIT_BURST", "0", "from 1 to 10000000"),
        ("PAYFLUX_STREAM_MAXLEN", "-1", "0 or more"),
        ("PAYFLUX_DEDUP_TTL_SEC", "0", "from 1 to"),
        ("PAYFLUX_PANIC_MODE", "panic", "one of crash, recover"),
        ("PAYFLUX_EXPORT_MODE", "kafka", "one of stdout, file, both, none, or module:Class"),
        ("PAYFLUX_EXPORT_MODE", "acme.exporters:Warehouse", "a class that can be imported (ModuleNotFoundError"),
        ("PAYFLUX_EXPORT_ACK", "never", "one of ack_then_export, export_then_ack"),
        ("PAYFLUX_EXPORT_QUEUE_BYTES", "10", "65536 or more"),
        ("PAYFLUX_CLAIM_IDLE_SEC", "0", "from 1 to 86400"),
        ("PAYFLUX_MAX_DELIVERIES", "0", "from 1 to 1000"),
        ("PAYFLUX_RISK_SCORE_ENABLED", "2", "true or false"),
        ("PAYFLUX_RISK_SCORE_WINDOW_SEC", "19", "from 20 to 86400"),
        ("PAYFLUX_RISK_SCORE_THRESHOLDS", "0.3,0.6", "three ascending numbers"),
        ("PAYFLUX_RISK_SCORE_THRESHOLDS", "0.6,0.3,0.8", "three ascending numbers"),
        ("PAYFLUX_RISK_SCORE_THRESHOLDS", "0.3,0.6,nan", "three ascending numbers"),
    ],
)
def test_unreadable_values(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str) -> None:
    """A value that breaks its rule is one line: variable, value, what was expected."""
    (line,) = problems(monkeypatch, {name: value})
    shown = "****" if name == "PAYFLUX_API_KEYS" else value
    assert line.startswith(f"{name}={shown!r}: expected ")
    assert expected in line


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PAYFLUX_API_KEY": ""}, "PAYFLUX_API_KEYS (or PAYFLUX_API_KEY): expected at least one key"),
        ({"PAYFLUX_API_KEY": SECRETS[2]}, "PAYFLUX_API_KEY: expected keys of printable ASCII"),
        ({"PAYFLUX_API_KEYS": "fine," + SECRETS[2]}, "PAYFLUX_API_KEYS: expected keys of printable ASCII"),
        ({"PAYFLUX_API_KEY": "schlüssel-secret"}, "PAYFLUX_API_KEY: expected keys of printable ASCII"),
        ({"PAYFLUX_CHECKOUT_ENABLED": "true"}, "STRIPE_API_KEY: expected while checkout is on"),
        ({"PAYFLUX_CHECKOUT_ENABLED": ""}, "STRIPE_API_KEY: expected while checkout is on"),
        ({"STRIPE_API_KEY": SECRETS[0]}, "STRIPE_API_KEY='****ij': expected a secret key of Stripe"),
        ({"REDIS_URL": f"http://u:{SECRETS[1]}@h"}, "REDIS_URL='****@h': expected redis://"),
        ({"REDIS_URL": f"redis://u:{SECRETS[1]}@h:x"}, "REDIS_URL='****:x': expected redis://"),
        ({"REDIS_URL": "redis://h", "REDIS_ADDR": "h:1"}, "REDIS_URL and REDIS_ADDR: expected one of the two"),
        ({"PAYFLUX_EXPORT_MODE": "file"}, "PAYFLUX_EXPORT_FILE: expected a path, as PAYFLUX_EXPORT_MODE is file"),
        ({"PAYFLUX_EXPORT_MODE": "both"}, "PAYFLUX_EXPORT_FILE: expected a path, as PAYFLUX_EXPORT_MODE is both"),
        (
            {"PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": "/"},
            "PAYFLUX_EXPORT_FILE='/': expected a regular file",
        ),
        (
            {"PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": "/no/such/directory/f"},
            "PAYFLUX_EXPORT_FILE='/no/such/directory/f': expected a file",
        ),
        ({"PAYFLUX_EXPORT_ACK": "export_then_ack"}, "as stdout can't confirm"),
        ({"PAYFLUX_EXPORT_ACK": "export_then_ack", "PAYFLUX_EXPORT_MODE": "none"}, "as none can't confirm"),
        (
            {"PAYFLUX_EXPORT_ACK": "export_then_ack", "PAYFLUX_EXPORT_MODE": "both", "PAYFLUX_EXPORT_FILE": "f"},
            "as both can't confirm",
        ),
        ({"PAYFLUX_API_KYES": "x"}, "PAYFLUX_API_KYES: unknown variable, did you mean PAYFLUX_API_KEYS?"),
        ({"PAYFLUX_STREAM_MAX_LEN": "5"}, "did you mean PAYFLUX_STREAM_MAXLEN?"),
    ],
)
def test_rules(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str) -> None:
    """A broken rule is one line that says what was expected; secrets are masked."""
    (line,) = problems(monkeypatch, environ)
    assert expected in line
    assert not any(secret in line for secret in (*SECRETS, "schlüssel"))


def start(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real command to its end."""
    command = [sys.executable, "-m", "payflux", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.process
@pytest.mark.parametrize("command", [(), ("serve",), ("serve", "--role", "consume"), ("config",)])
def test_all_problems_at_once(command: tuple[str, ...]) -> None:
    """The command exits 2 with one line for every problem, no traceback, no secret, and nothing on stdout."""
    wrong = {
        "PAYFLUX_API_KEYS": SECRETS[2],
        "STRIPE_API_KEY": SECRETS[0],
        "REDIS_URL": f"http://user:{SECRETS[1]}@host",
        "REDIS_ADDR": "nowhere",
        "PAYFLUX_WORKERS": "none",
        "PAYFLUX_EXPORT_MODE": "file",
        "PAYFLUX_RATELIMT_RPS": "5",
    }
    done = start(wrong, *command)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert all(line.startswith("payflux: ") for line in lines)
    named = [line.removeprefix("payflux: ").split(":")[0].split("=")[0] for line in lines]
    assert sorted(named) == sorted(
        [
            *("PAYFLUX_API_KEYS", "STRIPE_API_KEY", "REDIS_URL", "REDIS_ADDR", "PAYFLUX_WORKERS"),
            *("PAYFLUX_EXPORT_FILE", "PAYFLUX_RATELIMT_RPS", "REDIS_URL and REDIS_ADDR"),
        ]
    )
    assert not any(secret in done.stderr for secret in SECRETS)


@pytest.mark.process
@pytest.mark.parametrize("address", ["192.0.2.1:0", "[2001:db8::1]:0"])
def test_address_of_another_machine(address: str) -> None:
    """An address this machine does not have: exit 2 and one line of log that names HTTP_ADDR."""
    done = start(VALID | {"HTTP_ADDR": address})
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert '"msg":"cannot_listen"' in line
    assert "HTTP_ADDR" in line


@pytest.mark.process
def test_wrong_usage() -> None:
    """An unknown command or role ends with a message and without a traceback, not with a node."""
    for arguments in (("serv",), ("serve", "--role", "both"), ("serve", "--port", "1")):
        done = start(VALID, *arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr + done.stdout
        assert done.stderr


@pytest.mark.process
def test_foreign_variables_warn(server: Server, directory: Path) -> None:
    """What Kubernetes injects for a Service of our name is logged as a warning and stops nothing."""
    node = Node(
        directory / "node", server.url, {"PAYFLUX_PORT": "tcp://10.0.0.1:80", "PAYFLUX_SERVICE_HOST": "10.0.0.1"}
    )
    try:
        warned = [line["detail"] for line in node.logged("unknown_variable")]
        assert [detail.split(":")[0] for detail in warned] == ["PAYFLUX_PORT", "PAYFLUX_SERVICE_HOST"]
        assert node.post(event()) == 202
        until(node.lines, "the line")
    finally:
        assert node.stop() == 0


@pytest.mark.parametrize("ignored", [False, True])
def test_ctrl_c_while_it_loads_ends_it_quietly(ignored: bool) -> None:
    """Ctrl-C during the imports shows no traceback; a process started with it ignored goes on ignoring it."""
    code = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "cyclopts":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
sys.argv = ["payflux", "--version"]
from payflux.__main__ import main
main()
"""
    command = [sys.executable, "-c", code]
    if ignored:
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    ended = subprocess.run(command, capture_output=True, timeout=30)
    assert ended.returncode == (0 if ignored else -signal.SIGINT)
    assert ended.stderr == b""


def test_ctrl_c_anywhere_else_ends_a_command_quietly() -> None:
    """A command that does not care about Ctrl-C itself ends with exit code 130."""
    process = subprocess.Popen(
        [sys.executable, "-m", "payflux", "send", "-", "--key", "k"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    unread = array.array("i", [0])
    process.stdin.write(b"{}\n")
    process.stdin.flush()
    fd = process.stdin.fileno()
    until(lambda: not (fcntl.ioctl(fd, termios.FIONREAD, unread) or unread[0]), "it to read its stdin")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (130, b"")


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"PAYFLUX_API_KEYS": '"a-key","b-key"'}, ["PAYFLUX_API_KEYS"]),
        ({"PAYFLUX_API_KEY": "'a-key'"}, ["PAYFLUX_API_KEY"]),
        (
            {"PAYFLUX_METRICS_TOKEN": '"x"', "PAYFLUX_API_KEYS": "a,'b"},
            ["PAYFLUX_API_KEYS", "PAYFLUX_METRICS_TOKEN"],
        ),
        ({"PAYFLUX_API_KEYS": "a'b,c"}, []),
    ],
)
def test_quotation_marks_around_secrets_are_doubtful(environ: dict[str, str], named: list[str]) -> None:
    """Each is named by its variable, and no part of it is shown."""
    found = quoted_secrets(load_settings(environ={"PAYFLUX_CHECKOUT_ENABLED": "false"} | environ, serves=False))
    assert [text.partition(":")[0] for text in found] == named
    assert not any("-key" in text or "x" in text for text in found)


def test_operators_have_a_port_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same one twice is refused before anything is bound."""
    [problem] = problems(monkeypatch, {"PAYFLUX_ADMIN_ADDR": "127.0.0.1:8080"})
    assert problem == "PAYFLUX_ADMIN_ADDR='127.0.0.1:8080': expected another port than that of HTTP_ADDR"


@pytest.mark.process
def test_keys_may_stand_in_a_file(server: Server, directory: Path) -> None:
    """A worker that is replaced has the keys of the others, though the file has changed; quotation marks are logged."""
    file = directory / "keys"
    file.write_text(f"{KEY}\n'second'\n")
    node = Node(directory / "node", server.url, {"PAYFLUX_API_KEY": "", "PAYFLUX_API_KEYS_FILE": str(file)})
    try:
        [warned] = node.logged("quoted_secret")
        assert warned["detail"].startswith("PAYFLUX_API_KEYS: ")
        assert node.post(event()) == 202
        file.write_text("another")
        os.kill(node.child_pid("ingest-0"), signal.SIGKILL)
        until(lambda: node.logged("child_died"), "its death")
        until(
            lambda: len([line for line in node.logged("child_started") if line["child"] == "ingest-0"]) == 2, "another"
        )
        assert node.post(event()) == 202
    finally:
        assert node.stop() == 0
