"""What expressions of Prometheus ask for: metrics and labels, held against what a node exposes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from payflux.operations.exposition import HEALTH, INFO, REDIS_GAUGES
from payflux.operations.health import UNREADY
from payflux.operations.incident_gauges import GAUGES
from payflux.operations.openapi import UNCONFIRMED
from payflux.redis.monitor import Durability
from payflux.telemetry.metrics import METRICS, OF_EXPORTERS

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "deploy" / "prometheus" / "rules" / "payflux.rules.yml"
SCRAPED = {"job", "instance", "pod"}
"""Labels that Prometheus adds."""

SELECTOR = re.compile(r"\b(payflux_\w+|up|ALERTS)\b\s*(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left)\s*\(([^)]*)\)")


def exposed() -> dict[str, dict[str, tuple[str, ...]]]:
    """Every series a node exposes: its labels, each with its fixed values or none where they are open."""
    found: dict[str, dict[str, tuple[str, ...]]] = {f"payflux_{name}": {} for name in REDIS_GAUGES | HEALTH | INFO}
    found["payflux_unready"] = {"reason": (*UNREADY, *UNCONFIRMED)}
    found["payflux_redis_durability_info"] = dict.fromkeys(Durability._fields, ())
    found["payflux_build_info"] = {"version": (), "python": ()}
    found |= {f"payflux_{name}": dict.fromkeys(labels, ()) for name, (_, labels) in GAUGES.items()}
    for metric in (*METRICS, *OF_EXPORTERS):
        labels = {label.name: label.values for label in metric.labels}
        if metric.kind == "histogram":
            found |= {f"payflux_{metric.name}_{part}": labels for part in ("sum", "count")}
            found[f"payflux_{metric.name}_bucket"] = labels | {"le": ()}
        else:
            found[f"payflux_{metric.name}"] = labels
    return found


def objections(expr: str) -> Iterator[str]:
    """What an expression asks for that no node exposes."""
    known, asked = exposed(), dict[str, tuple[str, ...]]()
    for name, matchers in SELECTOR.findall(expr):
        if name in ("up", "ALERTS"):
            continue
        if name not in known:
            yield f"no metric {name}"
            continue
        asked |= known[name]
        for label, operator, value in MATCHER.findall(matchers):
            if label in SCRAPED:
                continue
            if label not in known[name]:
                yield f"{name} has no label {label}"
            elif known[name][label] and not _matches(operator, value, known[name][label]):
                yield f"{label} of {name} is never {value}"
    for grouped in GROUPING.findall(expr):
        yield from (f"nothing has a label {one}" for one in _words(grouped) if one not in SCRAPED | asked.keys())


def _matches(operator: str, value: str, values: tuple[str, ...]) -> bool:
    """Whether each thing a matcher names is a value the label can have."""
    wanted = value.split("|") if operator in ("=~", "!~") else [value]
    return value.startswith("$") or all(one in values for one in wanted)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def alerts() -> dict[str, dict[str, Any]]:
    """The rules that ship, by the name of the alert."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}
