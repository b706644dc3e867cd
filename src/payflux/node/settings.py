"""The settings of a node: every one there is, read and checked together."""

from typing import Any

from payflux.consume.consumer import CLAIM_IDLE_SEC, MAX_DELIVERIES
from payflux.event.outcome import OUTCOMES
from payflux.exporters import registry
from payflux.exporters.fanout import EXPORT_QUEUE_BYTES
from payflux.http.listeners import HTTP_ADDR
from payflux.ingest.gatekeeper import API_KEY, API_KEYS, check_a_key, check_keys
from payflux.ingest.token_bucket import RATELIMIT_BURST, RATELIMIT_RPS
from payflux.operations import checkout
from payflux.redis.address import REDIS_ADDR, REDIS_URL, check_address
from payflux.redis.append import DEDUP_TTL_SEC, STREAM_MAXLEN
from payflux.risk.scorer import RISK_SCORE_ENABLED, RISK_SCORE_THRESHOLDS, RISK_SCORE_WINDOW_SEC
from payflux.settings import Setting, Values, choice, environment, integer, load, optional
from payflux.webhooks import registry as webhooks


def _name(text: str) -> str:
    if len(text) > 200 or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("at most 200 printable ASCII characters without blanks")
    return text


WORKERS = optional("PAYFLUX_WORKERS", integer(1, 256), "Ingest processes; unset: half the CPUs, 1 to 8.")
CONSUMER_NAME = optional("PAYFLUX_CONSUMER_NAME", _name, "Consumer name in the group; unset: host-pid-random.")
PANIC_MODE = Setting(
    "PAYFLUX_PANIC_MODE",
    choice("crash", "recover"),
    "crash",
    "After 5 deaths of child processes in 60 s: exit (crash), or keep trying, unready (recover).",
)

SETTINGS: tuple[Setting[Any], ...] = (
    *(API_KEYS, API_KEY, REDIS_ADDR, REDIS_URL, HTTP_ADDR, WORKERS, CONSUMER_NAME),
    *(RATELIMIT_RPS, RATELIMIT_BURST, STREAM_MAXLEN, DEDUP_TTL_SEC, PANIC_MODE),
    *(registry.EXPORT_MODE, *registry.settings(), registry.EXPORT_ACK, EXPORT_QUEUE_BYTES),
    *(CLAIM_IDLE_SEC, MAX_DELIVERIES),
    *(OUTCOMES, RISK_SCORE_ENABLED, RISK_SCORE_WINDOW_SEC, RISK_SCORE_THRESHOLDS),
    *webhooks.settings(),
    *checkout.SETTINGS,
)
"""Every setting of a node."""


def load_settings(*, serves: bool = True) -> Values:
    """Read and check the environment of a node.

    Args:
        serves: it is to be served; who only looks at it needs no key.

    Raises:
        SettingsError: naming every problem.
    """
    needed = (check_a_key, checkout.check_checkout) if serves else ()
    environ = environment()
    declared = (*SETTINGS, *webhooks.further_settings(environ))
    checks = (check_keys, check_address, registry.check_export, webhooks.check_webhooks)
    return load(declared, environ, (*needed, *checks))
