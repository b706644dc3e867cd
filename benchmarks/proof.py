"""Proves a load: runs a node, loads it, asks Redis, and writes PROOF-load-test.md with a screenshot.

Everything shown is the output of the command above it. It fails, and writes nothing, when an event is missing anywhere:
accepted, in the stream, read, acked and written as lines must be the same number, with nothing pending and no lag.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from benchmarks.load.generator import KEY
from benchmarks.machine import ROOT, describe
from benchmarks.servers.floors import free_port
from benchmarks.servers.node import until
from payflux.redis.embedded import server_binary

PAGE = ROOT / "PROOF-load-test.md"
PICTURE = ROOT / "docs" / "img" / "load-test.svg"
START_SECONDS = 30.0
WIDTH = 104
SCREEN = "the load"
METRICS = "payflux_(ingest_accepted|ingest_duplicate|ingest_rejected|events_exported|stream_lost|export_errors)_total"

WORDS = """# Proof of a load

Written by `benchmarks/proof.py`: it starts a Redis and a node, loads the node with `payflux bench`, looks at Redis
during and after the load, and counts the lines. Below is each command with its output as it came. The script fails, and
writes nothing, unless all the numbers at the end are the same, with nothing pending and no lag.

![the load, as it ran](docs/img/load-test.svg)

## Environment

{environment}

