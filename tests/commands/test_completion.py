"""`payflux completion`: scripts that shells accept and that know the commands."""

import subprocess
from pathlib import Path

import pytest

from needs import program
from payflux.cli import COMMANDS, app
from payflux.commands.completion import Shell, completion_of

COMPLETE = """
source "$1"
COMP_WORDS=(payflux "$2")
COMP_CWORD=1
COMP_LINE="payflux $2"
COMP_POINT=${#COMP_LINE}
function=$(complete -p payflux | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
$function payflux "$2" payflux
printf '%s\\n' "${COMPREPLY[@]}"
"""


def written(shell: Shell, capsys: pytest.CaptureFixture[str]) -> str:
    assert completion_of(app)(shell) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_accepts_its_script(shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`-n` reads without running; every command is in it."""
    script = written(shell, capsys)
    assert all(name in script for name in (*COMMANDS, "completion"))
    found = program(shell)
    file = tmp_path / "completion"
    file.write_text(script)
    done = subprocess.run([found, "-n", str(file)], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("typed", "expected"), [("", {*COMMANDS, "completion"}), ("se", {"send", "serve"})])
def test_bash_completes_the_commands(
    typed: str, expected: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after `payflux <Tab>`."""
    file = tmp_path / "completion.bash"
    file.write_text(written("bash", capsys))
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", str(file), typed], capture_output=True, text=True, timeout=20
    )
    found = set(done.stdout.split())
    assert expected <= found, done.stderr
    assert all(name.startswith(typed) for name in found)
