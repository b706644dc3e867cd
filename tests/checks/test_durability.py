"""Durability on a real server: what would be lost is told, and production allows no doubt."""

from dataclasses import replace

import pytest

from payflux.checks.durability import judge_durability, judge_for_production
from payflux.redis.address import parse_url
from payflux.redis.inspection import inspect
from payflux.redis.monitor import Durability, RedisMonitor
from payflux.stream.protocol import GROUP
from servers import Server
from stream_keys import KEYS

REDIS_TROUBLES: dict[str, tuple[dict[str, str], str, str]] = {
    "AOF off": ({"appendonly": "no"}, "durability", "fail"),
    "fsync no": ({"appendfsync": "no"}, "durability", "fail"),
    "no fsync on rewrite": ({"no-appendfsync-on-rewrite": "yes"}, "durability", "fail"),
    "eviction": ({"maxmemory-policy": "allkeys-lru"}, "durability", "fail"),
    "no snapshots": ({"save": ""}, "persistence", "warn"),
}


@pytest.mark.parametrize("trouble", REDIS_TROUBLES)
async def test_a_redis_that_would_lose_events_fails(trouble: str, server: Server) -> None:
    """Durability is stricter than in the ordinary check; snapshots are the second line."""
    config, check, verdict = REDIS_TROUBLES[trouble]
    server.client.config_set("save", "3600 1")
    assert await _redis(server) == {"durability": "pass", "persistence": "pass"}
    for parameter, value in config.items():
        server.client.config_set(parameter, value)
    assert (await _redis(server))[check] == verdict


async def _redis(server: Server, now: float | None = None) -> dict[str, str]:
    address = parse_url(server.url)
    admin = RedisMonitor(address, KEYS, GROUP)
    try:
        found = judge_for_production(await inspect(address, KEYS, GROUP), await admin.durability(), now)
    finally:
        admin.close()
    return {finding.check: finding.verdict for finding in found}


async def test_an_old_snapshot_is_a_warning(server: Server) -> None:
    """Snapshots that stopped are noticed, provided that there is something to save."""
    server.client.config_set("save", "3600 1")
    server.client.set("x", "y")
    saved = int(server.client.info("persistence")["rdb_last_save_time"])
    assert (await _redis(server, saved + 80_000))["persistence"] == "pass"
    assert (await _redis(server, saved + 90_000))["persistence"] == "warn"


@pytest.mark.parametrize(
    ("info", "config", "said"),
    [
        ({}, {}, Durability("on", "everysec", "noeviction")),
        ({}, {}, Durability("on", "always", "noeviction")),
        ({}, {}, Durability("off", "everysec", "noeviction")),
        ({}, {}, Durability("unknown", "everysec", "noeviction")),
        ({}, {}, Durability("on", "unknown", "noeviction")),
        ({}, {}, Durability("on", "everysec", "volatile-lru")),
        ({"aof_last_write_status": "err"}, {}, Durability("on", "everysec", "noeviction")),
        ({}, {"no-appendfsync-on-rewrite": "yes"}, Durability("on", "always", "noeviction")),
    ],
)
async def test_production_fails_where_the_ordinary_check_does_not_pass(
    info: dict[str, str], config: dict[str, str], said: Durability, server: Server
) -> None:
    """One judgement, told point by point or as a whole; a doubt that is a warning there is a failure here."""
    facts = await inspect(parse_url(server.url), KEYS, GROUP)
    facts = replace(facts, info=facts.info | info, config=facts.config | config)
    points = judge_durability(facts, said)
    whole = judge_for_production(facts, said)[0]
    assert [point.check for point in points] == ["aof", "fsync", "eviction"]
    assert (whole.verdict == "pass") == all(point.verdict == "pass" for point in points)
    assert all(point.reason in whole.reason for point in points if point.verdict != "pass")


async def test_a_failed_rewrite_endangers_the_disk_and_not_yet_an_event(server: Server) -> None:
    """It is a warning of the ordinary check alone."""
    facts = await inspect(parse_url(server.url), KEYS, GROUP)
    facts = replace(facts, info=facts.info | {"aof_last_bgrewrite_status": "err"})
    said = Durability("on", "everysec", "noeviction")
    assert [point.verdict for point in judge_durability(facts, said)] == ["warn", "pass", "pass"]
    assert judge_for_production(facts, said)[0].verdict == "pass"