"""


class ProofFailed(Exception):
    """Something is missing; the text says what."""


class Shell:
    """Runs commands in a directory, and keeps what they printed.

    Args:
        directory: where.
        environ: their environment.
    """

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        self.directory, self.environ = directory, environ
        self.said: list[tuple[str, str, str]] = []
        self._running: list[subprocess.Popen[str]] = []

    def run(self, part: str, command: str, *, fails: bool = False) -> str:
        """Run a command to its end, keep and return its output.

        Args:
            part: of the page.
            command: as a shell takes it.
            fails: it may.

        Raises:
            ProofFailed: it failed.
        """
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.directory, env=self.environ, capture_output=True, text=True, check=False
        )
        output = (done.stdout + done.stderr).rstrip()
        if done.returncode and not fails:
            raise ProofFailed(f"{command}\n{output}")
        self.said.append((part, command, output))
        return output

    def start(self, part: str, command: str) -> "subprocess.Popen[str]":
        """Start a command that goes on, and keep it as one without output."""
        self.said.append((part, f"{command} &", ""))
        process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self.directory, env=self.environ, text=True)
        self._running.append(process)
        return process

    def end(self) -> None:
        """End what goes on, the latest first."""
        for process in reversed(self._running):
            process.terminate()
            process.wait(40)


def prove(seconds: float, directory: Path) -> list[tuple[str, str, str]]:
    """Run it; returns part, command and output of each step.

    Raises:
        ProofFailed: a command failed, or a number differs.
    """
    cli = "redis-cli" if shutil.which("redis-cli") else "valkey-cli"
    for tool in (cli, "curl"):
        if shutil.which(tool) is None:
            raise ProofFailed(f"{tool} is not installed: apt-get install redis-tools curl")
    server = Path(server_binary())
    port = free_port()
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{server.parent}:{os.defpath}:/usr/local/bin",
        "COLUMNS": str(WIDTH - 4),
        "REDIS_URL": f"unix://{directory}/redis.sock",
        "HTTP_ADDR": f"127.0.0.1:{port}",
        "PAYFLUX_API_KEY": KEY,
    }
    rates = "PAYFLUX_RATELIMIT_RPS=10000000 PAYFLUX_RATELIMIT_BURST=10000000"
    settings = f"PAYFLUX_CHECKOUT_ENABLED=false PAYFLUX_WORKERS=2 {rates}"
    shell = Shell(directory, environ)
    url, ask = f"http://127.0.0.1:{port}", f"{cli} -s redis.sock"
    try:
        shell.run("versions", f"payflux --version; {server.name} --version; {cli} --version")
        files = "--appendonly yes --appendfsync everysec --save ''"
        shell.start("the node", f"{server.name} --port 0 --unixsocket redis.sock {files} > redis.log")
        if not until((directory / "redis.sock").exists, START_SECONDS):
            raise ProofFailed("Redis does not start")
        shell.start("the node", f"env {settings} payflux serve > events.jsonl 2> log.jsonl")
        wait = f"curl -s --retry 50 --retry-connrefused --retry-all-errors --retry-delay 1 -f {url}/health"
        shell.run("the node", wait)
        _load(shell, f"payflux bench {url} --key $PAYFLUX_API_KEY --connections 64 --seconds {seconds:g}", ask, seconds)
        batches = f"payflux bench {url} --key $PAYFLUX_API_KEY --connections 8 --batch 100 --seconds {seconds:g}"
        shell.run(SCREEN, batches)
        if not until(lambda: _drained(shell, ask), START_SECONDS):
            raise ProofFailed("the stream does not drain")
        _compare(shell, ask, url)
    finally:
        shell.end()
    return shell.said


def _load(shell: Shell, command: str, ask: str, seconds: float) -> None:
    """The load, with a look at Redis in the middle of it."""
    bench = subprocess.Popen(
        ["bash", "-c", command],
        cwd=shell.directory,
        env=shell.environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    time.sleep(seconds / 2)
    middle = (SCREEN, f"{ask} XINFO GROUPS events_stream   # in the middle of it, from another shell")
    groups = shell.run(*middle)
    shell.said.pop()
    output = bench.communicate()[0].rstrip()
    shell.said += [(SCREEN, command, output), (*middle, groups)]
    if bench.returncode:
        raise ProofFailed(f"{command}\n{output}")


def _drained(shell: Shell, ask: str) -> bool:
    text = subprocess.run(
        ["bash", "-c", f"{ask} XINFO GROUPS events_stream"],
        cwd=shell.directory,
        env=shell.environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    fields = dict(zip(text[::2], text[1::2], strict=False))
    return fields["pending"] == fields["lag"] == "0"


def _compare(shell: Shell, ask: str, url: str) -> None:
    """What everybody counted; raises ProofFailed unless it is the same."""
    part = "afterwards"
    groups = shell.run(part, f"{ask} XINFO GROUPS events_stream")
    shell.run(part, f"{ask} XPENDING events_stream payment_consumers")
    stream = shell.run(part, f"{ask} XINFO STREAM events_stream | grep -A1 -E '^(length|entries-added)$'")
    number = shell.run(part, f"{ask} HGET '{{events_stream}}:state' seq")
    metrics = shell.run(part, f"curl -s {url}/metrics | grep -E '^{METRICS}' | grep -v '}} 0.0$'")
    lines = shell.run(part, "wc -l < events.jsonl")
    distinct = shell.run(part, 'grep -o \'"event_id":"[^"]*"\' events.jsonl | sort -u | wc -l')
    agree(groups, stream, number, metrics, lines, distinct)


def agree(groups: str, stream: str, number: str, metrics: str, lines: str, distinct: str) -> None:  # noqa: PLR0917
    """Whether all say the same.

    Args:
        groups: what `XINFO GROUPS` says.
        stream: what `XINFO STREAM` says.
        number: of the last event.
        metrics: of the node.
        lines: how many came out.
        distinct: how many different ids are in them.

    Raises:
        ProofFailed: something is missing, doubled, pending or not read.
    """
    accepted = re.search(r"ingest_accepted_total (\S+)", metrics)
    found = {
        "accepted": int(float(accepted[1])) if accepted else 0,
        "entries-added": _after(stream, "entries-added"),
        "entries-read": _after(groups, "entries-read"),
        "number of the last event": int(number),
        "lines": int(lines),
        "distinct ids": int(distinct),
    }
    left = {name: _after(groups, name) for name in ("pending", "lag")}
    if len(set(found.values())) > 1 or not found["accepted"] or any(left.values()):
        raise ProofFailed(f"not the same everywhere: {found}, {left}")


def _after(text: str, name: str) -> int:
    words = text.split()
    return int(words[words.index(name) + 1])


def page(said: list[tuple[str, str, str]]) -> str:
    """The document."""
    machine = describe(())
    modules = machine["modules"]
    assert isinstance(modules, dict)
    rows = {"CPU": f"{machine['cpus']} x {machine['cpu']}", "kernel": f"Linux {machine['kernel']}"}
    rows |= {"Python": str(machine["python"])} | {name: str(version) for name, version in modules.items()}
    rows |= {"commit": str(machine["commit"]), "date": time.strftime("%Y-%m-%d", time.gmtime())}
    environment = "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])
    text = WORDS.format(environment=environment)
    for part in dict.fromkeys(part for part, _, _ in said):
        steps = (f"$ {command}\n{output}".rstrip() for where, command, output in said if where == part)
        text += f"## {part.capitalize()}\n\n```console\n" + "\n".join(steps) + "\n```\n\n"
    return text.rstrip() + "\n"


def picture(said: list[tuple[str, str, str]], file: Path) -> None:
    """A screenshot of the load and what Redis said, as a terminal shows it."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True, highlight=False)
        for part, command, output in said:
            if part == SCREEN or "XINFO GROUPS" in command:
                console.print(Text.assemble(("$ ", "green"), (command, "bold")))
                console.print(Text(output))
        file.parent.mkdir(exist_ok=True)
        svg = console.export_svg(title="payflux bench", unique_id="load")
        file.write_text(re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL))  # it would fetch a font


def main() -> int:
    """Prove it and write it down; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load (default %(default)s)")
    parser.add_argument("--into", type=Path, help="a folder to write to, instead of the repository")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pf-proof-") as directory:
        try:
            said = prove(options.seconds, Path(directory))
        except ProofFailed as error:
            print(f"not proven: {error}", file=sys.stderr)
            return 1
        said = [(part, command, output.replace(directory, ".")) for part, command, output in said]
    file, shot = (options.into / PAGE.name, options.into / PICTURE.name) if options.into else (PAGE, PICTURE)
    file.write_text(page(said))
    picture(said, shot)
    print(f"written: {file}, {shot}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
