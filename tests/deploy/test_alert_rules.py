"""The alert rules that ship: checked and unit-tested by promtool, each of them shown to be needed and to be held."""

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from needs import program
from payflux.risk.incidents.record import RUNBOOK
from queries import ROOT, RULES, alerts, objections

PROMETHEUS = ROOT / "deploy" / "prometheus"
UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"


def ran(*command: str | Path) -> tuple[int, str]:
    """A program run to its end: its exit code and all it said."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def copies(directory: Path, **changes: Any) -> list[Path]:
    """The unit tests beside a copy of the rules in which every alert is changed in the same way."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        group["rules"] = [rule | changes for rule in group["rules"]]
    for folder in ("rules", "tests"):
        (directory / folder).mkdir()
    (directory / "rules" / RULES.name).write_text(yaml.safe_dump(rules))
    return [Path(shutil.copy(path, directory / "tests")) for path in UNIT_TESTS]


def test_the_rules_are_well_formed() -> None:
    """`promtool check rules` finds nothing wrong, and nothing doubled."""
    code, said = ran(program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert code == 0, said
    assert f"{len(alerts())} rules found" in said


def test_the_rules_do_what_their_tests_say() -> None:
    """`promtool test rules`: each alert fires where it should, with its texts, and where it should not it does not."""
    code, said = ran(program("promtool"), "test", "rules", *UNIT_TESTS)
    assert code == 0, said
    assert said.count("SUCCESS") == len(UNIT_TESTS) == 6


def test_each_alert_is_seen_to_fire_and_not_to_fire() -> None:
    """In the unit tests, by name."""
    seen: dict[str, set[bool]] = defaultdict(set)
    for path in UNIT_TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for check in case["alert_rule_test"]:
                seen[check["alertname"]].add(bool(check["exp_alerts"]))
    assert seen == {alert: {True, False} for alert in alerts()}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "changes", [{"expr": "vector(0) == 1"}, {"expr": "vector(1)"}, {"for": "0s"}], ids=["never", "always", "at once"]
)
def test_no_unit_test_passes_by_looking_away(changes: dict[str, str], tmp_path: Path) -> None:
    """An alert that never fires, always does, or does not wait as long as it should, fails a test of its own."""
    code, said = ran(program("promtool"), "test", "rules", *copies(tmp_path, **changes))
    wrong = set(re.findall(r"alertname: (\w+)", said))
    assert (code, wrong) == (1, {name for name, rule in alerts().items() if changes.keys() <= rule.keys()})


def test_a_broken_rule_is_noticed(tmp_path: Path) -> None:
    """The checker of the rules fails on a copy with half an expression."""
    broken = tmp_path / "broken.rules.yml"
    broken.write_text(RULES.read_text().replace("payflux_processor_risk_score_last > 0.6", "sum(payflux_x"))
    code, said = ran(program("promtool"), "check", "rules", broken)
    assert (code, "could not parse expression" in said) == (1, True), said


def test_the_contract_s_two_rules_are_as_promised() -> None:
    """Expression, time, severity and summary of the two that users rely on."""
    high, critical = alerts()["ProcessorRiskHigh"], alerts()["ProcessorRiskCritical"]
    assert (high["expr"], high["for"], high["labels"]) == (
        "payflux_processor_risk_score_last > 0.6",
        "5m",
        {"severity": "warning"},
    )
    assert high["annotations"]["summary"] == "Processor {{ $labels.processor }} risk is elevated"
    assert (critical["expr"], critical["for"], critical["labels"]) == (
        "payflux_processor_risk_score_last >= 0.8",
        "1m",
        {"severity": "critical"},
    )


@pytest.mark.parametrize("alert", alerts())
def test_each_alert_asks_for_what_exists_and_says_what_to_do(alert: str) -> None:
    """Metrics, labels and their values are those of a node; texts and the way to the runbook are there."""
    rule = alerts()[alert]
    assert list(objections(rule["expr"])) == []
    graded = alert == "PayFluxIncident"  # as severe as what it tells of
    assert graded == (rule["labels"]["severity"] not in {"warning", "critical"})
    address, _, section = rule["annotations"]["runbook_url"].rpartition("#")
    assert section == ("{{ $labels.driver }}" if graded else alert.lower())
    assert RUNBOOK in address if graded else address == RUNBOOK
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}


