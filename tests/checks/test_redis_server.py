"""What is said of a Redis by its facts alone: each finding at both sides of its bound."""

from collections import Counter
from dataclasses import replace

import pytest

from payflux.checks.redis_server import judge
from payflux.errors import REMEDIES, StreamUnavailable
from payflux.finding import Verdict
from payflux.redis.inspection import Facts
from payflux.redis.monitor import Durability, Progress
from payflux.redis.repair import Oddity
from payflux.stream.deliveries import Backlog

SOUND = Facts(
    info={"redis_version": "7.2.4", "used_memory": "100", "maxmemory": "1000"},
    config={"no-appendfsync-on-rewrite": "no", "save": "3600 1"},
    round_trip_ms=1.0,
    skew_ms=0.0,
    stream="events_stream",
    group="payment_consumers",
    kinds={"events_stream": ("stream", "stream")},
    forbidden=(),
    refusal=None,
    odd=(),
    scripts=True,
    groups=(),
    oldest_pending_ms=None,
    consumed=True,
    dead_reasons=Counter(),
    stream_bytes=None,
)
FLOWING = Progress(None, None, led=True)
DURABLE = Durability("on", "everysec", "noeviction", "master")


def verdict(
    check: str, facts: Facts, backlog: Backlog, durability: Durability = DURABLE, progress: Progress = FLOWING
) -> Verdict:
    """What is said of one thing."""
    (found,) = (one for one in judge(facts, durability, backlog, progress, 1000, 30) if one.check == check)
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


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (FLOWING, "pass"),
        (Progress(15, None, led=True), "pass"),
        (Progress(99, 3, led=True), "pass"),
        (Progress(16, None, led=False), "warn"),
        (Progress(16, 16, led=True), "fail"),
        (Progress(None, 1, led=True, unusable=StreamUnavailable("redis_wrong_type", "a string")), "fail"),
    ],
)
def test_what_does_not_come_out_is_said(progress: Progress, expected: str) -> None:
    """A consumer that is at work and commits nothing is worse than none."""
    assert verdict("progress", SOUND, Backlog(0, 0, 0, 0), progress=progress) == expected


def test_each_refusal_has_its_remedy() -> None:
    """A dead-letter stream that is refused, a key out of reach, a time that is not told, a strange value."""
    empty, refused = Backlog(0, 0, 0, 0), StreamUnavailable("redis_wrong_type", "a string")
    assert verdict("dead_letters", SOUND, empty, progress=FLOWING._replace(unburied=refused)) == "fail"
    assert verdict("keys", replace(SOUND, forbidden=("{events_stream}:ledger",)), empty) == "fail"
    assert verdict("clock", replace(SOUND, skew_ms=None), empty) == "warn"
    assert verdict("values", replace(SOUND, odd=(Oddity("k", "seq", b"x", None),)), empty) == "fail"
    for code in REMEDIES:
        assert verdict("writes", replace(SOUND, refusal=StreamUnavailable(code, "no")), empty) == "fail"
