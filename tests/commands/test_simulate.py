"""`payflux simulate`: the running simulation against a toy node, and the command as a process."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest

from payflux.commands.simulate import simulate
from payflux.load.corpus.scenarios import SCENARIOS, Incident
from payflux.load.node_connection import AnswerError
from payflux.load.sender import Sender
from payflux.load.simulation import Simulation, Tally
from payflux.load.traffic import Traffic
from toy_node import KEYS, serving, toy_node

COMMAND = (
    "import cyclopts, payflux.commands.simulate as s; a = cyclopts.App(name='payflux'); a.command(s.simulate); a()"
)
Said = list[tuple[str, str, dict[str, object]]]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return tmp_path / "lines.jsonl"


async def run(
    url: str,
    said: Said,
    *,
    keys: tuple[str, ...] = KEYS,
    incidents: tuple[Incident, ...] = (),
    rate: float = 200,
    batch: int = 1,
    duration: float | None = None,
    until: Callable[[Tally], bool] = lambda _: False,
    when: Callable[[Tally], Awaitable[None]] | None = None,
) -> Tally:
    """Simulate until the duration is over or `until` holds; fails after 10 s."""
    stop = asyncio.Event()
    async with Sender(url, keys, patience_seconds=0.1, longest_wait_seconds=0.1) as sender:
        start = time.time()
        simulation = Simulation(
            sender,
            Traffic(1, start, incidents),
            start,
            rate=rate,
            batch=batch,
            say=lambda level, msg, **fields: said.append((level, msg, fields)),
        )
        running = asyncio.create_task(simulation.run(stop, duration))
        async with asyncio.timeout(10):
            while not (until(simulation.tally) or running.done()):
                await asyncio.wait([running], timeout=0.02)
            stop.set()
            return await running


def counted(lines: Path) -> int:
    return len(lines.read_bytes().splitlines())


@pytest.mark.parametrize("batch", [1, 20])
async def test_events_arrive_at_the_rate_and_are_counted(lines: Path, batch: int) -> None:
    """About as many events as asked for, each accepted once, also those on their way at the end."""
    async with toy_node(lines) as node:
        tally = await run(node.url, [], duration=1.0, batch=batch)
        assert {len(json.loads(body)) == batch for _, _, body in node.requests[:-1] if batch > 1} <= {True}
    assert tally.sent == tally.accepted == counted(lines)
    assert 50 <= tally.sent <= 300
    assert tally.duplicate == tally.rejected == tally.errors == 0


async def test_it_runs_until_it_is_stopped(lines: Path) -> None:
    """Without a duration only the stop event ends it."""
    async with toy_node(lines) as node:
        tally = await run(node.url, [], until=lambda tally: tally.accepted >= 30)
    assert counted(lines) == tally.accepted >= 30


async def test_incidents_are_told_when_they_begin_and_end(lines: Path) -> None:
    """One sentence at the beginning, one at the end, each naming incident and processor."""
    said: Said = []
    incident = Incident("outage", "stripe", 0.1, 0.3)
    async with toy_node(lines) as node:
        tally = await run(node.url, said, incidents=(incident,), duration=0.8)
    about = {"incident": "outage", "processor": "stripe"}
    assert said == [("info", "incident_began", about), ("info", "incident_ended", about)]
    assert tally.incidents == ()


async def test_a_refused_key_ends_it(lines: Path) -> None:
    """There is no point in going on after 401."""
    async with toy_node(lines) as node:
        with pytest.raises(AnswerError, match="does not accept this key"):
            await run(node.url, [], keys=("wrong",))


async def test_it_survives_a_node_that_goes_away_and_says_so_once(lines: Path) -> None:
    """Errors are counted while the node is down; nothing made before is lost, and traffic goes on afterwards."""
    said: Said = []
    async with toy_node(lines, "all_503") as node:

        def recovered(tally: Tally) -> bool:
            if tally.errors >= 50:
                node.faults.clear()
            return tally.accepted >= 50

        tally = await run(node.url, said, until=recovered)
    assert [(msg, fields.get("reason")) for _, msg, fields in said] == [
        ("node_unavailable", "it answers 503"),
        ("node_available", None),
    ]
    assert tally.errors >= 50
    assert tally.accepted == counted(lines) == tally.sent


async def test_time_that_the_node_was_away_is_skipped(lines: Path) -> None:
    """No flood of old events follows an outage of the node."""
    begun = time.monotonic()
    async with toy_node(lines, "all_503") as node:

        def recovered(tally: Tally) -> bool:
            if time.monotonic() > begun + 1.5:
                node.faults.clear()
            return tally.accepted >= 100

        tally = await run(node.url, [], until=recovered, rate=500)
    assert tally.accepted >= 100
    assert tally.sent < 500 * (time.monotonic() - begun) - 400


async def test_it_ends_soon_when_the_node_is_down() -> None:
    """Events that cannot be delivered do not keep it from ending."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        said: Said = []
        begun = time.monotonic()
        tally = await run(url, said, duration=0.3)
    assert time.monotonic() - begun < 8
    assert tally.errors > 0 == tally.accepted
    assert [msg for _, msg, _ in said] == ["node_unavailable"]


