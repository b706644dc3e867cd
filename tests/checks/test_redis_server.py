"""What is said of a Redis by its facts alone: each finding at both sides of its bound."""

from collections import Counter
from dataclasses import replace

import pytest

from payflux.checks.redis_server import judge
from payflux.finding import Verdict
from payflux.redis.inspection import Facts
from payflux.redis.monitor import Durability
from payflux.stream.deliveries import Backlog

SOUND = Facts(
    info={"redis_version": "7.2.4", "used_memory": "100", "maxmemory": "1000"},
    config={"no-appendfsync-on-rewrite": "no", "save": "3600 1"},
    round_trip_ms=1.0,
    skew_ms=0.0,
    stream="events_stream",
    group="payment_consumers",
    kinds={"events_stream": ("stream", "stream")},
    refusal=None,
    scripts=True,
    groups=(),
    oldest_pending_ms=None,
    consumed=True,
    dead_reasons=Counter(),
    stream_bytes=None,
)
DURABLE = Durability("on", "everysec", "noeviction", "master")


def verdict(check: str, facts: Facts, backlog: Backlog, durability: Durability = DURABLE) -> Verdict:
    """What is said of one thing."""
    (found,) = (one for one in judge(facts, durability, backlog, 1000, 30) if one.check == check)
    assert bool(found.fix) == (found.verdict != "pass")
    return found.verdict


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"redis_version": "6.2.0"}, "pass"),
        ({"redis_version": "6.0.16"}, "fail"),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.5"}, "pass"),
        ({"redis_version": "7.2.4", "valkey_version": "7.1.9"}, "fail"),
        ({}, "warn"),
    ],
)
def test_versions_are_compared_as_numbers(info: dict[str, str], expected: str) -> None:
    """Valkey says a version of Redis too, and is judged by its own."""
    assert verdict("version", replace(SOUND, info=info), Backlog(0, 0, 0, 0)) == expected


@pytest.mark.parametrize(("used", "expected"), [(800, "pass"), (801, "warn"), (950, "warn"), (951, "fail")])
def test_memory_is_judged_by_its_share(used: int, expected: str) -> None:
    """Of maxmemory; what the stream will still take counts once there is a stream."""
    facts = replace(SOUND, info=SOUND.info | {"used_memory": str(used)})
    assert verdict("memory", facts, Backlog(0, 0, 0, 0)) == expected
    growing = replace(SOUND, stream_bytes=90)
    assert verdict("memory", growing, Backlog(100, 0, 0, 0)) == "pass"
    assert verdict("memory", growing, Backlog(90, 0, 0, 0)) == "warn"


@pytest.mark.parametrize(("unread", "expected"), [(500, "pass"), (501, "warn"), (900, "warn"), (901, "fail")])
def test_unread_entries_are_judged_by_the_length_of_the_stream(unread: int, expected: str) -> None:
    """Trimming takes them before anybody has read them."""
    assert verdict("stream", SOUND, Backlog(1000, 0, unread, 0)) == expected


def test_a_replica_or_a_cluster_takes_no_events() -> None:
    """Both fail, a primary passes, and one that does not tell is doubtful."""
    empty = Backlog(0, 0, 0, 0)
    assert verdict("role", SOUND, empty) == "pass"
    assert verdict("role", SOUND, empty, DURABLE._replace(role="slave")) == "fail"
    assert verdict("role", SOUND, empty, DURABLE._replace(role="unknown")) == "warn"
