"""What `payflux check` asks Redis: facts as they are, and nothing assumed where Redis would not say."""

import time
from typing import Any

import pytest

from payflux.checks.redis_server import judge
from payflux.redis.address import parse_url
from payflux.redis.inspection import inspect
from payflux.redis.monitor import Durability, Progress
from payflux.stream.deliveries import Backlog
from payflux.stream.protocol import GROUP
from servers import Server
from stream_keys import DEAD_LETTERS, KEYS, LEASE, STREAM


async def test_the_facts_are_those_of_the_server(every_server: Server) -> None:
    """Types of keys, groups with their consumers, the lease, the newest dead letters."""
    client: Any = every_server.client
    for number in range(3):
        client.xadd(STREAM, {"data": "{}", "seq": number})
        client.xadd(DEAD_LETTERS, {"data": "x", "reason": "invalid_json"} if number else {"data": "x"})
    client.xgroup_create(STREAM, GROUP, "0")
    client.xgroup_create(STREAM, "warehouse", "0")
    client.xreadgroup(GROUP, "one", {STREAM: ">"}, count=2)
    client.xclaim(STREAM, GROUP, "one", 0, client.xrange(STREAM)[0][:1], idle=60_000, justid=True)
    client.hset(LEASE, "a", "hash")
    facts = await inspect(parse_url(every_server.url), KEYS, GROUP)
    assert (facts.stream, facts.group, facts.refusal, facts.scripts, facts.consumed) == (
        STREAM,
        GROUP,
        None,
        True,
        True,
    )
    assert facts.kinds == {
        STREAM: ("stream", "stream"),
        DEAD_LETTERS: ("stream", "stream"),
        LEASE: ("hash", "string"),
    }
    groups = {group.name: group for group in facts.groups}
    assert [groups[name].pending for name in (GROUP, "warehouse")] == [2, 0]
    assert groups[GROUP].consumers["one"][0] == 2
    assert facts.oldest_pending_ms is not None
    assert 60_000 <= facts.oldest_pending_ms < 120_000
    assert facts.dead_reasons == {"invalid_json": 2, "none given": 1}
    assert (facts.stream_bytes or 0) > 0


async def test_each_group_is_looked_at_by_itself(server: Server) -> None:
    """Lease, ledger and pending entries are those of the group that is asked about."""
    client: Any = server.client
    client.xadd(STREAM, {"data": "{}", "seq": 1})
    client.xgroup_create(STREAM, GROUP, "0")
    client.xreadgroup(GROUP, "one", {STREAM: ">"})
    client.set(LEASE, "node")
    facts = await inspect(parse_url(server.url), KEYS, "warehouse")
    assert (facts.consumed, facts.oldest_pending_ms) == (False, None)
    client.set(KEYS.lease("warehouse"), "node")
    assert (await inspect(parse_url(server.url), KEYS, "warehouse")).consumed is True


@pytest.mark.parametrize(("ahead", "verdict"), [(0.0, "pass"), (-5.0, "warn"), (120.0, "fail")])
async def test_clocks_that_differ_are_found(ahead: float, verdict: str, server: Server) -> None:
    """Skew is judged by Redis's clock against ours, in both directions."""
    facts = await inspect(parse_url(server.url), KEYS, GROUP, now=lambda: time.time() + ahead)
    clock = next(
        f
        for f in judge(facts, Durability(), Backlog(0, 0, 0, 0), Progress(None, None, led=False), 1000, 30)
        if f.check == "clock"
    )
    assert clock.verdict == verdict


async def test_a_server_that_tells_nothing_is_a_warning(server: Server) -> None:
    """Where INFO and CONFIG are forbidden nothing is assumed, and nothing breaks."""
    server.client.acl_setuser(
        "app", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all", "-@dangerous"]
    )
    facts = await inspect(parse_url(f"unix://app:secret@{server.path}"), KEYS, GROUP)
    found = {
        f.check: f.verdict
        for f in judge(facts, Durability(), Backlog(0, 0, 0, 0), Progress(None, None, led=False), 1000, 30)
    }
    assert {"version", "role", "aof", "fsync", "eviction", "memory"} == {n for n, v in found.items() if v == "warn"}
    assert "fail" not in found.values()
