"""The runbook has a section for each alert and driver, the page on alerting a row; the rest is as for every page."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from needs import program
from payflux.risk.drivers import DRIVERS
from queries import ROOT, SELECTOR, alerts, objections
from real_parts import MakeNode

RUNBOOK = ROOT / "RUNBOOK.md"
ALERTING = ROOT / "docs" / "alerting.md"
PAGES = {path.name: path.read_text() for path in (RUNBOOK, ALERTING)}
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROMQL = re.compile(r"^```promql\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DRIVER_PARTS = ("**Means.**", "**See.**", "**Do.**", "**Reroute**", "**Do not**")
OF_ALL = "nothing_arrives"
"""The section on what concerns all processors."""

CONTRACT = {
    *("high_failure_rate", "retry_pressure_spike", "timeout_clustering", "auth_failure_cluster", "traffic_volatility"),
    *("geo_entropy_increase", "failure_clustering", "segment_degradation", "latency_increase", "volume_drop"),
    *("card_testing_suspected", "network_retry_limit_near", "network_retry_violation"),
    *("nominal_behavior", "insufficient_data"),
}
"""The drivers that are promised."""

RAISED = {"PayFluxIncident", "PayFluxTest"}
"""What Alertmanager is told by the node itself."""
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


def test_each_driver_has_a_section_and_each_section_a_driver() -> None:
    """With what it means, how to see it by a command and in Prometheus, what to do, when to reroute and when not to."""
    found = sections("Drivers")
    assert set(found) == CONTRACT | set(DRIVERS) | {OF_ALL}
    for name, text in found.items():
        assert [part for part in DRIVER_PARTS if part not in text] == [], name
        see = text.partition("**See.**")[2].partition("**Do.**")[0]
        assert BLOCK.search(see), name
        assert PROMQL.search(see), name


def expressions() -> Iterator[str]:
    """What the runbook asks Prometheus: one expression a line, continued where a line is indented."""
    for block in PROMQL.findall(PAGES["RUNBOOK.md"]):
        yield from re.split(r"\n(?! )", block.strip())


@pytest.mark.process
def test_a_live_node_has_what_the_expressions_ask_for(make_node: MakeNode) -> None:
    """Every metric is one that a node shows, and every label one that it has."""
    with urlopen(f"http://127.0.0.1:{make_node().port}/metrics", timeout=10) as answer:
        shown = set(re.findall(r"^# TYPE (\w+) ", answer.read().decode(), re.MULTILINE))
    asked = {name for one in expressions() for name, _ in SELECTOR.findall(one)}
    assert asked <= shown
    assert [objection for one in expressions() for objection in objections(one)] == []


def test_prometheus_can_read_the_expressions(tmp_path: Path) -> None:
    """Each parses, as `promtool` says."""
    promtool = program("promtool")
    rules = [{"record": f"runbook:{number}", "expr": one} for number, one in enumerate(expressions())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "runbook", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_anchors_of_the_alerts_are_headings() -> None:
    """What `runbook_url` says is where it leads."""
    wanted = {rule["annotations"]["runbook_url"].rpartition("#")[2] for rule in alerts().values()}
    assert wanted - {"{{ $labels.driver }}"} <= anchors(RUNBOOK)
    assert {*DRIVERS, OF_ALL} <= anchors(RUNBOOK)


def test_no_alert_is_invented() -> None:
    """Both pages name alerts that ship."""
    named = {name for text in PAGES.values() for name in re.findall(r"\b(?:ProcessorRisk|PayFlux)[A-Z]\w+", text)}
    assert named - (RAISED - set(alerts())) == set(alerts())


def test_the_table_of_alerts_is_that_of_the_rules() -> None:
    """Name, waiting and severity of each, in the order of the file."""
    row = r"^\| `(\w+)` \| .+ \| (at once|\w+) \| (\w+(?: or \w+)?) \|$"
    rules = alerts().items()
    assert re.findall(row, PAGES["alerting.md"], re.MULTILINE) == [
        (name, rule.get("for", "at once"), severities(rule["labels"]["severity"])) for name, rule in rules
    ]


def severities(label: str) -> str:
    """In words: an alert may have that of its incident."""
    return " or ".join(dict.fromkeys(re.findall("critical|warning", label)))
