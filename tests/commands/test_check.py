"""`payflux check`: each trouble is found, named with its fix, and decides the exit code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nodes import event
from operator_commands import add, bury, canonical, environ, on_a_terminal, payflux
from payflux.commands.check import check
from payflux.terminal.ending import EXIT_USAGE
from real_parts import MakeNode
from servers import Server, until

NODE = {"PAYFLUX_API_KEY": "key-of-the-node", "PAYFLUX_CHECKOUT_ENABLED": "false"}


class Checker:
    """Runs the command in this process, with an environment of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str) -> None:
        self._monkeypatch, self._capsys, self.url = monkeypatch, capsys, url

    def __call__(self, *, strict: bool = False, **variables: str) -> tuple[int, dict[str, Any]]:
        """Exit code and report, with findings by name."""
        code = self._run(variables, strict=strict, json=True)
        report: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        report["found"] = {finding["check"]: finding for finding in report["findings"]}
        return code, report

    def repair(self, *, yes: bool = False) -> tuple[int, str]:
        """Exit code and what it says."""
        return self._run({}, repair=True, yes=yes), self._capsys.readouterr().out

    def refuses(self, **options: bool) -> int:
        """The exit code."""
        return self._run({}, **options)

    def text(self, **variables: str) -> tuple[int, str]:
        """Exit code and what a pipe gets."""
        return self._run(variables, strict=False, json=False), self._capsys.readouterr().out

    def _run(self, variables: dict[str, str], **options: Any) -> int:
        wanted = {name: value for name, value in (environ(self.url) | NODE | variables).items() if value}
        with self._monkeypatch.context() as patch:
            for name in ("PAYFLUX_API_KEYS", "PAYFLUX_EXPORT_MODE", "PAYFLUX_EXPORT_FILE", "REDIS_ADDR"):
                patch.delenv(name, raising=False)
            for name, value in wanted.items():
                patch.setenv(name, value)
            return check(**options)


@pytest.fixture
def checker(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: Server) -> Checker:
    """The command on the test's server."""
    return Checker(monkeypatch, capsys, server.url)


