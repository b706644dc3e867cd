"""Who may send, and how fast, by the settings: keys that cannot be guessed, a rate that is a limit."""

from collections.abc import Sequence
from math import log2

from payflux.finding import Finding
from payflux.ingest.gatekeeper import keys_of
from payflux.ingest.token_bucket import RATELIMIT_BURST, RATELIMIT_RPS
from payflux.redis.append import STREAM_MAXLEN
from payflux.settings import Values, mask

KEY_BITS = 80
"""What a key must be worth by its length and variety; `openssl rand -hex 24` is worth about 180."""
TELLING = ("change", "replace", "example", "secret", "password", "test", "demo", "default", "sample", "payflux")
NO_LIMIT_RPS = 50_000  # more than a node takes in from one key


def judge_access(values: Values) -> list[Finding]:
    """What the environment says of keys and rates."""
    return [judge_keys(keys_of(values)), _rate_limit(values)]


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
