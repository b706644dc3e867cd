"""Rotation and shipping: no line lost when the file turns, and every line parsed as the shippers will parse it."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploying import DEPLOY, documents, run, vector_language
from needs import program
from nodes import Node, event
from real_parts import MakeNode
from servers import until

LOGROTATE = DEPLOY / "logrotate" / "payflux"
ROTATE = DEPLOY / "rotate.sh"
VECTOR = DEPLOY / "vector" / "vector.yaml"
FLUENT_BIT = DEPLOY / "fluent-bit" / "fluent-bit.conf"
TURNS, A_TURN = 3, 20
FIELD = "x" * 100


def _file_node(make_node: MakeNode, logs: Path) -> Node:
    logs.mkdir(mode=0o755)
    return make_node({"PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": str(logs / "events.jsonl")})


def _ids(logs: Path) -> list[str]:
    """The ids of every line of every file, rotated and compressed ones included."""
    text = b"".join(
        subprocess.run(["zcat", "-f", str(file)], capture_output=True, check=True).stdout
        for file in sorted(logs.iterdir())
    )
    return [json.loads(line)["event_id"] for line in text.splitlines()]


def _turn_under_traffic(node: Node, logs: Path, turn: Callable[[], None]) -> None:
    """Send events before, while and after the file turns, several times; each must come out exactly once."""
    sent: list[str] = []

    def send() -> None:
        for _ in range(A_TURN):
            one = event()
            assert node.post(one) == 202
            sent.append(one["event_id"])

    send()
    for number in range(1, TURNS + 1):
        until(lambda: len(_ids(logs)) > 0 and (logs / "events.jsonl").stat().st_size > 0, "a line to rotate")
        turn()
        send()
        until(lambda number=number: len(node.logged("export_reopened")) >= number, "the file to be opened anew")  # type: ignore[misc]
        send()
    until(lambda: len(_ids(logs)) >= len(sent), "every line")
    assert sorted(_ids(logs)) == sorted(sent)


@pytest.mark.process
def test_logrotate_loses_no_line(make_node: MakeNode, directory: Path) -> None:
    """The real logrotate turns a real node's file by the stanza that ships; each event is in one of the files once."""
    logs = directory / "logs"
    node = _file_node(make_node, logs)
    stanza = directory / "payflux"
    stanza.write_text(LOGROTATE.read_text().replace("/var/log/payflux", str(logs)))
    stanza.chmod(0o644)
    systemctl = directory / "systemctl"
    told = "kill --kill-whom=main --signal=HUP payflux.service"
    systemctl.write_text(f'#!/bin/sh\n[ "$*" = "{told}" ] && exec kill -HUP {node.process.pid}\n')
    systemctl.chmod(0o755)

    def turn() -> None:
        command = [program("logrotate"), "--force", "--state", str(directory / "state"), str(stanza)]
        done = run(command, env={"PATH": f"{directory}:/usr/sbin:/usr/bin:/sbin:/bin"})
        assert (done.returncode, done.stderr) == (0, "")

    _turn_under_traffic(node, logs, turn)
    names = {file.name for file in logs.iterdir()}
    assert names == {"events.jsonl", "events.jsonl.1", *(f"events.jsonl.{n}.gz" for n in range(2, TURNS + 1))}


def test_logrotate_finds_what_is_wrong(directory: Path) -> None:
    """A broken copy of the stanza is refused."""
    stanza = directory / "payflux"
    stanza.write_text(LOGROTATE.read_text().replace("endscript", ""))
    stanza.chmod(0o644)
    assert run([program("logrotate"), "--debug", "--state", directory / "state", stanza]).returncode != 0


@pytest.mark.process
def test_our_rotation_loses_no_line(make_node: MakeNode, directory: Path) -> None:
    """Neither does the script of the image, which keeps as many files as it is told."""
    logs = directory / "logs"
    node = _file_node(make_node, logs)
    _turn_under_traffic(node, logs, lambda: _rotate(logs, node.process.pid, "0", "8"))
    assert {file.name for file in logs.iterdir()} == {
        "events.jsonl",
        *(f"events.jsonl.{n}" for n in range(1, TURNS + 1)),
    }
    for _ in range(2):
        before = len(node.logged("export_reopened"))
        assert node.post(event()) == 202
        until((logs / "events.jsonl").read_bytes, "a line to rotate")
        _rotate(logs, node.process.pid, "0", "2")
        until(lambda before=before: len(node.logged("export_reopened")) > before, "a new file")  # type: ignore[misc]
    assert not (logs / "events.jsonl.4").exists()


