"""`payflux dev`: a complete node with a server of its own, that leaves nothing behind and copes with what it finds."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from needs import program
from payflux.commands.dev import _kept
from payflux.errors import SettingsError
from real_parts import binary_or_skip
from servers import until

pytestmark = pytest.mark.process


def curl_in(banner: str) -> str:
    """The command that the banner tells users to run."""
    program("curl")
    found = re.search(r"^  (curl -s -X POST .*?)\n\n", banner, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def shell(command: str) -> str:
    """Run a command as a user would; its output."""
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True).stdout


class Dev:
    """One `payflux dev`; stdout goes to `lines`, stderr to `log`, its data to `home`."""

    def __init__(
        self,
        root: Path,
        arguments: tuple[str, ...] = (),
        environ: dict[str, str] | None = None,
        terminal: int | None = None,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.home, self._lines, self._log = root / "home", root / "lines.jsonl", root / "log"
        self._start = self._log.stat().st_size if self._log.exists() else 0
        base = {"PATH": os.environ["PATH"], "HOME": str(root), "HTTP_ADDR": "127.0.0.1:0"}
        command = [sys.executable, "-m", "payflux", "dev", "--directory", str(self.home), *arguments]
        with self._lines.open("ab") as lines, self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=base | (environ or {}),
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=lines if terminal is None else terminal,
                stderr=log,
                start_new_session=True,
            )

    @property
    def stderr(self) -> str:
        """What this start said."""
        return self._log.read_bytes()[self._start :].decode()

    def ready(self) -> "Dev":
        """Wait for the banner."""
        until(lambda: "Ctrl-C ends it" in self.stderr or self.process.poll() is not None, "the banner", 40)
        assert self.process.poll() is None, self.stderr
        return self

    def lines(self) -> list[dict[str, Any]]:
        """The exported lines."""
        return [json.loads(line) for line in self._lines.read_bytes().splitlines()]

    def curl(self) -> str:
        """Run the banner's command as it stands there, in a shell; what it answers."""
        return shell(curl_in(self.stderr))

    def servers(self) -> list[int]:
        """The processes that work in its data directory."""
        found = []
        for process in Path("/proc").iterdir():
            with suppress(OSError):
                if process.name.isdigit() and process.joinpath("cwd").readlink() == self.home.resolve() / "valkey":
                    found.append(int(process.name))
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it alone, and wait for its end."""
        self.process.send_signal(number)
        return self.process.wait(40)


Start = Callable[..., Dev]


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Starts `payflux dev` under the test's directory; ends what is left of it with the test."""
    binary_or_skip("valkey-9")
    started: list[Dev] = []

    def begin(name: str = "dev", *arguments: str, terminal: int | None = None, **environ: str) -> Dev:
        started.append(Dev(directory / name, arguments, environ, terminal))
        return started[-1]

    yield begin
    for dev in started:
        with suppress(ProcessLookupError):
            os.killpg(dev.process.pid, signal.SIGKILL)
        dev.process.wait(10)
        for pid in dev.servers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def kept_key(dev: Dev) -> str:
    """The key in the banner."""
    found = re.search(r"Authorization: Bearer (\S+)\"", dev.stderr)
    assert found
    return found[1]


def test_first_start(start: Start) -> None:
    """The banner's commands work as they stand, their lines appear, and SIGTERM leaves no server behind."""
    dev = start().ready()
    assert json.loads(dev.curl()) == {"status": "accepted"}
    until(dev.lines, "the line")
    (line,) = dev.lines()
    assert line["processor"] == "stripe"
    assert line["seq"] == 1
    webhook = re.search(r"^  \S+ (webhooks send .*)$", dev.stderr, re.MULTILINE)
    assert webhook
    assert shell(f"{sys.executable} -m payflux {webhook[1]} 2>&1") == "1 200\n"
    until(lambda: [line["system_source"] for line in dev.lines()] == ["checkout_api", "webhook"], "its line")
    key_file = dev.home / "api-key"
    assert key_file.read_text() == kept_key(dev)
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(dev.home.stat().st_mode) == 0o700
    assert len(dev.servers()) == 1
    assert dev.end() == 0
    assert dev.servers() == []
    assert "Traceback" not in dev.stderr


def test_tail_of_the_banner(start: Start, directory: Path) -> None:
    """The command that shows the events works as it stands there, in a directory with blanks too."""
    dev = start("with blanks").ready()
    assert json.loads(dev.curl()) == {"status": "accepted"}
    found = re.search(r"^  (REDIS_URL=.*) tail\n", dev.stderr, re.MULTILINE)
    assert found
    command = found[1].replace(found[1].rpartition(" ")[2], f"{sys.executable} -m payflux")
    assert json.loads(shell(f"{command} replay --to-stdout"))["processor"] == "stripe"


