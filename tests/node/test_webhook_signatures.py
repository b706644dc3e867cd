"""What a running node believes: webhooks of every processor, signed by the test's own hand, and everything forged."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nodes import KEY, Node
from payflux.webhooks.registry import path_of
from real_parts import binary_or_skip
from receiving import FILES, SECRETS, TARGETS, environ, sample, source_of
from servers import Server, until
from signing import SIGNERS, Signed, tampered, unsigned

pytestmark = pytest.mark.process

DAY = 86_400.0
WRONG = {"adyen": "cd" * 32, "braintree": "public1:another private key"}
"""Secrets of the right form that are not live; of the other processors any text is one."""

SAID: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "stripe": (
        "charge.failed",
        [{"event_type": "payment_failed", "failure_category": "insufficient_funds", "currency": "EUR"}],
    ),
    "adyen": (
        "CAPTURE",
        [{"event_type": "capture_succeeded", "currency": "JPY"}, {"event_type": "capture_failed", "currency": "KWD"}],
    ),
    "checkout": (
        "payment_declined.system_malfunction",
        [{"event_type": "payment_failed", "network_response_code": "20096", "currency": "GBP"}],
    ),
    "paypal": (
        "PAYMENT.CAPTURE.DENIED",
        [{"event_type": "payment_failed", "failure_category": "insufficient_funds", "amount_minor": 4995}],
    ),
    "braintree": (
        "subscription_charged_unsuccessfully",
        [{"event_type": "payment_failed", "initiator": "mit", "network_response_code": "51", "amount_minor": 4999}],
    ),
    "gocardless": (
        "payments.failed",
        [
            {"event_type": "payment_failed", "failure_category": "insufficient_funds"},
            {"event_type": "payment_succeeded", "retry_result": "succeeded"},
        ],
    ),
    "mollie": ("payment.failed", [{"event_type": "payment_failed", "retry_result": "failed"}]),
    "razorpay": ("payment.failed", [{"event_type": "payment_failed", "retry_result": "failed"}]),
    "square": (
        "payment.updated.failed",
        [{"event_type": "payment_failed", "failure_category": "insufficient_funds", "currency": "USD"}],
    ),
    "worldpay": ("refused", [{"event_type": "payment_failed", "retry_result": "failed"}]),
}
"""A sample of each, and what its lines say."""


class Place(NamedTuple):
    """A node that takes the webhooks of every processor, and its server."""

    node: Node
    server: Server


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """One for all tests."""
    with tempfile.TemporaryDirectory(prefix="pf-") as path:
        server = Server(binary_or_skip("valkey-9"), Path(path))
        folder = {"PAYFLUX_API_KEY": KEY, "PAYFLUX_WEBHOOK_ADAPTERS": str(FILES[0].parent), "PAYFLUX_WORKERS": "1"}
        node = Node(Path(path) / "node", server.url, environ(*TARGETS) | folder)
        yield Place(node, server)
        node.stop()
        server.stop()


def post(node: Node, processor: str, signed: Signed) -> tuple[int, str]:
    """Status, and the code of a refusal."""
    body, headers = signed
    status, answer = node.request("POST", path_of(processor), body, headers)
    return status, json.loads(answer)["code"] if status >= 400 else ""


def results(node: Node, processor: str) -> dict[str, float]:
    """What was counted of a processor's webhooks."""
    begin, end = f'webhook_events_total{{processor="{processor}",result="', '"}'
    found = {name: value for name, value in node.metrics().items() if name.startswith(begin) and value}
    return {name.removeprefix(begin).removesuffix(end): value for name, value in found.items()}


def lines_of(node: Node, processor: str, number: int) -> list[dict[str, Any]]:
    """The lines of a processor, once there are so many of them."""

    def found() -> list[dict[str, Any]]:
        texts = node.lines_file.read_text().split("\n")[:-1]
        return [line for line in map(json.loads, texts) if line["processor"] == processor]

    until(lambda: len(found()) >= number, f"{number} lines of {processor}")
    return found()


@pytest.mark.parametrize("processor", TARGETS)
def test_what_is_signed_comes_out_and_what_is_forged_leaves_no_trace(place: Place, processor: str) -> None:
    """Tampered (in the last item of a batch), old, signed by another secret, unsigned: refused, counted, not stored."""
    (node, server), sign, now = place, SIGNERS[processor], time.time()
    name, said = SAID[processor]
    body, secret = sample(processor, name, now=now), SECRETS[processor][1]
    good = sign(body, secret, now)
    stored = server.client.xlen("events_stream")
    assert post(node, processor, (tampered(good[0]), good[1])) == (401, "signature_wrong")
    assert post(node, processor, sign(body, WRONG.get(processor, "another secret"), now)) == (401, "signature_wrong")
    assert post(node, processor, unsigned(processor, good)) == (401, "signature_missing")
    expected = {"signature_wrong": 2.0, "signature_missing": 1.0}
    for moved in {"stripe": (-301, 310), "paypal": (-4 * DAY - 10, 310)}.get(processor, ()):
        assert post(node, processor, sign(body, secret, now + moved)) == (401, "timestamp_outside")
        expected["timestamp_outside"] = 2
    assert results(node, processor) == expected
    assert server.client.xlen("events_stream") == stored
    for _ in range(2):
        assert post(node, processor, good) == (source_of(processor).accepted[0], "")
    lines = lines_of(node, processor, len(said))
    for line, members in zip(lines, said, strict=True):
        assert line | members == line
        assert line["system_source"] == "webhook"
    assert results(node, processor) == expected | {"accepted": len(said), "duplicate": len(said)}
    assert server.client.xlen("events_stream") == stored + len(said)