def _rotate(logs: Path, pid: int, *arguments: str) -> None:
    done = run([ROTATE, "--once", logs / "events.jsonl", str(pid), *arguments])
    assert (done.returncode, done.stderr) == (0, "")


def test_our_rotation_leaves_a_small_file_and_one_without_a_node_alone(directory: Path) -> None:
    """Below the size nothing happens; a process that is gone is an error, and the file stays."""
    file = directory / "events.jsonl"
    file.write_bytes(b"x" * 1048576)
    assert run([ROTATE, "--once", file, "1", "1"]).returncode == 0
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert run([ROTATE, "--once", file, str(gone.pid), "0"]).returncode != 0
    assert run([ROTATE, "--once", directory / "missing", "1"]).returncode == 0
    assert run([ROTATE, file]).returncode == 2
    assert [path.name for path in directory.iterdir()] == ["events.jsonl"]


@pytest.fixture
def lines(make_node: MakeNode) -> list[str]:
    """Lines of a real node: a usual one, one with everything as long as it may be, one with next to nothing."""
    node = make_node()
    longest = {name: FIELD for name, value in event().items() if isinstance(value, str)}
    longest |= {"event_id": event()["event_id"], "event_timestamp": "2026-01-09T12:00:00.123456+02:00"}
    longest |= {"processor": "p" * 40, "geo_bucket": "g" * 20, "failure_category": 'quote " \\ é 漢 🙂'}
    additive = {"amount_minor": 12345, "latency_ms": 250, "card_network": "visa", "initiator": "cit"}
    least = {name: event()[name] for name in ("event_type", "event_timestamp", "event_id", "processor")}
    for one in (event(), longest | additive, least):
        assert node.post(one) == 202
    until(lambda: node.line_count() == 3, "the lines")
    return node.lines_file.read_text().splitlines()


def _vector() -> dict[str, Any]:
    (config,) = documents(VECTOR)
    return config


@pytest.mark.process
def test_vector_parses_real_lines(lines: list[str]) -> None:
    """The transform that ships, compiled and run by Vector's own language, gives back each line member by member."""
    program = _vector()["transforms"]["events"]["source"]
    runtime = vector_language()
    for line in lines:
        found = runtime.execute(
            program, {"message": line, "file": "/var/log/payflux/events.jsonl", "source_type": "file"}
        )
        assert found.processed_event == json.loads(line)


@pytest.mark.parametrize(
    ("good", "bad"), [("parse_json!", "parse_jsn!"), ("parse_json!", "parse_json"), (".message", "")]
)
def test_vectors_language_finds_what_is_wrong(good: str, bad: str) -> None:
    """A broken copy of the transform does not compile, as what is no JSON does not pass."""
    program = _vector()["transforms"]["events"]["source"]
    assert good in program
    with pytest.raises(ValueError, match="error"):
        vector_language().execute(program.replace(good, bad), {"message": "{}"})
    with pytest.raises(Exception, match="unable to parse json"):
        vector_language().execute(program, {"message": "{torn"})


def _loose_ends(config: dict[str, Any]) -> list[str]:
    """What is wrong with how Vector's components are joined, and with what keeps lines from being lost."""
    dropped = {f"{name}.dropped" for name, one in config["transforms"].items() if one.get("reroute_dropped")}
    outputs = {*config["sources"], *config["transforms"], *dropped}
    consumers = {**config["transforms"], **config["sinks"]}
    read = {name for one in consumers.values() for name in one["inputs"]}
    found = [f"unknown input {name}" for name in sorted(read - outputs)]
    found += [f"nobody reads {name}" for name in sorted(outputs - read)]
    for name, sink in config["sinks"].items():
        if not sink.get("acknowledgements", {}).get("enabled"):
            found.append(f"{name} without acknowledgements")
    if config["sinks"]["shipped"].get("buffer", {}).get("type") != "disk":
        found.append("no disk buffer")
    return found


