"""What commands are told: keys, batches and ranges are judged before anything is done."""

from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from payflux.cli import app
from payflux.errors import SettingsError
from payflux.ingest.gatekeeper import METRICS_TOKEN
from payflux.redis.address import REDIS_URL
from payflux.settings import Setting
from payflux.terminal.arguments import (
    batch_problems,
    key_problems,
    keys_of_environment,
    keys_to_send_with,
    range_problems,
    redis_settings,
    secret_to_use,
)
from payflux.terminal.ending import EXIT_USAGE
from payflux.webhooks.registry import secrets_of
from scripts.docs.tables import every_command, options


@pytest.mark.parametrize(
    ("keys", "problem"),
    [([], "none given"), ([""], "printable ASCII"), (["a b"], "printable ASCII"), (["kéy"], "printable ASCII")],
)
def test_keys_that_cannot_be_sent_are_named_once(keys: list[str], problem: str) -> None:
    """With the option they came by, and never with the key."""
    (line,) = key_problems(keys)
    assert line.startswith("--key")
    assert problem in line
    assert list(key_problems(["good-key"])) == []


@pytest.mark.parametrize(("batch", "wrong"), [(0, True), (1, False), (1000, False), (1001, True)])
def test_a_batch_has_its_bounds(batch: int, wrong: bool) -> None:
    """Those of a node."""
    assert [f"--batch {batch}: expected 1 to 1,000"] * wrong == list(batch_problems(batch))


def test_a_range_is_named_by_its_options() -> None:
    """What is no place, and an end before the beginning."""
    assert list(range_problems("0-0", "2026-01-09T12:00:00Z")) == []
    assert [line.split(":")[0] for line in range_problems("x", "y")] == ["--from x", "--to y"]
    assert list(range_problems("2-0", "1-0")) == ["--from 2-0 --to 1-0: expected the beginning before the end"]


@pytest.mark.parametrize(
    ("environ", "keys"),
    [
        ({}, []),
        ({"PAYFLUX_API_KEY": "one"}, ["one"]),
        ({"PAYFLUX_API_KEYS": " first , second", "PAYFLUX_API_KEY": "one"}, ["first"]),
    ],
)
def test_the_first_key_of_the_node_is_used(
    environ: dict[str, str], keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several keys take precedence over the one, as for the node."""
    for name in ("PAYFLUX_API_KEY", "PAYFLUX_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert keys_of_environment() == keys


def test_keys_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a node reads them; a file that is not there is no key, and names of other files disturb no operator."""
    for name in ("PAYFLUX_API_KEYS", "PAYFLUX_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "keys"
    monkeypatch.setenv("PAYFLUX_API_KEYS_FILE", str(file))
    assert keys_of_environment() == []
    redis_settings()
    file.write_text("first\nsecond\n")
    assert keys_of_environment() == ["first"]


def test_a_key_may_stand_in_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It comes before the environment; with `--key` too, without a file or with nothing in it, it is refused."""
    monkeypatch.setenv("PAYFLUX_API_KEY", "of-the-environment")
    file = tmp_path / "key"
    for content in (None, "", " , "):
        if content is not None:
            file.write_text(content)
        with pytest.raises(SettingsError, match=f"--key-file {file}: expected "):
            keys_to_send_with(None, str(file))
    file.write_text("first\nsecond\n")
    assert keys_to_send_with(None, str(file)) == ["first"]
    assert keys_to_send_with("given", None) == ["given"]
    assert keys_to_send_with(None, None) == ["of-the-environment"]
    with pytest.raises(SettingsError, match="--key and --key-file"):
        keys_to_send_with("given", str(file))


@pytest.mark.parametrize("command", [("send", "-"), ("simulate",), ("bench",)])
def test_every_command_with_a_key_takes_the_file(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that no key has to stand in the list of processes; what is wrong with it is named without the key."""
    assert app([*command, "--key-file", str(tmp_path / "none")], result_action="return_value") == EXIT_USAGE
    assert "--key-file" in capsys.readouterr().err
    assert {words for words, found in every_command().items() if "--key" in named(found)} == {
        "send",
        "simulate",
        "bench",
    }


def named(command: App) -> set[str]:
    """The options of a command."""
    return {argument.names[0] for argument in options(command)}


def test_an_operator_needs_redis_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the node that are wrong do not matter, those of Redis do."""
    monkeypatch.setenv("PAYFLUX_RATELIMIT_RPS", "none")
    monkeypatch.setenv("REDIS_URL", "redis://somewhere:1")
    assert redis_settings()[REDIS_URL] is not None
    monkeypatch.setenv("REDIS_URL", "somewhere")
    with pytest.raises(SettingsError):
        redis_settings()


@pytest.mark.parametrize("setting", [METRICS_TOKEN, secrets_of("stripe")], ids=["one", "several"])
def test_a_secret_is_taken_from_where_it_is_seen_least(
    setting: Setting[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option, its file, the variable or its file; two of the options, and a file that is none, are named."""
    file = tmp_path / "secret"
    file.write_text("in-a-file\n")
    monkeypatch.setenv(setting.name, "in-a-variable")
    assert secret_to_use("token", "given", None, setting) == "given"
    assert secret_to_use("token", None, str(file), setting) == "in-a-file"
    assert secret_to_use("token", None, None, setting) == "in-a-variable"
    monkeypatch.delenv(setting.name)
    assert not secret_to_use("token", None, None, setting)
    monkeypatch.setenv(f"{setting.name}_FILE", str(file))
    assert secret_to_use("token", None, None, setting) == "in-a-file"
    with pytest.raises(SettingsError, match="--token and --token-file"):
        secret_to_use("token", "given", str(file), setting)
    with pytest.raises(SettingsError, match="--token-file /none: expected a file that can be read"):
        secret_to_use("token", None, "/none", setting)
