"""What an operator should know of the connected Redis: facts in, findings out."""

import re

from payflux.checks.durability import judge_durability
from payflux.errors import REMEDIES, StreamUnavailable
from payflux.finding import Finding
from payflux.redis.inspection import Facts
from payflux.redis.monitor import Durability, Progress
from payflux.stream.deliveries import Backlog

OLDEST = {"Redis": (6, 2), "Valkey": (7, 2)}
SKEW_MS = (1000, 60_000)  # to be warned of, and too much
FULL = (0.8, 0.95)  # shares of the memory
UNBOUNDED_FULL = (0.6, 0.85)  # without maxmemory, of the machine's: a fork to rewrite the AOF needs room too
UNREAD = (0.5, 0.9)  # shares of the stream's length


def judge(  # noqa: PLR0917 - everything that was asked
    facts: Facts, durability: Durability, backlog: Backlog, progress: Progress | None, maxlen: int, claim_idle_sec: int
) -> list[Finding]:
    """Everything about Redis.

    Args:
        facts: what it said.
        durability: what it does with what it has acknowledged.
        backlog: what waits in the stream.
        progress: whether that comes out; None when that was not to be had.
        maxlen: approximate length the stream is trimmed to; 0 = never.
        claim_idle_sec: after which pending entries are taken over.
    """
    return [
        _version(facts),
        _role(facts, durability),
        _writes(facts),
        *judge_durability(facts, durability),
        _memory(facts, backlog, maxlen),
        _clock(facts),
        _keys(facts),
        _values(facts),
        _stream(facts, backlog, maxlen),
        _group(facts, backlog, claim_idle_sec),
        *([_progress(progress)] if progress else []),
        _dead_letters(facts, backlog, progress.unburied if progress else None),
    ]


def _product(facts: Facts) -> tuple[str, str]:
    if "valkey_version" in facts.info:
        return "Valkey", facts.info["valkey_version"]
    return "Redis", facts.info.get("redis_version", "")


def _version(facts: Facts) -> Finding:
    name, version = _product(facts)
    wanted = ".".join(map(str, OLDEST[name]))
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None:
        return Finding("version", "warn", "it does not tell its version", f"make sure that it is {wanted} or newer")
    if (int(numbers[1]), int(numbers[2])) < OLDEST[name]:
        return Finding("version", "fail", f"{name} {version} is too old", f"use {name} {wanted} or newer")
    return Finding("version", "pass", f"{name} {version}")


def _role(facts: Facts, durability: Durability) -> Finding:
    if durability.role == "slave":
        primary = f"{facts.info.get('master_host', '')}:{facts.info.get('master_port', '')}"
        fix = f"point REDIS_ADDR or REDIS_URL at the primary ({primary})"
        return Finding("role", "fail", "it is a replica, which takes no writes", fix)
    if facts.info.get("cluster_enabled") == "1":
        if facts.refusal is not None and facts.refusal.code == "redis_cluster":
            return Finding("role", "fail", str(facts.refusal), REMEDIES["redis_cluster"])
        return Finding("role", "pass", "a node of a Redis Cluster, which serves the slot of the stream")
    if durability.role != "master":
        return Finding("role", "warn", "it does not tell its role", "make sure that it is a primary")
    replicas = int(facts.info.get("connected_slaves", "0"))
    return Finding("role", "pass", f"primary with {replicas} replica{'' if replicas == 1 else 's'}")


def _writes(facts: Facts) -> Finding:
    if facts.refusal is not None:
        reason = f"it takes no events: {facts.refusal}"
        return Finding("writes", "fail", reason, REMEDIES.get(facts.refusal.code, "look at the log of Redis"))
    if not facts.scripts:
        return Finding("writes", "fail", "it refuses scripts (EVAL)", "give the user the rights +eval +evalsha")
    return Finding("writes", "pass", "it takes events and runs scripts")


def _values(facts: Facts) -> Finding:
    """What somebody else has written into keys of ours."""
    if not facts.odd:
        return Finding("values", "pass", "state and ledger hold what PayFlux has written")
    told = [f"{one.field} of {one.key} is {_shown(one.value)} and should be {_shown(one.wanted)}" for one in facts.odd]
    return Finding("values", "fail", "; ".join(told), "payflux check --repair, then --repair --yes")


def _shown(value: bytes | None) -> str:
    return repr(value.decode(errors="replace")[:60]) if value else "empty" if value == b"" else "missing"


def _progress(progress: Progress) -> Finding:
    """Whether what is in the stream comes out of it."""
    why = progress.unusable
    if why is not None:
        return Finding("progress", "fail", f"nothing can come out: {why}", REMEDIES.get(why.code, "see Redis's log"))
    if progress.waiting is None:
        return Finding("progress", "pass", "nothing waits to be read")
    committed = "nobody has ever committed" if progress.since is None else f"the last commit {progress.since} s ago"
    reason = f"the oldest unread entry has waited {progress.waiting} s, {committed}"
    if progress.stalled and progress.led:
        return Finding("progress", "fail", reason, "see the log of the node that holds the lease, and restart it")
    return Finding(
        "progress", "pass" if not progress.stalled else "warn", reason, "" if not progress.stalled else STARTED
    )


STARTED = "start payflux serve"


