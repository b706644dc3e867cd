"""How commands end: what stops one becomes one line on stderr and an exit code."""

import subprocess
import sys

import pytest

from payflux.terminal.ending import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE

RUN = """
import sys
from payflux.errors import SettingsError, StreamUnavailable
from payflux.terminal.ending import complain, operate, refuse

async def main():
    {body}

sys.exit(operate(main))
"""


def ended(body: str) -> tuple[int, str]:
    """Exit code and stderr of a command that does this."""
    found = subprocess.run([sys.executable, "-c", RUN.format(body=body)], capture_output=True, text=True, timeout=60)
    return found.returncode, found.stderr


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("return 0", 0, ""),
        ("raise KeyboardInterrupt", EXIT_INTERRUPTED, ""),
        ("raise StreamUnavailable('redis_oom', 'used\\x1b[31m up')", EXIT_FAILED, "raise maxmemory"),
        ("raise StreamUnavailable('redis_new', 'what')", EXIT_FAILED, "payflux check"),
        ("raise OSError(28, 'No space left on device')", EXIT_FAILED, "cannot write: No space left on device"),
        ("raise BrokenPipeError", 0, ""),
        ("return refuse(SettingsError(['one', 'two']))", EXIT_USAGE, "payflux: one\npayflux: two\n"),
        ("return complain('three', 2)", EXIT_USAGE, "payflux: three\n"),
    ],
)
def test_what_stops_a_command_is_a_line_and_a_code(body: str, code: int, words: str) -> None:
    """No traceback, no escape sequence, a hint where there is one, and nothing at all where nothing is wrong."""
    found, stderr = ended(body)
    assert found == code
    assert words in stderr
    assert bool(stderr) == bool(words)
    assert "Traceback" not in stderr
    assert "\x1b" not in stderr