def test_vector_is_joined_up() -> None:
    """Every input exists, nothing is dropped unseen, sinks acknowledge, the buffer is on disk; or it is told."""
    assert _loose_ends(_vector()) == []
    bad = _vector()
    bad["sinks"]["shipped"] |= {"inputs": ["event"], "acknowledgements": {}, "buffer": {"type": "memory"}}
    wrong = ["unknown input event", "nobody reads events", "shipped without acknowledgements", "no disk buffer"]
    assert _loose_ends(bad) == wrong
    assert _vector()["data_dir"].startswith("/var/lib/")


def _sections(path: Path) -> list[tuple[str, dict[str, str]]]:
    """The sections of a Fluent Bit file in its classic form."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in path.read_text().splitlines():
        if header := re.fullmatch(r"\[([A-Z]+)\]", line):
            found.append((header[1], {}))
        elif line.strip() and not line.startswith("#"):
            entry = re.fullmatch(r" {4}([a-z_.]+) +(\S.*)", line)
            assert entry, line
            found[-1][1][entry[1]] = entry[2]
    return found


def _fluent_bit_parses(line: str, parser: dict[str, str]) -> dict[str, Any]:
    """A line as a Fluent Bit parser of this kind takes it: a JSON object whose time has exactly this format."""
    assert parser["format"] == "json"
    record: dict[str, Any] = json.loads(line)
    time.strptime(record[parser["time_key"]], parser["time_format"])
    return record


@pytest.mark.process
def test_fluent_bits_parser_fits_real_lines(lines: list[str]) -> None:
    """Each line is an object with its time where the parser looks, and fits the buffer; another format does not."""
    sections = _sections(FLUENT_BIT)
    (service,) = [entries for name, entries in sections if name == "SERVICE"]
    (tail,) = [entries for name, entries in sections if name == "INPUT"]
    ((_, parser),) = _sections(FLUENT_BIT.with_name(service["parsers_file"]))
    assert tail["parser"] == parser["name"]
    assert tail["buffer_max_size"] == "1M"
    assert max(map(len, lines)) < 1 << 20
    for line in lines:
        assert _fluent_bit_parses(line, parser) == json.loads(line)
        with pytest.raises(ValueError, match="does not match format"):
            _fluent_bit_parses(line, parser | {"time_format": "%Y-%m-%d %H:%M:%S"})


def test_lines_have_the_sizes_that_shippers_are_told(lines: list[str]) -> None:
    """Filebeat knows a file by its first 512 bytes, Docker splits at 16 KiB; a usual line is as long as is said."""
    in_docker = json.dumps({"log": lines[0] + "\n", "stream": "stdout", "time": "2026-01-01T11:11:11.111111111Z"})
    assert len(lines[0]) == pytest.approx(700, rel=0.05)
    assert len(in_docker) == pytest.approx(860, rel=0.05)
    assert min(map(len, lines)) > 512
    assert max(len(line.encode()) for line in lines) < 16 << 10


def test_fluent_bit_keeps_its_place() -> None:
    """Position and chunks are on disk, the file is read from its head, delivery is tried for ever, and tags match."""
    sections = _sections(FLUENT_BIT)
    assert [name for name, _ in sections] == ["SERVICE", "INPUT", "OUTPUT"]
    service, tail, output = (entries for _, entries in sections)
    assert tail["db"].startswith("/var/lib/")
    assert tail["storage.type"] == "filesystem"
    assert service["storage.path"].startswith("/var/lib/")
    assert tail["read_from_head"] == "on"
    assert output["retry_limit"] == "no_limits"
    assert output["match"] == tail["tag"]


def test_lines_and_logs_can_be_told_apart(lines: list[str], make_node: MakeNode) -> None:
    """What shippers that get both in one stream go by: logs have `level` and `msg`, lines have neither."""
    node = make_node()
    assert all({"level", "msg"} <= set(log) for log in node.logs())
    assert all(not {"level", "msg"} & set(json.loads(line)) for line in lines)
