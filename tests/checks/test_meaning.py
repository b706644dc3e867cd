"""`payflux check --production`: whether PayFlux understands what it is sent."""

import json
from typing import Any

import pytest

from payflux.checks.meaning import EVENTS, judge_events, judge_newest
from payflux.event.example import make_event
from payflux.event.outcome import NOTHING_DECLARED, OUTCOMES
from payflux.redis.address import parse_url
from servers import Server
from stream_keys import KEYS


def body(event_type: str, processor: str = "stripe", **members: Any) -> bytes:
    """An event that says only what is given."""
    silent = {"retry_result": "", "failure_category": ""}
    return json.dumps(make_event(event_type=event_type, processor=processor, **(silent | members))).encode()


def verdicts(bodies: list[bytes], declared: str = "") -> list[str]:
    """Of outcomes and of failure categories."""
    return [finding.verdict for finding in judge_events(bodies, OUTCOMES.parse(declared))]


GOOD = [body("payment_succeeded")] * 95 + [body("payment_failed", failure_category="processor_timeout")] * 5


def test_what_is_understood_passes() -> None:
    """Successes and failures in known words, test events and strangers' entries aside; and no events at all."""
    assert verdicts(GOOD) == verdicts([]) == ["pass", "pass"]
    assert verdicts([*GOOD, *[body("test", "probe")] * 50, b"{", b"[]", b"\xff"]) == ["pass", "pass"]


@pytest.mark.parametrize(("unread", "verdict"), [(5, "pass"), (6, "warn")])
def test_more_than_a_twentieth_that_says_nothing_is_a_warning(unread: int, verdict: str) -> None:
    """Of one processor, however many events others send; the types are named, and declaring them helps."""
    bodies = [*GOOD[: 100 - unread], *[body("order.done")] * unread, *[body("paid", "adyen")] * 1000]
    assert verdicts(bodies) == [verdict, "pass"]
    assert verdicts(bodies, "order.done=success") == ["pass", "pass"]
    if verdict == "warn":
        [outcomes, _] = judge_events(bodies, NOTHING_DECLARED)
        assert outcomes.reason == "stripe: 6 of 100 say nothing of an outcome (order.done 6)"
        assert "PAYFLUX_OUTCOMES" in outcomes.fix


def test_a_processor_without_successes_is_a_warning() -> None:
    """Whoever sends failures alone sees a failure rate of 1 for ever."""
    [outcomes, _] = judge_events([*GOOD, body("payment_failed", "adyen"), body("refunded", "klarna")], NOTHING_DECLARED)
    assert outcomes.verdict == "warn"
    assert outcomes.reason == "adyen: none of 1 is a success; klarna: none of 1 is a success"


def test_categories_nobody_knows_are_named() -> None:
    """The most frequent first, five of them, of failures alone."""
    unknown = [body("payment_failed", failure_category=f"misc_{number}") for number in range(7)]
    [_, categories] = judge_events(
        [*GOOD, *unknown, unknown[6], body("paid", failure_category="odd")], NOTHING_DECLARED
    )
    assert categories.verdict == "warn"
    assert "8 failures" in categories.reason
    assert categories.reason.endswith("(misc_6 2, misc_0 1, misc_1 1, misc_2 1, misc_3 1, …)")


async def test_the_newest_events_of_the_stream_are_judged(server: Server) -> None:
    """Old ones are not looked at; a Redis that does not answer is for others to tell of."""
    pipeline = server.client.pipeline()
    for seq in range(1, 11):
        pipeline.xadd("events_stream", {"data": body("order.lost"), "seq": seq})
    for seq in range(11, EVENTS + 11):
        pipeline.xadd("events_stream", {"data": GOOD[seq % 100], "seq": seq})
    pipeline.execute()
    address = parse_url(server.url)
    found = await judge_newest(address, KEYS, NOTHING_DECLARED)
    assert [finding.verdict for finding in found] == ["pass", "pass"]
    assert f"newest {EVENTS:,} events" in found[0].reason
    server.kill()
    assert await judge_newest(address, KEYS, NOTHING_DECLARED) == []