def _memory(facts: Facts, backlog: Backlog, maxlen: int) -> Finding:
    used, limit = int(facts.info.get("used_memory", "0")), int(facts.info.get("maxmemory", "0"))
    room, shares = (limit, FULL) if limit else (int(facts.info.get("total_system_memory", "0")), UNBOUNDED_FULL)
    if not used or not room:
        return Finding("memory", "warn", "it does not tell its memory", "watch it where Redis is operated")
    what = "maxmemory" if limit else "the machine's memory, without maxmemory"
    reason = f"{_size(used)} of {_size(room)} ({what}) used"
    fix = "raise maxmemory" if limit else "give it a machine with more memory, and set maxmemory"
    fix += ", or lower PAYFLUX_STREAM_MAXLEN"
    if used > shares[0] * room:
        return Finding("memory", "fail" if used > shares[1] * room else "warn", reason, fix)
    if facts.stream_bytes and backlog.length:
        growth = max(0, maxlen - backlog.length) * facts.stream_bytes // backlog.length
        if used + growth > shares[1] * room:
            reason += f", and {_size(growth)} more when the stream has {maxlen:,} entries"
            return Finding("memory", "warn", reason, fix)
    return Finding("memory", "pass", reason)


def _clock(facts: Facts) -> Finding:
    if facts.skew_ms is None:
        return Finding("clock", "warn", "it does not tell the time", "give the user the right +time")
    skew, doubt = facts.skew_ms, facts.round_trip_ms / 2
    apart = max(0.0, abs(skew) - doubt)
    reason = f"Redis's clock is {abs(skew):,.0f} ms {'ahead' if skew > 0 else 'behind'} (give or take {doubt:,.1f} ms)"
    if apart <= SKEW_MS[0]:
        return Finding("clock", "pass", reason)
    fix = "run NTP (chrony, systemd-timesyncd) on both machines: risk and replay go by Redis's clock"
    return Finding("clock", "fail" if apart > SKEW_MS[1] else "warn", reason, fix)


def _keys(facts: Facts) -> Finding:
    wrong = [f"{key} is a {kind}, not a {wanted}" for key, (kind, wanted) in facts.kinds.items() if kind != wanted]
    if wrong:
        fix = "another program uses these names: RENAME its keys, or give PayFlux a database of its own in REDIS_URL"
        return Finding("keys", "fail", "; ".join(wrong), fix)
    if facts.forbidden:
        reason = f"the user may not look at {', '.join(facts.forbidden)}"
        return Finding("keys", "fail", reason, REMEDIES["redis_forbidden"])
    return Finding("keys", "pass", f"{len(facts.kinds)} of PayFlux's keys are there, each of the right type")


def _stream(facts: Facts, backlog: Backlog, maxlen: int) -> Finding:
    if facts.stream not in facts.kinds:
        return Finding("stream", "pass", f"there is no {facts.stream} yet; the first event makes it")
    reason = f"{backlog.length:,} entries"
    if not maxlen:
        return Finding(
            "stream", "warn", f"{reason}, and never trimmed", "set PAYFLUX_STREAM_MAXLEN, or watch the memory"
        )
    unread = backlog.lag / maxlen
    reason += f" of about {maxlen:,}"
    if unread > UNREAD[0]:
        reason += f", {backlog.lag:,} of them unread: unread entries are trimmed soon"
        fix = "see that a consumer runs and that its export keeps up, and raise PAYFLUX_STREAM_MAXLEN"
        return Finding("stream", "fail" if unread > UNREAD[1] else "warn", reason, fix)
    return Finding("stream", "pass", reason)


def _group(facts: Facts, backlog: Backlog, claim_idle_sec: int) -> Finding:
    groups = {group.name: group for group in facts.groups}
    others = ", ".join(f"{name} ({group.pending:,} pending)" for name, group in groups.items() if name != facts.group)
    others = f"; other groups: {others}" if others else ""
    if facts.group not in groups:
        if not backlog.length:
            return Finding("group", "pass", f"there is no {facts.group} yet; the first consumer makes it{others}")
        return Finding(
            "group", "warn", f"there is no {facts.group}: nobody has consumed yet{others}", "start payflux serve"
        )
    consumers = groups[facts.group].consumers
    waiting = f"{backlog.pending:,} pending, {backlog.lag:,} unread"
    if not facts.consumed and (backlog.pending or backlog.lag):
        return Finding("group", "warn", f"{waiting}, and no consumer is at work{others}", "start payflux serve")
    if (facts.oldest_pending_ms or 0) > 2000 * claim_idle_sec:
        stuck = max(consumers, key=lambda name: consumers[name][0], default="")
        reason = f"{waiting}, one for {facts.oldest_pending_ms or 0:,} ms; most of them at {stuck}{others}"
        return Finding("group", "warn", reason, "see the log of the consumer that is at work")
    at_work = f"consumed now (consumers known: {len(consumers):,})" if facts.consumed else "no consumer is at work"
    return Finding("group", "pass", f"{waiting}; {at_work}{others}")


def _dead_letters(facts: Facts, backlog: Backlog, refused: StreamUnavailable | None) -> Finding:
    if refused is not None:
        reason = f"what is invalid cannot be set aside and stays pending: {refused}"
        return Finding("dead_letters", "fail", reason, REMEDIES.get(refused.code, "see Redis's log"))
    if not backlog.dead:
        return Finding("dead_letters", "pass", "there are none")
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in facts.dead_reasons.most_common(5))
    return Finding("dead_letters", "warn", f"{backlog.dead:,}: {reasons}", "payflux dlq list")


def _size(number: int) -> str:
    return f"{number / (1 << 30):,.1f} GiB" if number >= 1 << 30 else f"{number / (1 << 20):,.1f} MiB"
