"""Alerting: the links from a node to somebody who is woken."""

import pytest

from payflux.checks.alerting import RULES, judge_links

LINKS: dict[str, tuple[tuple[str, ...], tuple[str, ...], bool]] = {
    "has scraped no PayFlux": ((), RULES, True),
    "ProcessorRiskCritical is not loaded": (("node:8080",), RULES[:1], True),
    "alerts go to nobody": (("node:8080",), RULES, False),
}


@pytest.mark.parametrize("reason", LINKS)
def test_alerting_fails_where_a_link_is_missing(reason: str) -> None:
    """Nothing scraped, rules not loaded, nobody told: each is named, with a fix."""
    scraped, rules, told = LINKS[reason]
    finding = judge_links(scraped, rules, told=told)
    assert finding.verdict == "fail"
    assert reason in finding.reason
    assert finding.fix
