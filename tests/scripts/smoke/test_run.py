"""`make smoke`: a node of its own, checked and ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from real_parts import binary_or_skip
from scripts.smoke import run as smoke

SCRIPT = Path(smoke.__file__)


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, with its temporary files where they can be looked at."""
    environ = {"PATH": os.environ["PATH"], "TMPDIR": str(directory)}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], env=environ, capture_output=True, text=True, timeout=90
    )


@pytest.mark.process
def test_smoke_passes_on_a_real_node(directory: Path) -> None:
    """The node starts, every check passes with the lines compared, and nothing is left behind."""
    binary_or_skip("valkey-9")
    done = run(directory, "--events", "300")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nPASS: " in done.stdout
    assert "LINES WERE NOT COMPARED" not in done.stdout
    assert "events exported                                           300        300  ok" in done.stdout
    assert not list(directory.iterdir())


@pytest.mark.process
def test_smoke_passes_the_checks_exit_code_on(directory: Path) -> None:
    """Arguments and exit code are those of the load check: 2 for what it does not know."""
    binary_or_skip("valkey-9")
    done = run(directory, "--events", "no-number")
    assert done.returncode == 2
    assert "invalid int value: 'no-number'" in done.stderr
    assert not list(directory.iterdir())


def test_a_node_that_cannot_start_is_reported(directory: Path) -> None:
    """A node that ends at once, for an address that is none, fails the command with its own words."""
    with pytest.raises(smoke.NodeFailed, match="REDIS_URL"):
        smoke.Node(directory, "nonsense://")
