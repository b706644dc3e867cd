"""The runbook has a section for each alert, the page on alerting a row; the rest is tested as for every page."""

import re
from pathlib import Path

from queries import ROOT, alerts

RUNBOOK = ROOT / "RUNBOOK.md"
ALERTING = ROOT / "docs" / "alerting.md"
PAGES = {path.name: path.read_text() for path in (RUNBOOK, ALERTING)}
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
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


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_anchors_of_the_alerts_are_headings() -> None:
    """What `runbook_url` says is where it leads."""
    wanted = {rule["annotations"]["runbook_url"].partition("#")[2] for rule in alerts().values()}
    assert wanted <= anchors(RUNBOOK)


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
