"""Running `payflux incidents` in this process."""

import pytest

from operator_commands import Run
from payflux.cli import app
from servers import Server


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], server: Server) -> Run:
    """Runs `payflux incidents …` in this process: exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.delenv("REDIS_ADDR", raising=False)
        monkeypatch.setenv("REDIS_URL", server.url)
        code = app(["incidents", *arguments], result_action="return_value")
        shown = capsysbinary.readouterr()
        return code, shown.out.decode(), shown.err.decode()

    return run