async def test_a_rate_limit_is_told_once(lines: Path) -> None:
    """Being limited is not an error, but the user learns what to do."""
    said: Said = []
    async with toy_node(lines, "some_429") as node:
        tally = await run(node.url, said, until=lambda tally: tally.accepted >= 60)
    assert [msg for _, msg, _ in said] == ["rate_limited"]
    assert (tally.rejected, tally.errors) == (0, 0)
    assert tally.accepted == counted(lines)


class Process:
    """The command, running; `log` are the lines it has written to stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.log: list[dict[str, object]] = []

    async def until(self, msg: str) -> dict[str, object]:
        """Read the log up to a message."""
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.log.append(json.loads(line))
            if self.log[-1]["msg"] == msg:
                return self.log[-1]
        pytest.fail(f"no {msg} in {self.log}")

    async def end(self) -> int:
        """Its exit code."""
        return await self._process.wait()

    async def communicate(self) -> tuple[bytes, bytes]:
        """All it writes to stdout and stderr."""
        return await self._process.communicate()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)


@asynccontextmanager
async def process(*arguments: str, **environ: str) -> AsyncIterator[Process]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PAYFLUX_")}
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "simulate", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=own | environ,
    )
    try:
        async with asyncio.timeout(20):
            yield Process(started)
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_ends_cleanly_on_a_signal(lines: Path, number: signal.Signals) -> None:
    """Quiet in a pipe: a line at the start and a summary at the end, and exit code 0."""
    async with (
        toy_node(lines) as node,
        process("--url", node.url, "--rate", "100", PAYFLUX_API_KEYS=",".join(KEYS)) as it,
    ):
        await it.until("simulation_began")
        await node.until_stored(5)
        it.send_signal(number)
        summary = await it.until("simulation_ended")
        assert await it.end() == 0
    assert [line["msg"] for line in it.log] == ["simulation_began", "simulation_ended"]
    assert summary["accepted"] == summary["sent"] == counted(lines)
    assert {headers["authorization"] for _, headers, _ in node.requests} == {f"Bearer {KEYS[0]}"}


@pytest.mark.parametrize("incident", ["silence", "random"])
async def test_the_command_takes_its_options(lines: Path, incident: str) -> None:
    """Key, batch, duration and seed are those given, and a run with them says so."""
    options = ("--key", KEYS[1], "--batch", "10", "--duration", "0.5", "--seed", "5", "--rate", "200")
    async with toy_node(lines) as node, process("--url", node.url, *options, "--incident", incident) as it:
        began = await it.until("simulation_began")
        summary = await it.until("simulation_ended")
        assert await it.end() == 0
    assert (began["seed"], began["rate"], began["incidents"]) == (5, 200, [incident])
    assert summary["accepted"] == counted(lines) > 0
    assert {headers["authorization"] for _, headers, _ in node.requests} == {f"Bearer {KEYS[1]}"}


async def test_the_command_fails_when_nothing_was_accepted(lines: Path) -> None:
    """Exit code 1, with the reason in the log."""
    async with toy_node(lines) as node, process("--url", node.url, PAYFLUX_API_KEY="wrong") as it:
        assert "does not accept this key" in str((await it.until("node_refuses"))["reason"])
        assert (await it.until("simulation_ended"))["accepted"] == 0
        assert await it.end() == 1


async def test_on_a_terminal_a_live_line_shows_the_numbers(lines: Path) -> None:
    """On a terminal there are no JSON lines, but the counts, and the summary stays on the screen."""
    master, slave = os.openpty()
    async with toy_node(lines) as node:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", COMMAND, "simulate", "--url", node.url, "--key", KEYS[0]),
            *("--duration", "1", "--rate", "50"),
            stderr=slave,
            env={"PATH": "/usr/bin", "TERM": "xterm", "COLUMNS": "150"},
        )
        os.close(slave)
        async with asyncio.timeout(20):
            code = await child.wait()
    shown = os.read(master, 1_000_000).decode()
    os.close(master)
    assert code == 0
    assert re.search(r"sent [1-9]\d* · accepted [1-9]", shown)
    assert re.search(r"simulation ended: .*accepted [1-9]", shown)
    assert '{"' not in shown


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "PAYFLUX_API_KEY"),
        ({"key": "a b"}, "--key"),
        ({"key": "k", "url": "https://node"}, "TLS ends at a proxy"),
        ({"key": "k", "rate": 0.0}, "--rate 0.0"),
        ({"key": "k", "rate": float("nan")}, "--rate nan"),
        ({"key": "k", "duration": -1.0}, "--duration -1.0"),
        ({"key": "k", "batch": 1001}, "--batch 1001"),
        ({"key": "k", "incident": ["outrage"]}, "--incident outrage"),
        ({"key": "k", "incident": ["outage", "random"]}, "--incident random"),
        ({"key": "k", "processor": ["stripe", "p7"]}, "--processor p7: expected one of stripe,"),
        ({"key": "k", "warm_up": -1.0}, "--warm-up -1.0"),
        ({"key": "k", "rate": 60_000.0}, "at most 50,000"),
        ({"key": "k", "start": "2026-01-05T00:00:00Z"}, "--start: only"),
        ({"output": "x"}, "--output: needs --duration"),
        ({"output": "x", "duration": 5.0, "start": "2026-01-05T00:00:00"}, "--start 2026-01-05T00:00:00: expected"),
        ({"output": "x", "duration": 5.0, "start": "yesterday"}, "--start yesterday: expected"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: dict[str, object],
    problem: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line says what is wrong and what was expected; exit code 2."""
    monkeypatch.delenv("PAYFLUX_API_KEYS", raising=False)
    monkeypatch.delenv("PAYFLUX_API_KEY", raising=False)
    assert simulate(**arguments) == 2  # type: ignore[arg-type]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("payflux: ")
    assert problem in line


