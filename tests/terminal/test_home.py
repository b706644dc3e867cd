"""Where `payflux dev` keeps what it made, as other commands find it."""

from pathlib import Path

import pytest

from payflux.terminal.home import WEBHOOK_FILE, dev_home, webhook_secret_of_dev


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of states of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_the_secret_is_that_of_the_file(state: Path) -> None:
    """None before `payflux dev` ran, and none where it is no text."""
    assert dev_home() == state / "payflux"
    assert webhook_secret_of_dev() == ""
    dev_home().mkdir()
    (dev_home() / WEBHOOK_FILE).write_text("0123\n")
    assert webhook_secret_of_dev() == "0123"
    (dev_home() / WEBHOOK_FILE).write_bytes(b"\xff")
    assert webhook_secret_of_dev() == ""


def test_without_a_state_it_lies_below_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the XDG base directories say."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert dev_home() == tmp_path / ".local" / "state" / "payflux"
