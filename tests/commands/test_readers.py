"""`payflux … | head`: whatever the command, when its reader has read enough it ends without a word."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from operator_commands import add, bury, canonical, environ
from scripts.docs.tables import ROOT, every_command
from servers import Server

pytestmark = pytest.mark.process

EXAMPLES = ROOT / "examples"
BODY = '{"id":"evt_1","type":"charge.failed","created":1767957855,"data":{"object":{"id":"ch_1","object":"charge"}}}'
ARGUMENTS: dict[str, Sequence[str]] = {
    "simulate": ("--output", "-", "--duration", "2"),
    "send": ("events.jsonl", "--dry-run"),
    "bench": ("http://127.0.0.1:1", "--key", "k", "--json"),
    "backtest": ("events.jsonl",),
    "config": ("--json",),
    "check": (),
    "tail": ("--from-start",),
    "incidents list": ("--json",),
    "incidents show": ("stripe-1-aa",),
    "incidents annotate": ("stripe-1-aa", "true"),
    "alerts test": (),
    "alerts show": ("stripe-1-aa",),
    "alerts mute": ("stripe", "--for", "1h", "--why", "planned"),
    "alerts unmute": ("3f9a01",),
    "alerts mutes": (),
    "dlq list": (),
    "dlq show": ("9-0",),
    "dlq requeue": ("--id", "9-0"),
    "dlq purge": ("--all",),
    "replay": ("--to-stdout",),
    "webhooks status": ("--url", "http://127.0.0.1:1"),
    "webhooks send": ("stripe", "charge.failed", "--secret", "whsec_1", "--url", "http://127.0.0.1:1"),
    "webhooks try": ("stripe", "body.json"),
    "webhooks lint": (str(EXAMPLES / "webhooks" / "mollie.toml"),),
    "webhooks normalize": ("stripe", "body.json"),
    "webhooks codes": ("insufficient_funds",),
    "completion": ("zsh",),
}
"""Each command, so that it writes as much as it can."""
WRITES = ("simulate", "config", "check", "tail", "alerts mute", "dlq list", "dlq show", "replay", "webhooks codes")
"""Those that did what they were asked for, as far as somebody read it."""
NODES = {"serve", "dev"}
"""They go on: what becomes of their lines is the node's business."""
PROGRAM = """
import json, os, runpy, sys
from importlib import import_module
import redis
from payflux.__main__ import main
from payflux.cli import COMMANDS

for target in COMMANDS.values():  # once for all children
    import_module(target.partition(":")[0])

for number, arguments in enumerate(json.loads(sys.argv[1])):
    if os.fork():
        code = os.waitstatus_to_exitcode(os.wait()[1])
        with open(f"{number}.err") as told:
            print(json.dumps([code, told.read()]), flush=True)
        continue
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    os.dup2(os.open(f"{number}.err", os.O_WRONLY | os.O_CREAT), 2)
    sys.argv = arguments
    code = 0
    try:
        if arguments[0] == "payflux":
            main()
        sys.path.insert(0, os.path.dirname(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush()  # as Python does at its end, whose other work takes longer than a command
    os._exit(code or 0)
"""


def without_reader(commands: Sequence[Sequence[str]], directory: Path, url: str) -> list[tuple[int, str]]:
    """Exit code and stderr of each command line when nobody reads its stdout; one process is warmed up for all."""
    environment = environ(url) | {"PAYFLUX_HASH_KEY": "a key of no meaning at all", "PYTHONPATH": str(EXAMPLES)}
    command = [sys.executable, "-c", PROGRAM, json.dumps([*map(list, commands)])]
    done = subprocess.run(
        command, env=environment, cwd=directory, capture_output=True, text=True, timeout=100, check=True
    )
    return [(code, told) for code, told in map(json.loads, done.stdout.splitlines())]


@pytest.fixture
def filled(server: Server, tmp_path: Path) -> Server:
    """A server with events and a dead letter, beside files of both kinds."""
    for seq in range(1, 200):
        add(server, seq, canonical())
    bury(server, canonical(), "max_deliveries", entry_id="9-0")
    (tmp_path / "events.jsonl").write_bytes(canonical() + b"\n")
    (tmp_path / "body.json").write_text(BODY)
    return server


def test_every_command_ends_when_nobody_reads_on(filled: Server, tmp_path: Path) -> None:
    """No traceback from any of them, and success where there was nothing else to complain of."""
    assert ARGUMENTS.keys() == every_command().keys() - NODES
    commands = {words: ("payflux", *words.split(), *arguments) for words, arguments in ARGUMENTS.items()}
    commands |= {"--help": ("payflux", "--help"), "tail --help": ("payflux", "tail", "--help")}
    found = without_reader([*commands.values()], tmp_path, filled.url)
    told: dict[str, Any] = dict(zip(commands, found, strict=True))
    for words, (code, said) in told.items():
        assert not any(word in said for word in ("Traceback", "Exception ignored", "Broken pipe")), (words, said)
        assert code in {0, 1, 2}, (words, code)
    assert {words: told[words][0] for words in WRITES} == dict.fromkeys(WRITES, 0)


def test_every_example_that_prints_ends_when_nobody_reads_on(filled: Server, tmp_path: Path) -> None:
    """`replay_by_id.py | head` among them, with a group and without one, and without a word."""
    redis = ("--redis", filled.url)
    commands = [
        ("replay_by_id.py", *redis),
        ("replay_by_id.py", *redis, "--group", "again"),
        ("analytics.py", "--database", str(tmp_path / "rollup.db"), "--show"),
        ("retry_advice.py", *redis, "--show"),
    ]
    lines = [(str(EXAMPLES / name), *arguments) for name, *arguments in commands]
    assert without_reader(lines, tmp_path, filled.url) == [(0, "")] * len(commands)
    assert filled.client.xpending("events_stream", "again")["pending"] == 199  # given again by the next run