def test_all_problems_are_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody has to run the command again to find the next mistake."""
    assert simulate(key="k", url="ftp://x", rate=-1, batch=0, incident=["a", "b"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 5


def test_incidents_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`--incident list` shows every one of them and needs neither key nor node."""
    assert simulate(incident=["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in SCENARIOS)


def test_a_recording_is_the_same_for_a_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a node or a key, events and labels go to files, the same bytes each time; stderr says what was done."""
    files = [(tmp_path / f"events{n}", tmp_path / f"labels{n}") for n in (1, 2)]
    for events, labels in files:
        options = {"seed": 5, "duration": 300.0, "incident": ["outage", "silence"], "warm_up": 60.0}
        assert simulate(output=str(events), labels=labels, **options) == 0  # type: ignore[arg-type]
    assert files[0][0].read_bytes() == files[1][0].read_bytes()
    assert files[0][1].read_bytes() == files[1][1].read_bytes()
    began, ended = map(json.loads, capsys.readouterr().err.splitlines()[:2])
    assert (began["msg"], began["seed"], began["rate"]) == ("recording_began", 5, 20)
    assert (ended["msg"], ended["events"]) == ("recording_ended", counted(files[0][0]))
    times = [json.loads(line)["event_timestamp"] for line in files[0][0].read_bytes().splitlines()]
    assert times == sorted(times)
    assert "2026-01-05T00:00:00" < times[0] < "2026-01-05T00:00:01"
    assert "2026-01-05T00:04:58" < times[-1] < "2026-01-05T00:05"
    truth = [json.loads(line) for line in files[0][1].read_bytes().splitlines()]
    assert [(one["scenario"], one["processor"], one["start"][11:19], one["end"][11:19]) for one in truth] == [
        ("outage", "stripe", "00:01:00", "00:04:00")
    ]


async def test_a_recording_goes_to_stdout_of_chosen_processors() -> None:
    """`--output -` is for pipes: nothing but events on stdout, of the processors and the time asked for."""
    options = ("--output", "-", "--duration", "60", "--start", "2026-02-03T04:05:00+01:00", "--processor", "p20")
    async with process(*options, "--processor", "p5") as it:
        out, _ = await it.communicate()
        assert await it.end() == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert {event["processor"] for event in events} == {"p5", "p20"}
    assert {event["event_timestamp"][:16] for event in events} == {"2026-02-03T03:05"}


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 and one line."""
    for output, labels in ((tmp_path, None), (tmp_path / "x", tmp_path)):
        assert simulate(duration=5.0, output=str(output), labels=labels) == 1
        assert f"payflux: cannot write {tmp_path}: Is a directory" in capsys.readouterr().err


async def test_live_labels_tell_what_was_sent(lines: Path, tmp_path: Path) -> None:
    """After a live run the labels say when incidents began, in the time of the node, and end with the run."""
    labels = tmp_path / "labels"
    options = ("--key", KEYS[0], "--incident", "outage", "--warm-up", "0", "--duration", "0.5", "--labels", str(labels))
    begun = time.time()
    async with toy_node(lines) as node, process("--url", node.url, *options) as it:
        await it.until("simulation_ended")
        assert await it.end() == 0
    (label,) = [json.loads(line) for line in labels.read_bytes().splitlines()]
    start, end = (datetime.fromisoformat(label[name]).timestamp() for name in ("start", "end"))
    assert begun < start < end < time.time() + 0.01
    assert end - start <= 0.6


async def test_an_answer_that_no_node_gives_ends_it() -> None:
    """Another server on the port is noticed at once."""

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with serving(other) as url:
        with pytest.raises(AnswerError, match="not a PayFlux node"):
            await run(url, [])


async def test_a_node_that_never_answers_is_named_at_the_end() -> None:
    """Whoever reads only the end learns why nothing was accepted; exit code 1."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        async with process("--url", f"http://{address}", "--key", "k", "--duration", "0.3") as running:
            said = await running.until("nothing_answered")
            assert (said["level"], said["address"]) == ("error", address)
            assert await running.end() == 1
