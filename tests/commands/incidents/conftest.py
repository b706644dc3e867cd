"""Running `payflux incidents` in this process."""

import pytest

from operator_commands import Run, running
from servers import Server


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], server: Server) -> Run:
    """Runs `payflux incidents …` in this process: exit code, stdout and stderr."""
    return running("incidents", monkeypatch, capsysbinary, server)