def test_restart_keeps_key_and_data(start: Start) -> None:
    """After Ctrl-C and a new start the key is the same, and an event sent before is known."""
    first = start().ready()
    assert json.loads(first.curl()) == {"status": "accepted"}
    until(first.lines, "the line")
    command = curl_in(first.stderr)
    os.killpg(first.process.pid, signal.SIGINT)  # Ctrl-C reaches every process of the terminal
    assert first.process.wait(40) == 0
    assert first.servers() == []
    second = start().ready()
    assert kept_key(second) == kept_key(first)
    port = r"(http://127\.0\.0\.1:\d+)"
    now = re.search(port, second.stderr)
    assert now
    assert json.loads(shell(re.sub(port, now[1], command))) == {"status": "duplicate"}
    assert json.loads(second.curl()) == {"status": "accepted"}
    until(lambda: len(second.lines()) == 2, "the second line")
    assert [line["seq"] for line in second.lines()] == [1, 2]
    assert second.end(signal.SIGINT) == 0


def test_own_key_and_simulation(start: Start) -> None:
    """A configured key is used and none is kept; --simulate makes lines at once, and ends with the node."""
    dev = start("dev", "--simulate", PAYFLUX_API_KEY="my-own-key").ready()
    assert kept_key(dev) == "my-own-key"
    assert not (dev.home / "api-key").exists()
    until(lambda: len(dev.lines()) >= 20, "simulated events")
    assert {line["event_type"] for line in dev.lines()} != {"payment_failed"}
    assert dev.end() == 0
    assert dev.servers() == []
    assert "Traceback" not in dev.stderr


def test_simulation_on_a_terminal(start: Start) -> None:
    """The banner stays until Enter: its command is answered, and no simulated event comes before."""
    leader, follower = os.openpty()
    os.set_blocking(leader, False)
    shown = b""

    def shows(text: bytes) -> bool:
        nonlocal shown
        with suppress(BlockingIOError):
            shown += os.read(leader, 65536)
        return text in shown

    try:
        dev = start("dev", "--simulate", terminal=follower).ready()
        assert "when you press Enter" in dev.stderr
        assert json.loads(dev.curl()) == {"status": "accepted"}
        until(lambda: shows(b'"seq":1,'), "the event's line")
        assert "simulation_began" not in dev.stderr
        os.write(leader, b"\n")
        until(lambda: shows(b'"seq":5,'), "simulated events")
        assert dev.end() == 0
    finally:
        os.close(leader)
        os.close(follower)


def test_listens_on_this_machine_alone(start: Start) -> None:
    """Without HTTP_ADDR it is loopback's port 8080; where that is taken, the refusal names it."""
    dev = start(HTTP_ADDR="")
    until(lambda: re.search(r'"address":"127\.0\.0\.1:8080"', dev.stderr), "the address", 40)
    dev.end()


def test_killed_and_started_again(start: Start) -> None:
    """When dev is killed its server lives on; the next start ends that one, and keeps its data."""
    first = start().ready()
    assert json.loads(first.curl()) == {"status": "accepted"}
    until(first.lines, "the line")
    (orphan,) = first.servers()
    first.process.send_signal(signal.SIGKILL)
    first.process.wait(10)
    assert first.servers() == [orphan]
    second = start().ready()
    (server,) = second.servers()
    assert server != orphan
    assert json.loads(second.curl()) == {"status": "accepted"}
    until(lambda: len(second.lines()) == 2, "the second line")
    assert [line["seq"] for line in second.lines()] == [1, 2]
    assert second.end() == 0
    assert second.servers() == []


def test_server_killed(start: Start) -> None:
    """Kill -9 of its server: dev starts it again with its data, says so, and events flow again."""
    dev = start().ready()
    assert json.loads(dev.curl()) == {"status": "accepted"}
    until(dev.lines, "the line")
    for death in (1, 2):
        (server,) = dev.servers()
        os.kill(server, signal.SIGKILL)
        until(lambda: '"status":"duplicate"' in dev.curl(), "the known event to be known again", 40)
        assert server not in dev.servers()
        another = re.sub(r'"event_id":"[^"]+"', f'"event_id":"{uuid.uuid4()}"', curl_in(dev.stderr))
        assert json.loads(shell(another)) == {"status": "accepted"}
        until(lambda: len(dev.lines()) == 1 + death, "its line")  # noqa: B023 - used at once
    assert [line["seq"] for line in dev.lines()] == [1, 2, 3]
    assert dev.stderr.count('"msg":"embedded_server_died"') == 2
    assert dev.stderr.count('"msg":"embedded_server_started"') == 2
    assert dev.end() == 0
    assert dev.servers() == []
    assert "Traceback" not in dev.stderr


