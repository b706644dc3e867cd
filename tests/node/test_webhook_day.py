"""What a node makes of hours of webhooks: silences, outages, and what is only a test."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nodes import KEY, Node
from payflux.webhooks.registry import path_of
from payflux.webhooks.sampling import samples_of
from real_parts import MakeNode
from receiving import FILES, SECRETS, environ, sample
from servers import Server, until
from signing import SIGNERS
from webhook_day import PASSWORD, PROVED, put, told

pytestmark = pytest.mark.process

HOUR = 3600.0
TOOK = {"PAYFLUX_API_KEY": KEY, "PAYFLUX_WORKERS": "1"}
READ = {"Authorization": f"Bearer {KEY}"}


def incidents(node: Node) -> list[dict[str, Any]]:
    """The incidents of a node, the oldest first."""
    status, answer = node.request("GET", "/v1/incidents", None, READ)
    assert status == 200
    return list(reversed(json.loads(answer)["incidents"]))


def post(node: Node, processor: str, body: Any) -> int:
    """One webhook, signed now by the test's own hand; the status."""
    data, headers = SIGNERS[processor](body, SECRETS[processor][0], time.time())
    headers |= {name: value.decode() for name, value in PROVED.get(processor, {}).items()}
    return node.request("POST", path_of(processor), data, headers)[0]


LEARNED = 2.03 * HOUR
RATE = {"quiet": 2.0, "card_testing": 10.0}
LIVE = [
    ("stripe", 20, "quiet"),
    ("stripe", 90, "outage"),
    ("stripe", 150, "quiet"),
    ("stripe", 210, "card_testing"),
    ("adyen", 60, "quiet"),
    ("adyen", 150, "issuer_outage"),
    ("adyen", 210, "quiet"),
]
"""Whose webhooks, until which second, are of which kind."""


def live(node: Node, processor: str) -> set[str]:
    """Send what a processor tells, in time; the bands that its score had meanwhile."""
    chance, samples, begun, at, bands = (
        random.Random(processor),
        samples_of(processor),
        time.monotonic(),
        0.0,
        set[str](),
    )
    for end, kind in [(end, kind) for name, end, kind in LIVE if name == processor]:
        while at < end:
            body = json.loads(samples.body(samples.drawn(kind, chance), chance, time.time()))
            assert post(node, processor, body) in (200, 202)
            at += chance.expovariate(RATE.get(kind, RATE["quiet"]))
            until(lambda: time.monotonic() - begun >= at, "its time")  # noqa: B023 - called at once
            said = json.loads(node.request("GET", f"/v1/risk/{processor}", None, READ)[1])
            bands.add(said["band"])
    return bands


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_a_day_of_webhooks_in_minutes(make_node: MakeNode, server: Server) -> None:
    """Two hours learned, then an outage, an issuer's, and a card test: only the first counts against its processor."""
    begin = time.time() - LEARNED
    learned = [(LEARNED - 1, "quiet", RATE["quiet"])]
    put(server, [*told("stripe", 1, learned, begin), *told("adyen", 2, learned, begin)])
    node = make_node(environ("stripe", "adyen", PAYFLUX_WEBHOOK_ADYEN_BASIC=PASSWORD) | TOOK)
    until(node.drained, "what was learned", 60)
    with ThreadPoolExecutor(2) as threads:
        stripe, adyen = threads.map(live, (node, node), ("stripe", "adyen"))
    found = [(one["processor"], one["drivers"][0]["name"], one["drivers"][0]["value"]) for one in incidents(node)]
    assert sorted(found) == [
        ("adyen", "failure_clustering", "issuer_unavailable"),
        ("stripe", "failure_clustering", "account_closed_or_invalid"),
        ("stripe", "high_failure_rate", ""),
    ]
    assert stripe - {"low"}
    assert adyen == {"low"}
    raised = [line for line in node.lines() if line["processor_risk_band"] != "low"]
    assert {driver for line in raised for driver in line["processor_risk_drivers"]} & {"high_failure_rate"}
    assert {line["processor"] for line in raised} == {"stripe"}


def test_a_small_account_whose_webhooks_stopped_is_an_incident(make_node: MakeNode, server: Server) -> None:
    """Fourteen an hour for a week, too few for the watch, then none for hours; the other one that goes on is none."""
    now, rate = time.time(), 14 / HOUR
    stopped = told("stripe", 5, [(175 * HOUR, "quiet", rate)], now - 180.5 * HOUR)
    goes_on = told("adyen", 6, [(12 * HOUR - 60, "quiet", rate)], now - 12 * HOUR)
    put(server, [*stopped, *goes_on])
    node = make_node(environ("stripe", "adyen") | TOOK)
    until(lambda: incidents(node), "the incident")
    (found,) = incidents(node)
    assert (found["processor"], found["drivers"][0]["name"], found["state"]) == ("stripe", "volume_drop", "open")
    assert found["payments_affected"] >= 20
    assert post(node, "stripe", sample("stripe", "charge.succeeded", now=time.time())) == 200
    until(lambda: incidents(node)[0]["state"] == "resolved", "its end")


TESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "stripe": ("charge.failed", {"livemode": False}),
    "adyen": ("AUTHORISATION.refused", {"live": "false"}),
    "mollie": ("payment.paid.test", {}),
}
"""Of processors that say so in the body: a sample, and what makes it a test."""


def test_tests_are_stored_and_exported_and_never_scored(make_node: MakeNode) -> None:
    """Whatever fails in test mode: a line of the type `test`, no outcome, no risk of the processor."""
    folder = {"PAYFLUX_WEBHOOK_ADAPTERS": str(FILES[0].parent)}
    node = make_node(environ("stripe", "adyen", "mollie", PAYFLUX_WEBHOOK_ADYEN_BASIC=PASSWORD) | TOOK | folder)
    for seed in range(20):
        for processor, (name, members) in TESTS.items():
            assert post(node, processor, sample(processor, name, seed, time.time()) | members) in (200, 202)
    assert post(node, "stripe", sample("stripe", "charge.failed", 99, time.time())) == 200
    until(lambda: node.line_count() == 61, "all lines")
    lines = [line for line in node.lines() if line["event_type"] == "test"]
    assert len(lines) == 60
    assert {line["processor_risk_score"] for line in lines} == {0.0}
    until(lambda: node.metrics().get('events_by_outcome_total{outcome="failure",processor="stripe"}') == 1, "the one")
    outcomes = {name for name in node.metrics() if name.startswith("events_by_outcome_total")}
    assert outcomes == {'events_by_outcome_total{outcome="failure",processor="stripe"}'}
