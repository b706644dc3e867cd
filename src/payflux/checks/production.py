"""The points of the production checklist that the node's settings and its Redis answer: facts in, findings out."""

import time
from collections.abc import Sequence
from math import log2

from payflux.finding import Finding
from payflux.ingest.gatekeeper import keys_of
from payflux.ingest.token_bucket import RATELIMIT_BURST, RATELIMIT_RPS
from payflux.redis.append import STREAM_MAXLEN
from payflux.redis.inspection import Facts
from payflux.redis.monitor import Durability
from payflux.settings import Values, mask

KEY_BITS = 80
"""What a key must be worth by its length and variety; `openssl rand -hex 24` is worth about 180."""
TELLING = ("change", "replace", "example", "secret", "password", "test", "demo", "default", "sample", "payflux")
NO_LIMIT_RPS = 50_000  # more than a node takes in from one key
SAVED_SECONDS = 86_400


def judge_settings(values: Values) -> list[Finding]:
    """What the environment says of keys and rates."""
    return [judge_keys(keys_of(values)), _rate_limit(values)]


def judge_redis(facts: Facts, durability: Durability, now: float | None = None) -> list[Finding]:
    """Whether what was accepted survives a crash of Redis, and the loss of its append-only file.

    Args:
        facts: what Redis said.
        durability: what it does with what it has acknowledged.
        now: Unix seconds.
    """
    return [_durability(facts, durability), _persistence(facts, time.time() if now is None else now)]


def judge_keys(keys: Sequence[str]) -> Finding:
    """Whether the keys can be guessed; a weak one is shown masked."""
    weak = [mask(key) for key in keys if not _is_strong(key)]
    count = f"{len(keys)} key{'' if len(keys) == 1 else 's'}"
    if weak:
        reason = f"{len(weak)} of {count}: short, regular or a placeholder ({', '.join(weak)})"
        fix = "make one for each producer: openssl rand -hex 24; set both in PAYFLUX_API_KEYS until the old one is gone"
        return Finding("auth", "fail", reason, fix)
    return Finding("auth", "pass", f"{count}, long and random")


def _is_strong(key: str) -> bool:
    lowered = key.lower()
    return len(key) * log2(len(set(key))) >= KEY_BITS and not any(word in lowered for word in TELLING)


def _rate_limit(values: Values) -> Finding:
    rps, burst, maxlen = values[RATELIMIT_RPS], values[RATELIMIT_BURST], values[STREAM_MAXLEN]
    reason = f"{rps:,} events a second and key, {burst:,} at once"
    if rps > NO_LIMIT_RPS:
        fix = "set PAYFLUX_RATELIMIT_RPS to twice what a producer sends at its peak"
        return Finding("rate_limit", "fail", f"{reason}: that is no limit, one producer can fill Redis", fix)
    if maxlen:
        minutes = maxlen / rps / len(keys_of(values)) / 60
        reason += f"; at the full rate of all keys the stream holds {minutes:,.0f} minutes"
    return Finding("rate_limit", "pass", reason)


def _durability(facts: Facts, durability: Durability) -> Finding:
    wrong = []
    if durability.aof != "on":
        wrong.append(("the append-only file is not known to be on", "appendonly yes"))
    elif facts.info.get("aof_last_write_status", "ok") != "ok":
        wrong.append(("the last write to the append-only file failed", "free space on Redis's disk"))
    if durability.fsync not in ("always", "everysec"):
        wrong.append((f"appendfsync is {durability.fsync}", "appendfsync everysec, or always"))
    elif facts.config.get("no-appendfsync-on-rewrite") == "yes":
        wrong.append(("nothing is synced while the file is rewritten", "no-appendfsync-on-rewrite no"))
    if durability.policy != "noeviction":
        wrong.append((f"maxmemory-policy is {durability.policy}", "maxmemory-policy noeviction"))
    if wrong:
        return Finding("durability", "fail", "; ".join(what for what, _ in wrong), "; ".join(fix for _, fix in wrong))
    return Finding("durability", "pass", f"append-only file, appendfsync {durability.fsync}, noeviction")


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