def test_queries_for_what_does_not_exist_are_found() -> None:
    """Wrong metrics, labels, values and groupings: the check above is no blind one."""
    found = objections(
        'sum by (band) (payflux_invented_total) + payflux_dlq_depth{reason="x"} + sum by (shape)'
        ' (payflux_stream_lost_total{reason=~"crash|gone"})'
    )
    assert sorted(found) == [
        "no metric payflux_invented_total",
        "nothing has a label band",
        "nothing has a label shape",
        "payflux_dlq_depth has no label reason",
        "reason of payflux_stream_lost_total is never crash|gone",
    ]


def test_the_configuration_of_prometheus_holds(tmp_path: Path) -> None:
    """`promtool check config` finds the rules by it, and fails on a copy that names none."""
    code, said = ran(program("promtool"), "check", "config", PROMETHEUS / "prometheus.yml")
    assert (code, "1 rule files found" in said) == (0, True), said
    broken = tmp_path / "prometheus.yml"
    broken.write_text((PROMETHEUS / "prometheus.yml").read_text().replace("scrape_configs", "scrape_config"))
    assert ran(program("promtool"), "check", "config", broken)[0] == 1


def test_the_configuration_of_alertmanager_holds(tmp_path: Path) -> None:
    """`amtool check-config` accepts it, and fails on a copy whose route leads nowhere."""
    code, said = ran(program("amtool"), "check-config", ALERTMANAGER)
    assert (code, "SUCCESS" in said) == (0, True), said
    broken = tmp_path / "alertmanager.yml"
    broken.write_text(ALERTMANAGER.read_text().replace("- name: payments", "- name: nobody"))
    assert ran(program("amtool"), "check-config", broken)[0] == 1


def test_what_alertmanager_names_are_alerts_that_ship() -> None:
    """Each matcher of its rules of inhibition finds an alert."""
    rules = yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"]
    matchers = [matcher for rule in rules for side in ("source", "target") for matcher in rule[f"{side}_matchers"]]
    assert len(matchers) == 8
    for matcher in matchers:
        pattern = matcher.partition("=")[2].strip('~ "')
        for alternative in pattern.split("|"):
            assert any(re.fullmatch(alternative, alert) for alert in alerts()), alternative


def test_an_incident_is_told_within_half_a_minute() -> None:
    """From scrape to message, with some seconds to spare, whether it is the first one of its processor or another."""
    shipped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    group = next(one for one in yaml.safe_load(RULES.read_text())["groups"] if one["name"] == "payflux-risk")
    routes = yaml.safe_load(ALERTMANAGER.read_text())["route"]["routes"]
    route = next(one for one in routes if "alertname = PayFluxIncident" in one["matchers"])
    waits = (shipped["global"]["scrape_interval"], group["interval"], route["group_interval"])
    assert sum(int(wait.removesuffix("s")) for wait in waits) <= 25
    assert route["group_wait"] == "1s"


@pytest.mark.parametrize(("severity", "repeat"), [("critical", "1h"), ("warning", "12h")])
def test_every_alert_reaches_somebody(severity: str, repeat: str) -> None:
    """`amtool config routes test` says who: critical ones again and again."""
    command = (
        program("amtool"),
        "config",
        "routes",
        "test",
        f"--config.file={ALERTMANAGER}",
        "--verify.receivers=payments",
    )
    assert ran(*command, f"severity={severity}", "alertname=ProcessorRiskHigh")[0] == 0
    route = yaml.safe_load(ALERTMANAGER.read_text())["route"]
    matching = next((one for one in route["routes"] if severity in one["matchers"][0]), route)
    assert matching["repeat_interval"] == repeat
