"""A day of webhooks: what goes wrong at an issuer, at a processor and at a shop is told apart."""

import csv
import json
from pathlib import Path

import pytest

from operator_commands import environ, payflux
from receiving import NOW
from webhook_day import told

pytestmark = [pytest.mark.process, pytest.mark.thorough, pytest.mark.timeout(300)]

QUIET, BUSY = 0.4, 2.0
DAY = {
    "stripe": [
        *((7600, "quiet", QUIET), (8100, "outage", QUIET), (11_000, "quiet", QUIET)),
        *((11_400, "card_testing", BUSY), (12_400, "quiet", QUIET)),
    ],
    "adyen": [(9600, "quiet", QUIET), (10_100, "issuer_outage", QUIET), (12_400, "quiet", QUIET)],
}
"""Until which second which kind of traffic lasts; the first two hours are what the scorer learns from."""


def test_only_the_outage_of_the_processor_counts_against_it(tmp_path: Path) -> None:
    """Three incidents, each named right; the score of Stripe rises during its own outage alone, that of Adyen never."""
    events, scores = tmp_path / "events.jsonl", tmp_path / "scores.csv"
    lines = sorted([*told("stripe", 1, DAY["stripe"]), *told("adyen", 2, DAY["adyen"])])
    events.write_bytes(b"".join(event + b"\n" for _, event in lines))
    done = payflux(environ("unix:///nowhere"), "backtest", str(events), "--json", "--scores", str(scores))
    assert done.returncode == 0, done.stderr
    warnings = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["processor"], one["driver"], one["value"]) for one in warnings] == [
        ("stripe", "high_failure_rate", ""),
        ("adyen", "failure_clustering", "issuer_unavailable"),
        ("stripe", "failure_clustering", "account_closed_or_invalid"),
    ]
    assert [one["opened_at"][11:15] for one in warnings] == ["14:0", "14:4", "15:0"]
    with scores.open() as file:
        raised = [row for row in csv.DictReader(file) if row["band"] != "low"]
    assert {row["processor"] for row in raised} == {"stripe"}
    assert {row["driver"] for row in raised} == {"high_failure_rate"}
    begun, over = NOW + 7600, NOW + 8100 + 600
    assert all(begun < float(row["second"]) < over for row in raised)
