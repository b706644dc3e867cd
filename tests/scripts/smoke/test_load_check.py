"""The command of the load check tells a good node from a bad one."""

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.smoke import load_check
from scripts.smoke.checks import Finding
from toy_node import KEYS, toy_node

SCRIPT = Path(load_check.__file__).parent.parent / "smoke_load.sh"
EVENTS = 200


class Run(NamedTuple):
    code: int
    out: str
    err: str


async def smoke(*arguments: str) -> Run:
    """Run the script as a user does."""
    process = await asyncio.create_subprocess_exec(
        str(SCRIPT),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
    )
    try:
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
        code = await process.wait()
    return Run(code, out.decode(), err.decode())


QUICK = ("--events", str(EVENTS), "--drain", "0.5")


async def test_a_good_node_passes(tmp_path: Path) -> None:
    """Exit code 0, every check ok, both keys used, and a quiet stderr."""
    lines = tmp_path / "lines"
    async with toy_node(lines) as node:
        run = await smoke(node.url, ",".join(KEYS), str(lines), *QUICK)
        keys = Counter(headers["authorization"] for _, headers, _ in node.requests)
    assert (run.code, run.err) == (0, ""), run
    assert "\nPASS: " in run.out
    assert "FAIL" not in run.out
    assert len(keys) == 2
    assert max(keys.values()) - min(keys.values()) <= 1


async def test_two_runs_do_not_disturb_each_other(tmp_path: Path) -> None:
    """A second run with the same seed sends new events, and ignores the lines of the first."""
    lines = tmp_path / "lines"
    async with toy_node(lines) as node:
        options = load_check._options([node.url, KEYS[0], str(lines), *QUICK])
        for _ in range(2):
            assert [finding for finding in await load_check.run(options) if not finding.ok] == []
        assert len(node.marks) == 2 * EVENTS


async def failed_of(lines: Path, *faults: str) -> list[Finding]:
    async with toy_node(lines, *faults) as node:
        options = load_check._options([node.url, ",".join(KEYS), str(lines), *QUICK])
        return [finding for finding in await load_check.run(options) if not finding.ok]


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("drop", "stored events without a line"),
        ("double", "events with several lines"),
        ("alter", "lines that differ from what was sent"),
        ("swap", "seq that do not rise"),
        ("mark", "new events called duplicate"),
        ("metric", "accepted_total"),
        ("strange", "answers outside the interface"),
    ],
)
async def test_a_faulty_node_fails(tmp_path: Path, fault: str, check: str) -> None:
    """Each fault of a living node is found, by the check that is meant to find it."""
    assert check in [finding.name for finding in await failed_of(tmp_path / "lines", fault)]


@pytest.mark.parametrize("fault", ["some_429", "some_503", "lost_answer"])
async def test_a_node_that_refuses_for_a_while_passes(tmp_path: Path, fault: str) -> None:
    """Being limited, unavailable or cut off now and then is no fault, when every event is stored once in the end."""
    assert await failed_of(tmp_path / "lines", fault) == []


async def test_a_node_that_never_accepts_fails_at_the_deadline(tmp_path: Path) -> None:
    """The check ends and fails; it neither hangs nor passes on nothing."""
    begun = time.monotonic()
    async with toy_node(tmp_path / "lines", "all_503") as node:
        run = await smoke(node.url, KEYS[0], str(tmp_path / "lines"), *QUICK, "--deadline", "0.5")
    assert run.code == 1
    assert "not everything was sent" in run.out
    assert time.monotonic() - begun < 20


async def test_a_faulty_node_fails_the_command(tmp_path: Path) -> None:
    """Exit code 1, and the table names check and culprit."""
    lines = tmp_path / "lines"
    async with toy_node(lines, "double") as node:
        run = await smoke(node.url, KEYS[0], str(lines), *QUICK)
    assert run.code == 1
    assert "events with several lines" in run.out
    assert run.out.splitlines()[-1].startswith("FAIL: ")


async def test_without_lines_it_says_what_was_not_proved(tmp_path: Path) -> None:
    """The metrics alone can pass, but nobody is left believing that lines were compared."""
    async with toy_node(tmp_path / "lines", "alter") as node:
        run = await smoke(node.url, KEYS[0], *QUICK)
    assert run.code == 0
    assert "THE LINES WERE NOT COMPARED" in run.out


async def test_wrong_usage_and_unreachable_nodes_exit_with_2(tmp_path: Path) -> None:
    """What could not even begin is told apart from what failed."""
    async with toy_node(tmp_path / "lines") as node:
        runs = await asyncio.gather(
            smoke(),
            smoke(node.url, KEYS[0], "--events", "0"),
            smoke("https://127.0.0.1", KEYS[0]),
            smoke(node.url, KEYS[0], str(tmp_path / "none"), *QUICK),
        )
    gone = await smoke(node.url, KEYS[0], *QUICK)
    assert [run.code for run in (*runs, gone)] == [2] * 5
    assert all(run.err for run in (*runs, gone))