def test_ended_while_its_server_is_dead(start: Start) -> None:
    """SIGTERM before the server is started again: dev ends as ever, and none is left."""
    dev = start().ready()
    (server,) = dev.servers()
    os.kill(server, signal.SIGKILL)
    assert dev.end() == 0
    assert dev.servers() == []
    assert "Traceback" not in dev.stderr


def test_directory_in_use(start: Start) -> None:
    """A second dev on the same directory is refused, and harms the first in nothing."""
    first = start().ready()
    servers = first.servers()
    second = start()
    assert second.process.wait(40) == 2
    assert "in use by another payflux dev: end that one, or name another place with --directory" in second.stderr
    assert "Traceback" not in second.stderr
    assert first.servers() == servers
    assert json.loads(first.curl()) == {"status": "accepted"}


def test_long_directory(start: Start) -> None:
    """A directory whose name is too long for a socket works too."""
    dev = start("x" * 120).ready()
    assert json.loads(dev.curl()) == {"status": "accepted"}
    until(dev.lines, "the line")
    assert dev.end() == 0
    assert dev.servers() == []


def test_ended_while_it_starts(start: Start) -> None:
    """SIGTERM before the node is up leaves no server behind."""
    dev = start()
    until(dev.servers, "the server")
    dev.end()
    until(lambda: not dev.servers(), "the server to end")
    assert "Traceback" not in dev.stderr


def test_unusable(start: Start, directory: Path) -> None:
    """A directory that is a file, or another wrong setting, is refused with exit code 2 and no server."""
    (directory / "plain").mkdir()
    (directory / "plain" / "home").write_text("a file")
    dev = start("plain")
    assert dev.process.wait(40) == 2
    assert "--directory" in dev.stderr
    wrong = start("wrong", PAYFLUX_WORKERS="none")
    assert wrong.process.wait(40) == 2
    assert "payflux: PAYFLUX_WORKERS='none'" in wrong.stderr
    assert wrong.servers() == []
    assert "Traceback" not in dev.stderr + wrong.stderr


KEY_FILES = {
    "empty": b"",
    "blank": b" \n",
    "binary": b"\xff\xfe\x00\x01",
    "two lines": b"one\ntwo\n",
    "two keys": b"one,two",
    "huge": b"x" * 5000,
    "directory": None,
    "dangling link": None,
    "link to itself": None,
}


@pytest.mark.parametrize("kind", KEY_FILES)
def test_a_key_file_that_holds_no_key_is_refused(kind: str, tmp_path: Path) -> None:
    """In one line that names the file and what to do; nothing is written in its place."""
    file = tmp_path / "api-key"
    if (content := KEY_FILES[kind]) is not None:
        file.write_bytes(content)
    elif kind == "directory":
        file.mkdir()
    else:
        file.symlink_to(file if kind == "link to itself" else tmp_path / "nowhere")
    with pytest.raises(SettingsError) as caught:
        _kept(file, "dev_")
    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}: expected ")
    assert problem.endswith("remove it for a new one, or set PAYFLUX_API_KEY")
    assert [path.name for path in tmp_path.iterdir()] == ["api-key"]


def test_a_key_of_ones_own_is_kept(tmp_path: Path) -> None:
    """With or without a newline at its end; none is made while one is there."""
    file = tmp_path / "api-key"
    file.write_text("my-own-key\n")
    assert _kept(file, "dev_") == "my-own-key"
    file.unlink()
    assert _kept(file, "dev_") == _kept(file, "dev_") == file.read_text()


def test_a_broken_key_file_ends_the_start(start: Start, directory: Path) -> None:
    """Exit code 2, one line, and no server is left behind."""
    (directory / "dev" / "home" / "api-key").mkdir(parents=True)
    dev = start()
    assert dev.process.wait(40) == 2
    assert [line for line in dev.stderr.splitlines() if not line.startswith("{")] == [
        (
            f"payflux: {dev.home}/api-key: expected a file with an API key (Is a directory); "
            "remove it for a new one, or set PAYFLUX_API_KEY"
        )
    ]
    assert dev.servers() == []


def test_without_a_home_it_asks_for_a_directory() -> None:
    """A user id without an entry and without HOME: exit code 2, one line."""
    ended = subprocess.run(
        [sys.executable, "-c", HOMELESS], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (
        2,
        "payflux: HOME: expected a directory; or name one with --directory\n",
    )


HOMELESS = """
import pwd, sys
from payflux.cli import run

def nobody(uid):
    raise KeyError(uid)

pwd.getpwuid = nobody
sys.exit(run(["dev"]))
"""
