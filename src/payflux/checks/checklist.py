"""The checklist of `payflux check --production` beyond Redis: which points, and where each is asked."""

import asyncio
from dataclasses import dataclass

from payflux.checks.access import judge_access
from payflux.checks.alerting import judge_alerting
from payflux.checks.asking import parse_base
from payflux.checks.export import judge_disk
from payflux.checks.meaning import judge_newest
from payflux.checks.rotation import judge_rotation, judge_stdout_rotation
from payflux.checks.running_node import judge_node
from payflux.errors import SettingsError
from payflux.event.outcome import OUTCOMES
from payflux.exporters.file import EXPORT_FILE
from payflux.exporters.registry import EXPORT_MODE
from payflux.finding import Finding
from payflux.http.listeners import ADMIN_ADDR, HTTP_ADDR
from payflux.ingest.gatekeeper import METRICS_TOKEN
from payflux.redis.address import address_of
from payflux.redis.keys import Keys
from payflux.settings import Values


@dataclass(frozen=True)
class Deployment:
    """Where the parts of a deployment are asked; `prometheus` is None when it was not named.

    `admin` is the node's address for operators, None where it has none of its own.
    """

    node: str
    prometheus: str | None
    admin: str | None = None


def deployment_of(values: Values, node: str | None, prometheus: str | None) -> Deployment:
    """Read the addresses given on the command line.

    Args:
        values: the node's settings, which say where it listens.
        node: its address; None for that of the settings, on this machine.
        prometheus: address of Prometheus, or None.

    Raises:
        SettingsError: one line for each that is none.
    """
    given = {"--node": node or _local(*values[HTTP_ADDR])} | ({"--prometheus": prometheus} if prometheus else {})
    bases, problems = {}, []
    for option, text in given.items():
        try:
            bases[option] = parse_base(text)
        except ValueError as error:
            problems.append(f"{option} {text}: expected {error}")
    if problems:
        raise SettingsError(problems)
    admin = values[ADMIN_ADDR]
    return Deployment(bases["--node"], bases.get("--prometheus"), None if admin is None else _local(*admin))


def _local(host: str, port: int) -> str:
    """Where what listens there is asked from this machine."""
    host = "127.0.0.1" if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}"


async def judge_deployment(values: Values, deployment: Deployment) -> list[Finding]:
    """Keys, rate, node, alerting, disk, rotation, and what the newest events say."""
    file = values[EXPORT_FILE] if "file" in values[EXPORT_MODE] else None
    node = await asyncio.to_thread(judge_node, deployment.node, deployment.admin, values[METRICS_TOKEN])
    alerting = await asyncio.to_thread(judge_alerting, deployment.prometheus)
    rotation = judge_rotation(file) if file is not None else judge_stdout_rotation()
    newest = await judge_newest(address_of(values), Keys(), values[OUTCOMES])
    return [*judge_access(values), *node, alerting, judge_disk(file), rotation, *newest]
