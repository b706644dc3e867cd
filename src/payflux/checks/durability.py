"""What an accepted event is worth after a crash of Redis: facts in, findings out."""

import time

from payflux.finding import Finding
from payflux.redis.inspection import Facts
from payflux.redis.monitor import Durability

SAVED_SECONDS = 86_400


def judge_durability(facts: Facts, durability: Durability) -> list[Finding]:
    """The append-only file, how it is synced, and what a full Redis does.

    Args:
        facts: what Redis said.
        durability: what it does with what it has acknowledged.
    """
    aof = _aof(facts, durability)
    return [_rewriting(facts) if aof.verdict == "pass" else aof, _fsync(facts, durability), _eviction(durability)]


def judge_for_production(facts: Facts, durability: Durability, now: float | None = None) -> list[Finding]:
    """The same with no doubt allowed, in one finding; and snapshots, should the append-only file be damaged.

    Args:
        facts: what Redis said.
        durability: what it does with what it has acknowledged.
        now: Unix seconds.
    """
    points = [_aof(facts, durability), _fsync(facts, durability), _eviction(durability)]
    wrong = [point for point in points if point.verdict != "pass"]
    first = Finding("durability", "pass", f"append-only file, appendfsync {durability.fsync}, noeviction")
    if wrong:
        reason, fix = "; ".join(point.reason for point in wrong), "; ".join(point.fix for point in wrong)
        first = Finding("durability", "fail", reason, fix)
    return [first, _persistence(facts, time.time() if now is None else now)]


def _aof(facts: Facts, durability: Durability) -> Finding:
    if durability.aof == "unknown":
        return Finding("aof", "warn", "it does not tell whether its append-only file is on", "ask whoever operates it")
    if durability.aof == "off":
        fix = "CONFIG SET appendonly yes, and appendonly yes in redis.conf"
        return Finding("aof", "fail", "the append-only file is off: accepted events die with Redis", fix)
    if facts.info.get("aof_last_write_status", "ok") != "ok":
        return Finding("aof", "fail", "the last write to the append-only file failed", "free space on Redis's disk")
    return Finding("aof", "pass", "the append-only file is on")


def _rewriting(facts: Facts) -> Finding:
    if facts.info.get("aof_last_bgrewrite_status", "ok") != "ok":
        fix = "look at Redis's log: memory for the fork, or space on its disk"
        return Finding("aof", "warn", "the last rewrite of the append-only file failed, so it grows", fix)
    return Finding("aof", "pass", "the append-only file is on")


def _fsync(facts: Facts, durability: Durability) -> Finding:
    if durability.aof == "off":
        return Finding("fsync", "warn", "without an append-only file nothing is synced", "see aof")
    if durability.fsync not in ("always", "everysec", "no"):
        return Finding("fsync", "warn", "it does not tell its fsync policy", "make sure that it is everysec or always")
    if durability.fsync == "no":
        return Finding(
            "fsync", "warn", "appendfsync no: the kernel decides when", "CONFIG SET appendfsync everysec, or always"
        )
    if facts.config.get("no-appendfsync-on-rewrite") == "yes":
        reason = f"appendfsync {durability.fsync}, but not while the file is rewritten"
        return Finding("fsync", "warn", reason, "CONFIG SET no-appendfsync-on-rewrite no")
    return Finding("fsync", "pass", f"appendfsync {durability.fsync}")


def _eviction(durability: Durability) -> Finding:
    policy, fix = durability.policy, "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf"
    if policy == "noeviction":
        return Finding("eviction", "pass", "noeviction: a full Redis refuses instead of forgetting")
    if policy.startswith("allkeys-"):
        return Finding("eviction", "fail", f"{policy}: a full Redis deletes the stream or its marks", fix)
    if policy.startswith("volatile-"):
        return Finding("eviction", "warn", f"{policy}: a full Redis deletes the consumer's lease", fix)
    return Finding("eviction", "warn", "it does not tell its eviction policy", fix)


def _persistence(facts: Facts, now: float) -> Finding:
    """The second line: a snapshot, should the append-only file be damaged."""
    schedule = facts.config.get("save")
    if facts.info.get("rdb_last_bgsave_status", "ok") != "ok":
        fix = "look at Redis's log: memory for the fork, or space on its disk"
        return Finding("persistence", "fail", "the last snapshot (RDB) failed", fix)
    if schedule is None:
        return Finding("persistence", "warn", "it does not tell when it takes snapshots", "ask whoever operates it")
    if not schedule:
        fix = "save 3600 1 300 100 in redis.conf, and copy dump.rdb elsewhere"
        return Finding("persistence", "warn", "no snapshots (RDB): a damaged append-only file has no second line", fix)
    saved = facts.info.get("rdb_last_save_time", "")
    age = now - int(saved) if saved.isdigit() else 0.0
    reason = f"snapshots by `save {schedule}`, the last {age / 3600:,.1f} hours ago"
    changed = facts.info.get("rdb_changes_since_last_save", "0") != "0"
    if age > SAVED_SECONDS and changed:
        return Finding("persistence", "warn", f"{reason}, with changes since", "BGSAVE, and look at Redis's log")
    return Finding("persistence", "pass", reason)


def would_lose(facts: Facts, durability: Durability, now: float) -> str:
    """What the connected Redis would lose in a crash, in plain words.

    Sources: the Redis documentation on persistence, and `flushAppendOnlyFile` in its source: with `everysec` a write
    waits up to 2 seconds for a slow fsync.

    Args:
        facts: what it said.
        durability: what it does with what it has acknowledged.
        now: Unix seconds.
    """
    loss = _loss(facts, durability, now)
    if facts.info.get("connected_slaves", "0") != "0":
        loss += "; a fail-over to a replica loses what that had not received"
    return loss


def _loss(facts: Facts, durability: Durability, now: float) -> str:
    if durability.aof == "off":
        if not facts.config.get("save", "?"):
            return "everything: it writes nothing to disk"
        saved, changes = facts.info.get("rdb_last_save_time", ""), facts.info.get("rdb_changes_since_last_save", "?")
        minutes = f"{(now - int(saved)) / 60:,.0f} minutes ago" if saved.isdigit() else "unknown when"
        return f"everything since its last snapshot ({minutes}, {changes} changes since)"
    if durability.aof == "unknown":
        return "nobody knows: it does not tell how it persists"
    return FSYNC_LOSSES.get(durability.fsync, "nobody knows: it does not tell its fsync policy")


FSYNC_LOSSES = {
    "always": "nothing it has accepted, provided that its disk keeps what it calls written",
    "everysec": "if its process dies normally nothing, if its machine dies up to 2 seconds of accepted events",
    "no": "if its machine dies what the kernel had not written yet, usually up to 30 seconds of accepted events",
}
