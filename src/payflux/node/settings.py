"""The settings of a node: every one there is, read and checked together."""

import re
from collections.abc import Mapping
from typing import Any

from payflux.alerts import registry as alerts
from payflux.consume.consumer import CLAIM_IDLE_SEC, MAX_DELIVERIES
from payflux.event.outcome import OUTCOMES
from payflux.exporters import grouped, registry
from payflux.exporters.fanout import EXPORT_QUEUE_BYTES
from payflux.http.limits import HTTP_KEEPALIVE_SEC, HTTP_UNFINISHED_PER_PEER
from payflux.http.listeners import ADMIN_ADDR, HTTP_ADDR
from payflux.ingest.gatekeeper import API_KEY, API_KEYS, METRICS_TOKEN, READ_KEYS, check_a_key, check_keys
from payflux.ingest.token_bucket import RATELIMIT_BURST, RATELIMIT_RPS
from payflux.node.incident_lines import INCIDENT_FILE, check_incident_file
from payflux.operations import checkout
from payflux.redis.address import SETTINGS as OF_REDIS
from payflux.redis.address import check_address
from payflux.redis.append import DEDUP_TTL_SEC, STREAM_MAXLEN
from payflux.risk.scoring import RISK_EVIDENCE, RISK_SCORE_ENABLED, RISK_SCORE_THRESHOLDS, RISK_SCORE_WINDOW_SEC
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


def check_admin(values: Values) -> list[str]:
    """The rule that operators have an address of their own, if they have one."""
    address = values[ADMIN_ADDR]
    if address is not None and address[1] and address[1] == values[HTTP_ADDR][1]:
        return [f"PAYFLUX_ADMIN_ADDR={values.text(ADMIN_ADDR)!r}: expected another port than that of HTTP_ADDR"]
    return []


SETTINGS: tuple[Setting[Any], ...] = (
    *(API_KEYS, API_KEY, *OF_REDIS, HTTP_ADDR, ADMIN_ADDR, HTTP_KEEPALIVE_SEC),
    *(HTTP_UNFINISHED_PER_PEER, METRICS_TOKEN, READ_KEYS),
    *(WORKERS, CONSUMER_NAME),
    *(RATELIMIT_RPS, RATELIMIT_BURST, STREAM_MAXLEN, DEDUP_TTL_SEC, PANIC_MODE),
    *(registry.EXPORT_MODE, *registry.settings(), registry.EXPORT_ACK, EXPORT_QUEUE_BYTES, INCIDENT_FILE),
    *grouped.settings(),
    *(CLAIM_IDLE_SEC, MAX_DELIVERIES),
    *(OUTCOMES, RISK_SCORE_ENABLED, RISK_SCORE_WINDOW_SEC, RISK_SCORE_THRESHOLDS, RISK_EVIDENCE),
    *webhooks.settings(),
    *alerts.settings(),
    *checkout.SETTINGS,
)
"""Every setting of a node."""


QUOTES = ("'", '"')


def quoted_secrets(values: Values) -> list[str]:
    """One line for each secret that is probably not what was meant: env files and manifests keep quotation marks."""
    given = values.given()
    texts = {s.name: re.split(r"[,\n]", given[s.name]) for s in SETTINGS if s.secret and s.name in given}
    return [
        f"{name}: a value begins or ends with a quotation mark, which counts as a part of it; remove those marks"
        for name, words in texts.items()
        if any(word.strip().startswith(QUOTES) or word.strip().endswith(QUOTES) for word in words)
    ]


def load_settings(*, serves: bool = True, environ: Mapping[str, str] | None = None, handed_on: bool = False) -> Values:
    """Read and check the environment of a node.

    Args:
        serves: it is to be served; who only looks at it needs no key.
        environ: the environment; None for that of this process.
        handed_on: the environment is that which another process of the node has handed on.

    Raises:
        SettingsError: naming every problem.
    """
    needed = (check_a_key, checkout.check_checkout) if serves else ()
    environ = environment() if environ is None else environ
    own = (*grouped.further_settings(environ), *alerts.further_settings(environ))
    declared = (*SETTINGS, *webhooks.further_settings(environ), *own)
    export = (registry.check_export, grouped.check_exporters, alerts.check_alerts, check_incident_file)
    checks = (check_keys, check_admin, check_address, *export, webhooks.check_webhooks)
    return load(declared, environ, (*needed, *checks), handed_on=handed_on)
