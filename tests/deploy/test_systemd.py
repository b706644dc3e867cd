"""The systemd unit: verified, scored, and wide enough for what a node does."""

import re
import sys
from pathlib import Path

import pytest

from deploying import DEPLOY, broken, run
from needs import program
from nodes import event
from payflux.checks.access import judge_keys
from payflux.node.settings import SETTINGS
from payflux.node.supervisor import CONSUMER_SECONDS, INGEST_SECONDS
from payflux.settings import load
from real_parts import MakeNode
from servers import until

UNIT = DEPLOY / "systemd" / "payflux.service"
EXAMPLE = DEPLOY / "systemd" / "payflux.env.example"
WORST_SCORE = 2.5


def _verify(unit: Path, directory: Path) -> str:
    """What `systemd-analyze verify` says; the exit code alone is 0 for unknown names."""
    copy = directory / "verified" / unit.name
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(unit.read_text().replace("/opt/payflux/bin/payflux", sys.executable))
    found = run([program("systemd-analyze"), "verify", copy])
    return found.stdout + found.stderr + ("" if found.returncode == 0 else f"exit code {found.returncode}")


def _score(unit: Path) -> float:
    found = run([program("systemd-analyze"), "security", "--offline=true", "--no-pager", unit])
    overall = re.search(r"Overall exposure level for payflux.service: ([\d.]+)", found.stdout)
    assert overall, found.stderr
    return float(overall[1])


def test_verify_is_silent(directory: Path) -> None:
    """Every section, name and value is one that systemd knows."""
    assert _verify(UNIT, directory) == ""


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("KillMode=mixed", "KillMode=some"),
        ("TimeoutStopSec=35", "TimeoutStop=35"),
        ("ExecReload=/bin/kill", "ExecReload=/nowhere/kill"),
        ("[Service]", "[Services]"),
    ],
)
def test_verify_finds_what_is_wrong(good: str, bad: str, directory: Path) -> None:
    """A broken copy is not passed over in silence."""
    assert _verify(broken(UNIT, directory, good, bad), directory) != ""


def test_the_unit_is_hardened(directory: Path) -> None:
    """The exposure is at most 2.5 of 10, and a copy without its fences exceeds it."""
    assert _score(UNIT) <= WORST_SCORE
    assert _score(broken(UNIT, directory, "\nSystemCallFilter", "\n# SystemCallFilter")) > _score(UNIT)
    bare = directory / "bare" / UNIT.name
    bare.parent.mkdir()
    bare.write_text(re.sub(r"(?m)^(Protect|Private|Restrict|SystemCall|Capability)\w+=.*$", "", UNIT.read_text()))
    assert _score(bare) > WORST_SCORE


def test_the_unit_waits_for_a_node_to_end() -> None:
    """It gives a node longer than its parts take, and does not start again what cannot start."""
    text = UNIT.read_text()
    stop = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert stop
    assert int(stop[1]) > max(30, INGEST_SECONDS + CONSUMER_SECONDS)
    for line in (
        "KillMode=mixed",
        "Restart=always",
        "RestartPreventExitStatus=2",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ):
        assert f"\n{line}\n" in text


def _variables(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def test_the_example_environment_is_right() -> None:
    """Every variable is known and right; the key in it is one that the production checklist refuses."""
    variables = _variables(EXAMPLE.read_text())
    assert set(variables) <= {setting.name for setting in SETTINGS}
    load(SETTINGS, variables)
    assert judge_keys([variables["PAYFLUX_API_KEYS"]]).verdict == "fail"
    unit = UNIT.read_text()
    assert f"LogsDirectory={Path(variables['PAYFLUX_EXPORT_FILE']).parent.name}\n" in unit
    assert "EnvironmentFile=/etc/payflux/payflux.env\n" in unit


def _system_calls(group: str) -> set[str]:
    """The system calls of a group of systemd's, those of the groups in it included."""
    listed = run([program("systemd-analyze"), "syscall-filter", group]).stdout.splitlines()[1:]
    names = [line.strip() for line in listed if line.strip() and not line.strip().startswith("#")]
    nested = [_system_calls(name) if name.startswith("@") else {name} for name in names]
    return set().union(*nested)


@pytest.mark.process
def test_a_node_stays_within_the_filter(directory: Path, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a node does from start to end, a reopened file and a replaced child included, the unit allows."""
    trace = directory / "trace"
    tracer = directory / "traced"
    tracer.write_text(f'#!/bin/sh\nexec {program("strace")} -f -qq -o {trace} {sys.executable} "$@"\n')
    tracer.chmod(0o755)
    real = sys.executable
    monkeypatch.setattr(sys, "executable", str(tracer))
    lines = directory / "events.jsonl"
    node = make_node({"PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": str(lines)})
    monkeypatch.setattr(sys, "executable", real)
    assert node.post(event()) == 202
    until(lambda: lines.exists() and lines.read_bytes().endswith(b"\n"), "the line")
    run(["kill", "-HUP", str(node.child_pid("consumer"))])
    until(lambda: node.logged("export_reopened"), "the file to be opened anew")
    node.kill_child("ingest-0")
    until(node.drained, "the node to drain")
    run(["kill", "-TERM", str(node.child_pid("consumer"))])
    assert node.process.wait(35) == 0
    text = trace.read_text()
    used = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)[( ]", text, re.MULTILINE)) - {"resumed"}
    allow, deny, again = re.findall(r"^SystemCallFilter=(~?)(.*)$", UNIT.read_text(), re.MULTILINE)
    allowed = set().union(*map(_system_calls, allow[1].split())) | _system_calls("@default")
    denied = set().union(*map(_system_calls, deny[1].split())) - {again[1]}
    assert (allow[0], deny[0], again) == ("", "~", ("", "setpriority"))
    assert {"memfd_create", "accept4", "epoll_wait", "execve", "setpriority"} <= used
    assert used - allowed == set()
    assert used & denied == set()
    assert "PROT_WRITE|PROT_EXEC" not in text  # MemoryDenyWriteExecute
