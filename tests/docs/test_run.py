"""Every block of README and docs/ marked `sh` runs against a real node and shows what it says it shows."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from needs import program
from nodes import KEY
from real_parts import MakeNode
from scripts.docs import tables

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWS = re.compile(r"^(.*?)\s*# → (.+)$")
MARK = "@@ command {} @@"
SECONDS = 240
PAGES = [path for path in tables.PAGES if BLOCK.search(path.read_text())]
ALONE = {"quickstart.md"}
"""Pages that start a node themselves."""

pytestmark = pytest.mark.process


class Command(NamedTuple):
    """One command of a page, and what its output must hold."""

    text: str
    shows: tuple[str, ...]


def commands_of(text: str) -> Iterator[Command]:
    """The commands of a page's runnable blocks, in order."""
    for block in BLOCK.findall(text):
        command, shows = "", list[str]()
        for line in block.splitlines():
            found = SHOWS.match(line)
            if command and not (found and not found[1]) and complete(command):
                yield Command(command, tuple(shows))
                command, shows = "", []
            command += (found[1] if found else line) + "\n"
            if found:
                shows.append(found[2])
        yield Command(command, tuple(shows))


def complete(command: str) -> bool:
    """Whether the shell would not wait for more lines."""
    if command.endswith("\\\n"):
        return False
    checked = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True)
    return checked.returncode == 0 and "here-document" not in checked.stderr


def script_of(commands: list[Command], port: int) -> str:
    """The page as one script, with a mark after each command and the node's own port."""
    marked = (f"{one.text}\necho '{MARK.format(number)}'\n" for number, one in enumerate(commands))
    return "set -eu\n" + "".join(marked).replace("localhost:8080", f"127.0.0.1:{port}")


def free_port() -> int:
    """A port that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(script: str, directory: Path, environ: dict[str, str]) -> str:
    """Run a script to its end, with everything it started; its output and errors."""
    process = subprocess.Popen(
        ["bash", "-c", script],
        cwd=directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    try:
        return process.communicate(timeout=SECONDS)[0]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(tables.ROOT)))
def test_every_runnable_block_runs_and_shows_what_it_says(path: Path, make_node: MakeNode, directory: Path) -> None:
    """No command of the page fails, and each one's output holds what stands behind its arrow."""
    program("curl")
    commands = list(commands_of(path.read_text()))
    assert any(one.shows for one in commands)
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory)}
    if path.name in ALONE:
        port = free_port()
        environ |= {"HTTP_ADDR": f"127.0.0.1:{port}"}
    else:
        node = make_node({"PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": str(directory / "events.jsonl")})
        port = node.port
        environ |= node.environ | environ | {"KEY": KEY, "HTTP_ADDR": f"127.0.0.1:{port}"}
    output = run(script_of(commands, port), directory, environ)
    for number, command in enumerate(commands):
        shown, mark, output = output.partition(MARK.format(number) + "\n")
        assert mark, f"failed:\n{command.text}\n{shown}"
        for text in command.shows:
            assert text in shown, f"{text!r} is not in what this shows:\n{command.text}\n{shown}"


def test_a_page_that_shows_something_else_fails(directory: Path) -> None:
    """The reading of pages: commands of several lines, expectations beside and below, and failures are told apart."""
    page = "```sh\necho one \\\n  two   # → one two\nfor n in 1 2; do\n  echo $n\ndone\n# → 1\n# → 2\nfalse\n```\n"
    commands = list(commands_of(page + "```bash\nexit 9\n```\n"))
    assert [one.shows for one in commands] == [("one two",), ("1", "2"), ()]
    output = run(script_of(commands, 1), directory, {"PATH": os.environ["PATH"]})
    assert output == "one two\n@@ command 0 @@\n1\n2\n@@ command 1 @@\n"
