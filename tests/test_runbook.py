"""The runbook: a section for each alert, names that exist, links that lead somewhere, and commands that run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import MakeNode
from nodes import KEY, event
from operator_commands import bury, canonical
from payflux.node import SETTINGS
from queries import ROOT, alerts, exposed
from servers import Server, until

RUNBOOK = ROOT / "RUNBOOK.md"
ALERTING = ROOT / "docs" / "alerting.md"
PAGES = {path.name: path.read_text() for path in (RUNBOOK, ALERTING)}
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXPECTED = re.compile(r"^.*?\s#.*→ (.+)$")
PARTS = ("**Means.**", "**See.**", "**Do.**", "**Escalate**")
PROCEDURES = {
    *("Stuck messages", "Redis outage", "Export failure", "Memory pressure", "Throttled traffic"),
    *("Key rotation and revocation", "Dead-letter work", "Replay", "Failover", "Upgrade and rollback", "Tuning"),
}


def sections(part: str) -> dict[str, str]:
    """The sections of a part of the runbook, by heading."""
    text = PAGES["RUNBOOK.md"].partition(f"\n# {part}\n")[2].partition("\n# ")[0]
    found = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_each_alert_has_a_section_and_each_section_an_alert() -> None:
    """With what it means, how to see it, what to do and when to call somebody."""
    assert set(sections("Alerts")) == set(alerts())
    for name, text in sections("Alerts").items():
        assert [part for part in PARTS if part not in text] == [], name
        assert BLOCK.search(text.partition("**See.**")[2].partition("**Do.**")[0]), name


def test_the_procedures_are_there() -> None:
    """Every one an operator needs, each with a command."""
    assert set(sections("Procedures")) == PROCEDURES
    assert all(BLOCK.search(text) for text in sections("Procedures").values())


@pytest.mark.parametrize("page", PAGES)
def test_every_name_exists(page: str) -> None:
    """Metrics and variables are those of the code, alerts those that ship."""
    text = PAGES[page]
    metrics = set(re.findall(r"\bpayflux_[a-z_]+[a-z]\b", text))
    assert {name for name in metrics if name not in exposed()} == set()
    variables = set(re.findall(r"\b(?:PAYFLUX|REDIS)_[A-Z_]*[A-Z]\b", text))
    whole = {setting.name for setting in SETTINGS}
    assert {name for name in variables if not any(one.startswith(name) for one in whole)} == set()
    named = set(re.findall(r"\b(?:ProcessorRisk|PayFlux)[A-Z]\w+", text))
    assert named <= set(alerts())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """To files that are there, and to headings they have."""
    folder = RUNBOOK.parent if page == RUNBOOK.name else ALERTING.parent
    targets = re.findall(r"\]\(([^)\s]+)\)", PAGES[page])
    assert targets
    for target in targets:
        name, _, anchor = target.partition("#")
        path = folder / name if name else folder / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_anchors_of_the_alerts_are_headings() -> None:
    """What `runbook_url` says is where it leads."""
    wanted = {rule["annotations"]["runbook_url"].partition("#")[2] for rule in alerts().values()}
    assert wanted <= anchors(RUNBOOK)


def test_the_table_of_alerts_is_that_of_the_rules() -> None:
    """Name, waiting and severity of each, in the order of the file."""
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (at once|\w+) \| (\w+) \|$", PAGES["alerting.md"], re.MULTILINE)
    rules = alerts().items()
    assert rows == [(name, rule.get("for", "at once"), rule["labels"]["severity"]) for name, rule in rules]


def commands() -> list[str]:
    """Each line of the blocks that may be run."""
    return [line for block in BLOCK.findall(PAGES["RUNBOOK.md"]) for line in block.splitlines()]


@pytest.mark.process
def test_the_commands_run_and_show_what_they_say(make_node: MakeNode, server: Server, directory: Path) -> None:
    """On a node with some traffic and a dead letter: no command fails, and what stands behind an arrow is shown."""
    export = {"PAYFLUX_EXPORT_MODE": "file", "PAYFLUX_EXPORT_FILE": str(directory / "events.jsonl")}
    node = make_node(export)
    node.post_batch([event() for _ in range(20)])
    bury(server, canonical(), "max_deliveries")
    until(lambda: node.metrics()['events_exported_total{destination="file"}'] == 20, "the lines")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = node.environ | {"PATH": path, "KEY": KEY, "HTTP_ADDR": f"127.0.0.1:{node.port}"}
    shown = {}
    for line in dict.fromkeys(commands()):
        shown[line] = run(line.replace("localhost:8080", f"127.0.0.1:{node.port}"), directory, environ)
    assert len(shown) > 45
    assert sum("→" in line for line in shown) > 25
    assert "would requeue" in next(text for line, text in shown.items() if "# says what it would do" in line)
    until(lambda: node.metrics()["dlq_depth"] == 0 and node.drained(), "the dead letter to be put back")
    assert (directory / "again.jsonl").read_text().count('"replayed":true') >= 20
    assert server.client.xlen("events_again") >= 20


def run(line: str, directory: Path, environ: dict[str, str]) -> str:
    """One command line; all it says. Fails the test where it fails, or does not show what stands behind its arrow."""
    command = ["bash", "-eu", "-o", "pipefail", "-c", line]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{line}\nfails\n{said}"
    found = EXPECTED.match(line)
    assert not found or found[1] in said, f"{line}\nshows\n{said}"
    return said


@pytest.mark.parametrize(
    "line", ["false", "false | true", "echo one  # → two", "echo $UNSET", "echo one # the other → two"]
)
def test_a_command_that_fails_or_shows_something_else_is_noticed(line: str, directory: Path) -> None:
    """The run above is no blind one."""
    assert run("echo one two  # → two", directory, {"PATH": os.environ["PATH"]}) == "one two\n"
    with pytest.raises(AssertionError, match=r"fails|shows"):
        run(line, directory, {"PATH": os.environ["PATH"]})
