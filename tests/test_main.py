"""The program's first steps: what its caller left open, and what it closed."""

import subprocess
import sys
from pathlib import Path

import pytest

from nodes import event
from real_parts import MakeNode
from servers import Server, until


@pytest.mark.process
def test_lines_for_a_closed_stdout_are_counted_and_go_nowhere_else(make_node: MakeNode, server: Server) -> None:
    """Started with `<&- >&- 2>&-`: the event is stored, its line is counted as not exported, no socket gets it."""
    node = make_node()  # tells the environment and gives a port
    script = f"exec {sys.executable} -m payflux serve <&- >&- 2>&-"
    environ = node.environ | {"HTTP_ADDR": f"127.0.0.1:{node.port}"}
    node.stop()
    with subprocess.Popen(["sh", "-c", script], env=environ, start_new_session=True) as process:
        node.process = process
        until(lambda: node.get("/health")[0] == 200, "health", 40)
        assert node.post(event()) == 202
        until(lambda: node.metrics()['export_errors_total{destination="stdout",reason="closed"}'] == 1, "the count")
        assert node.metrics()['events_exported_total{destination="stdout"}'] == 0
        assert server.client.xlen("events_stream") == 1
        assert node.stop() == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_ends_well_whatever_is_closed(closed: str, tmp_path: Path) -> None:
    """No traceback, and nothing is written into a file that got the number of stdout."""
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m payflux config --json {closed}"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in ({1} if ">&-" in closed.replace("2>&-", "") else {0})


@pytest.mark.parametrize("command", ["", "config"])
def test_an_encoding_that_cannot_name_every_file_is_a_configuration_error(command: str, tmp_path: Path) -> None:
    """`LC_ALL=C` with Python's UTF-8 mode off: exit 2 and one line that says what to set, whatever was asked for."""
    done = subprocess.run(
        [sys.executable, "-m", "payflux", *command.split()],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "PYTHONUTF8=1" in done.stderr
