"""A day of webhooks: what goes wrong at an issuer, at a processor and at a shop is told apart."""

import csv
import json
import random
from pathlib import Path

import pytest

from operator_commands import environ, payflux
from payflux.webhooks.sampling import samples_of
from receiving import NOW, Receiver, signed

pytestmark = [pytest.mark.process, pytest.mark.thorough, pytest.mark.timeout(300)]

QUIET, BUSY = 0.4, 2.0
DAY = {
    "stripe": [(7600, "quiet"), (8100, "outage"), (11_000, "quiet"), (11_400, "card_testing"), (12_400, "quiet")],
    "adyen": [(9600, "quiet"), (10_100, "issuer_outage"), (12_400, "quiet")],
}
"""Until which second which kind of traffic lasts; the first two hours are what the scorer learns from."""


def told(processor: str, seed: int) -> list[tuple[float, bytes]]:
    """The events that a processor's webhooks of that day become, with their times: signed, verified, normalised."""
    receiver = Receiver(processor, PAYFLUX_WEBHOOK_ADYEN_BASIC="user:password")
    chance, at = random.Random(seed), 0.0
    found: list[tuple[float, bytes]] = []
    proved = {"authorization": b"Basic dXNlcjpwYXNzd29yZA=="} if processor == "adyen" else {}
    for end, kind in DAY[processor]:
        while at < end:
            now = NOW + at
            receiver.now = now
            body = samples_of(processor).body(samples_of(processor).drawn(kind, chance), chance, now)
            assert receiver.send(signed(processor, body, now=now), **proved).status < 300
            found += [(now, event) for event in receiver.stream.entries]
            receiver.stream.entries.clear()
            at += chance.expovariate(BUSY if kind == "card_testing" else QUIET)
    return found


def test_only_the_outage_of_the_processor_counts_against_it(tmp_path: Path) -> None:
    """Three incidents, each named right; the score of Stripe rises during its own outage alone, that of Adyen never."""
    events, scores = tmp_path / "events.jsonl", tmp_path / "scores.csv"
    lines = sorted([*told("stripe", 1), *told("adyen", 2)])
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