def test_a_healthy_server_passes(
    every_server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On every supported server, a fresh one with AOF passes strictly, and the loss is told."""
    code, report = Checker(monkeypatch, capsys, every_server.url)(strict=True)
    assert code == 0, report
    assert {finding["verdict"] for finding in report["findings"]} == {"pass"}
    assert "2 seconds" in report["would_lose"]
    assert report["found"]["version"]["reason"].split()[0] in ("Redis", "Valkey")


TROUBLES: dict[str, tuple[dict[str, str], str, str, str]] = {
    "no AOF": ({"appendonly": "no"}, "aof", "fail", "appendonly yes"),
    "appendfsync no": ({"appendfsync": "no"}, "fsync", "warn", "everysec"),
    "no fsync while rewriting": ({"no-appendfsync-on-rewrite": "yes"}, "fsync", "warn", "no-appendfsync-on-rewrite no"),
    "allkeys-lru": ({"maxmemory-policy": "allkeys-lru"}, "eviction", "fail", "noeviction"),
    "volatile-ttl": ({"maxmemory-policy": "volatile-ttl"}, "eviction", "warn", "noeviction"),
    "full": ({"maxmemory": "100kb"}, "writes", "fail", "raise maxmemory"),
    "nearly full": ({"maxmemory": "100kb"}, "memory", "fail", "raise maxmemory"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_with_the_configuration_of_redis_is_named(trouble: str, checker: Checker, server: Server) -> None:
    """The finding has its verdict and a fix; a failure gives 1, a warning 0, and 1 when strict."""
    config, name, verdict, fix = TROUBLES[trouble]
    for parameter, value in config.items():
        server.client.config_set(parameter, value)
    code, report = checker()
    assert report["found"][name]["verdict"] == verdict
    assert fix in report["found"][name]["fix"]
    assert code == (verdict == "fail")
    assert checker(strict=True)[0] == 1


@pytest.mark.parametrize(
    ("config", "loss"),
    [
        ({"appendonly": "no", "save": ""}, "everything: it writes nothing to disk"),
        ({"appendonly": "no", "save": "60 1"}, "everything since its last snapshot"),
        ({"appendfsync": "always"}, "nothing it has accepted"),
        ({"appendfsync": "no"}, "30 seconds"),
    ],
)
def test_what_a_crash_would_lose_is_said(config: dict[str, str], loss: str, checker: Checker, server: Server) -> None:
    """In plain words, by what Redis does with its data."""
    for parameter, value in config.items():
        server.client.config_set(parameter, value)
    assert loss in checker()[1]["would_lose"]
    assert re.search(f"In a crash this Redis would lose: .*{loss}", checker.text()[1])


def test_a_replica_fails(checker: Checker, server: Server) -> None:
    """A replica is told to be one, with the address of its primary."""
    server.client.replicaof("127.0.0.1", 1)
    code, report = checker()
    assert code == 1
    assert report["found"]["role"]["verdict"] == report["found"]["writes"]["verdict"] == "fail"
    assert "127.0.0.1:1" in report["found"]["role"]["fix"]


@pytest.mark.parametrize("login", ["", ":wrong-password@", "nobody:wrong-password@"])
def test_a_wrong_password_fails_and_is_not_shown(login: str, checker: Checker, server: Server) -> None:
    """The finding says where the password belongs."""
    server.client.config_set("requirepass", "right-password")
    code, text = checker.text(REDIS_URL=f"unix://{login}{server.path}")
    assert code == 1
    assert "fail  redis:" in text
    assert "REDIS_URL" in text
    assert "wrong-password" not in text
    assert checker(REDIS_URL=f"unix://:right-password@{server.path}")[0] == 0


def test_a_server_that_is_down_fails(checker: Checker, server: Server) -> None:
    """What does not need Redis is looked at all the same."""
    server.kill()
    code, report = checker()
    assert code == 1
    assert report["found"]["redis"]["verdict"] == "fail"
    assert report["found"]["export_stdout"]["verdict"] == "pass"


def test_a_full_disk_fails(checker: Checker, full_disk: Path) -> None:
    """A destination without space is found without writing to it."""
    code, report = checker(PAYFLUX_EXPORT_MODE="file", PAYFLUX_EXPORT_FILE=str(full_disk / "events.jsonl"))
    assert code == 1
    assert "No space left" in report["found"]["export_file"]["reason"]


@pytest.mark.parametrize("content", [None, b"a line\n"])
def test_a_good_export_file_passes_and_is_left_alone(
    content: bytes | None, checker: Checker, directory: Path, server: Server
) -> None:
    """The check neither makes the file nor changes it, and nothing else is left in its directory."""
    logs = directory / "logs"
    logs.mkdir()
    if content is not None:
        (logs / "events.jsonl").write_bytes(content)
    before = {file.name: file.read_bytes() for file in logs.iterdir()}
    code, report = checker(PAYFLUX_EXPORT_MODE="both", PAYFLUX_EXPORT_FILE=str(logs / "events.jsonl"))
    assert (code, report["found"]["export_file"]["verdict"]) == (0, "pass")
    assert {file.name: file.read_bytes() for file in logs.iterdir()} == before
    assert server.client.keys() == [b"{events_stream}:state"]


def test_keys_of_another_type_fail(checker: Checker, server: Server) -> None:
    """A stream that is a string is named, and so is a state that is a list."""
    server.client.set("events_stream", "x")
    server.client.rpush("{events_stream}:state", "x")
    code, report = checker()
    assert code == 1
    assert "events_stream is a string" in report["found"]["keys"]["reason"]
    assert "{events_stream}:state is a list" in report["found"]["keys"]["reason"]


def test_wrong_configuration_is_listed_whole(checker: Checker) -> None:
    """Every problem is a finding, and the exit code is 2."""
    code, text = checker.text(PAYFLUX_WORKERS="many", PAYFLUX_API_KEY="a b", HTTP_ADDR="nowhere")
    assert code == 2
    assert all(f"fail  configuration: {name}" in text for name in ("PAYFLUX_WORKERS", "HTTP_ADDR", "PAYFLUX_API_KEY"))


def test_no_key_is_needed_to_look(checker: Checker) -> None:
    """Keys, and that of Stripe, are needed by who serves; an operator's shell has none."""
    code, report = checker(PAYFLUX_API_KEY="", PAYFLUX_CHECKOUT_ENABLED="true", STRIPE_API_KEY="")
    assert (code, report["found"]["configuration"]["verdict"]) == (0, "pass")


def test_wrong_configuration_hides_nothing_of_redis(checker: Checker) -> None:
    """Redis is looked at all the same, unless it is its address that is wrong; the hint comes once."""
    code, report = checker(PAYFLUX_API_KEY="a b", PAYFLUX_STREAM_MAXLEN="many", PAYFLUX_CLAIM_IDLE="5")
    assert code == 2
    assert [finding["check"] for finding in report["findings"]].count("configuration") == 3
    assert report["found"]["redis"]["verdict"] == report["found"]["aof"]["verdict"] == "pass"
    assert "2 seconds" in report["would_lose"]
    assert sum("docs/configuration.md" in finding["fix"] for finding in report["findings"]) == 1
    code, report = checker(PAYFLUX_API_KEY="", REDIS_URL="http://localhost")
    assert (code, set(report["found"])) == (2, {"configuration"})


def test_an_unknown_variable_is_a_warning(checker: Checker) -> None:
    """It is ignored by the node, and may be meant for another version."""
    code, report = checker(PAYFLUX_COLOUR="blue")
    assert code == 0
    assert report["result"] == "warn"


def test_quotation_marks_around_keys_are_a_warning(checker: Checker) -> None:
    """They lock out every producer, and stop nothing else."""
    code, report = checker(PAYFLUX_API_KEYS='"a-key","b-key"')
    assert (code, report["result"]) == (0, "warn")
    assert any("PAYFLUX_API_KEYS: a value begins or ends" in finding["reason"] for finding in report["findings"])


def test_a_stream_that_nobody_reads_is_found(checker: Checker, server: Server) -> None:
    """A stream whose unread entries are about to be trimmed fails; one just waiting for its consumer warns."""
    for seq in range(1, 21):
        add(server, seq, canonical())
    code, report = checker()
    assert (code, report["found"]["group"]["verdict"]) == (0, "warn")
    assert "payflux serve" in report["found"]["group"]["fix"]
    code, report = checker(PAYFLUX_STREAM_MAXLEN="20")
    assert (code, report["found"]["stream"]["verdict"]) == (1, "fail")
    assert "20 of them unread" in report["found"]["stream"]["reason"]
    assert checker(PAYFLUX_STREAM_MAXLEN="0")[1]["found"]["stream"]["verdict"] == "warn"


def test_dead_letters_are_counted_by_reason(checker: Checker, server: Server) -> None:
    """They are a warning with the command to look at them."""
    for reason in ("invalid_json", "max_deliveries", "invalid_json"):
        bury(server, b"x", reason)
    code, report = checker()
    assert code == 0
    assert report["found"]["dead_letters"]["reason"] == "3: 2 invalid_json, 1 max_deliveries"
    assert checker(strict=True)[0] == 1


def test_a_running_node_passes(checker: Checker, server: Server, make_node: MakeNode) -> None:
    """With a node at work the group is consumed, and groups of others are shown."""
    node = make_node()
    assert node.post(event()) == 202
    until(node.drained, "the node to drain")
    server.client.xgroup_create("events_stream", "analytics", id="0")
    server.client.xreadgroup("analytics", "one", {"events_stream": ">"})
    code, report = checker(strict=True)
    assert code == 0, report
    assert "consumed now" in report["found"]["group"]["reason"]
    assert "analytics (1 pending)" in report["found"]["group"]["reason"]


@pytest.mark.process
def test_a_terminal_gets_a_table(server: Server) -> None:
    """The real command: a coloured table on a terminal, one plain line for each finding in a pipe."""
    environment = environ(server.url) | NODE
    code, shown = on_a_terminal(environment, "check")
    assert code == 0
    assert "\x1b[32mpass\x1b[0m" in shown
    assert "Result: pass" in shown
    piped = payflux(environment, "check")
    assert piped.returncode == 0
    assert b"\x1b" not in piped.stdout
    assert b"pass  eviction: noeviction" in piped.stdout
    assert not piped.stderr


def test_one_refused_question_hides_no_other(checker: Checker, server: Server) -> None:
    """A user that may do little is told each thing it lacks, and what can be known is."""
    client: Any = server.client
    rights = (
        "~events_stream*",
        "~{events_stream}:marks:*",
        "~{events_stream}:state",
        "+@all",
        "-time",
        "-info",
        "-config",
    )
    client.execute_command("ACL", "SETUSER", "app", "on", "nopass", *rights)
    code, report = checker(REDIS_URL=f"unix://app@{server.path}")
    assert code == 1
    found = report["found"]
    assert {"aof", "memory", "clock"} <= {name for name, one in found.items() if one["verdict"] == "warn"}
    assert (found["writes"]["verdict"], found["keys"]["verdict"], found["progress"]["verdict"]) == (
        "pass",
        "fail",
        "fail",
    )
    assert "{events_stream}:ledger" in found["keys"]["reason"]
    assert "ACL SETUSER" in found["progress"]["fix"]


def test_strange_values_are_shown_and_repaired(checker: Checker, server: Server) -> None:
    """First what would be done, then it is done, then there is nothing to do."""
    client: Any = server.client
    for seq in range(1, 4):
        add(server, seq, canonical())
    client.hset("{events_stream}:state", "seq", "many")
    code, report = checker()
    assert (code, report["found"]["values"]["verdict"]) == (1, "fail")
    assert "seq of {events_stream}:state is 'many' and should be '3'" in report["found"]["values"]["reason"]
    assert report["found"]["values"]["fix"] == "payflux check --repair, then --repair --yes"
    assert checker.repair() == (
        0,
        "{events_stream}:state seq: 'many' would become '3'\nnothing was changed; --repair --yes does it\n",
    )
    assert client.hget("{events_stream}:state", "seq") == b"many"
    assert checker.repair(yes=True) == (0, "{events_stream}:state seq: 'many' is now '3'\n")
    assert client.hget("{events_stream}:state", "seq") == b"3"
    assert checker.repair() == (0, "nothing to repair\n")


@pytest.mark.parametrize("options", [{"yes": True}, {"repair": True, "json": True}, {"repair": True, "strict": True}])
def test_options_that_do_not_go_together(options: dict[str, bool], checker: Checker) -> None:
    """A usage error, before anything is asked."""
    assert checker.refuses(**options) == EXIT_USAGE
