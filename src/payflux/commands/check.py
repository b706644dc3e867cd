"""`payflux check`: is everything as it must be, and what would be lost in a crash?"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from payflux.alerts.findings import judge_alerts
from payflux.checks.checklist import Deployment, deployment_of, judge_deployment
from payflux.checks.durability import judge_for_production, would_lose
from payflux.checks.export import judge_export, judge_exporters
from payflux.checks.redis_server import judge
from payflux.consume.consumer import CLAIM_IDLE_SEC
from payflux.errors import REMEDIES, SettingsError, StreamUnavailable
from payflux.finding import Finding
from payflux.node.settings import SETTINGS, load_settings, quoted_secrets
from payflux.redis.address import SETTINGS as REDIS_SETTINGS
from payflux.redis.address import RedisAddress, address_of
from payflux.redis.append import STREAM_MAXLEN
from payflux.redis.dial import connect
from payflux.redis.inspection import inspect
from payflux.redis.keys import Keys
from payflux.redis.monitor import Durability, RedisMonitor
from payflux.redis.repair import mend, oddities
from payflux.redis.replies import text
from payflux.settings import Values, environment, load, variables
from payflux.stream.deliveries import Backlog
from payflux.stream.protocol import GROUP
from payflux.terminal.ending import EXIT_FAILED, EXIT_USAGE, complain, operate
from payflux.terminal.output import emit, emit_json, printable

OF_REDIS = (*REDIS_SETTINGS, STREAM_MAXLEN, CLAIM_IDLE_SEC)
STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red"}
"""Every verdict, in the order they are shown in: what has to be done stands where a terminal stops."""


def check(
    *,
    strict: Annotated[bool, Parameter(help="Let warnings fail too.", negative="")] = False,
    json: Annotated[bool, Parameter(help="One JSON object.", negative="")] = False,
    production: Annotated[bool, Parameter(help="The production checklist too.", negative="")] = False,
    node: Annotated[str | None, Parameter(help="The running node; unset: HTTP_ADDR on this machine.")] = None,
    prometheus: Annotated[str | None, Parameter(help="The Prometheus that scrapes it.")] = None,
    repair: Annotated[bool, Parameter(help="Show how strange values would be put right.", negative="")] = False,
    yes: Annotated[bool, Parameter(help="With --repair: do it.", negative="")] = False,
) -> int:
    """Check configuration, Redis, durability, stream and export, and say what a crash of Redis would lose.

    Run it with the environment of the node, as the node's user and on its machine. Each finding is pass, warn or fail,
    with its reason and the fix, failures last. It changes nothing; on a new Redis the number 0 is noted, as by every
    health check.

    With --production it walks the checklist for going live against the node that runs: keys, rate limit, durability,
    persistence, the node's answers, alerting, disk, rotation, and whether the newest events can be understood. It sends
    the node two events without a valid key, which must be refused.

    With --repair it says what stands in the keys of PayFlux and cannot be its own, and what the stream says in its
    place; with --repair --yes it puts that there. A field that has changed meanwhile is left alone.

    For example:

        payflux check
        payflux check --repair
        payflux check --strict && payflux serve
        payflux check --json | jq -r .would_lose
        payflux check --production --prometheus http://prometheus:9090

    Exit codes: 0 nothing failed; 1 something did, or with --strict there are warnings; 2 the configuration is wrong.
    """
    try:
        values = load_settings(serves=False)
        deployment = deployment_of(values, node, prometheus) if production else None
    except SettingsError as error:
        problems = error.problems
        return operate(lambda: _refused(problems, production=production, as_json=json))
    if not production and (node or prometheus):
        return complain("--node and --prometheus belong to --production", EXIT_USAGE)
    if yes and not repair:
        return complain("--yes belongs to --repair", EXIT_USAGE)
    if repair and (production or json or strict):
        return complain("--repair goes without --production, --json and --strict", EXIT_USAGE)
    if repair:
        return operate(lambda: _repair(address_of(values), write=yes))
    return operate(lambda: _check(values, deployment, strict=strict, as_json=json))


async def _check(values: Values, deployment: Deployment | None, *, strict: bool, as_json: bool) -> int:
    findings = [*_configuration(values)]
    redis, loss = await _redis(values, production=deployment is not None)
    findings += [*redis, *judge_export(values)]
    findings += await judge_alerts(values, deployment.prometheus if deployment is not None else None)
    with suppress(StreamUnavailable):  # said already
        findings += await judge_exporters(values, Keys())
    if deployment is not None:
        findings += await judge_deployment(values, deployment)
        findings += _other_redis(findings, address_of(values))
    _show(findings, loss, as_json=as_json)
    verdicts = {finding.verdict for finding in findings}
    return EXIT_FAILED if "fail" in verdicts or (strict and "warn" in verdicts) else 0


async def _repair(address: RedisAddress, *, write: bool) -> int:
    """Put what cannot be ours right, or say what would be done."""
    link = await connect(address, "payflux-repair")
    try:
        found = await oddities(link, Keys(), GROUP)
        for odd in found:
            done = await mend(link, odd) if write else None
            how = {None: "would become", True: "is now", False: "has changed meanwhile; it was to become"}[done]
            shown = "nothing" if odd.wanted is None else repr(text(odd.wanted))
            emit(f"{printable(f'{odd.key} {odd.field}: {text(odd.value)[:200]!r} {how} {shown}')}\n".encode())
    finally:
        link.close()
    ending = "nothing to repair" if not found else "" if write else "nothing was changed; --repair --yes does it"
    emit(f"{ending}\n".encode() if ending else b"")
    return 0


async def _refused(problems: Sequence[str], *, production: bool, as_json: bool) -> int:
    """What is wrong with the configuration, and how Redis does where that can be told all the same."""
    hint = "docs/configuration.md describes every variable; what is not here is looked at once this is right"
    fixes = [*[""] * (len(problems) - 1), hint]
    findings = [Finding("configuration", "fail", *told) for told in zip(problems, fixes, strict=True)]
    wrong = {setting.name for setting in OF_REDIS if any(line.startswith(setting.name) for line in problems)}
    loss = ""
    if not wrong & {setting.name for setting in REDIS_SETTINGS}:
        environ = environment()
        names = variables(setting for setting in OF_REDIS if setting.name not in wrong)
        right = {name: environ.get(name, "") for name in names}
        redis, loss = await _redis(load(OF_REDIS, right), production=production)
        findings += redis
    _show(findings, loss, as_json=as_json)
    return EXIT_USAGE


def _other_redis(findings: Sequence[Finding], address: RedisAddress) -> list[Finding]:
    """A node that is well cannot use a Redis that is not."""
    verdicts = {finding.check: finding.verdict for finding in findings}
    if verdicts["redis"] != "fail" or verdicts["node"] != "pass":
        return []
    reason = f"the node is healthy although {address} cannot be used from here: it uses another Redis, or login"
    return [Finding("node_redis", "warn", reason, "run this with the environment of the node, on its machine")]


def _configuration(values: Values) -> list[Finding]:
    given = sum(values.is_set(setting) for setting in SETTINGS)
    found = [Finding("configuration", "pass", f"{given} variables are set, all of them right")]
    doubtful = [*values.warnings, *quoted_secrets(values)]
    return found + [Finding("configuration", "warn", text, "unset it, or correct it") for text in doubtful]


async def _redis(values: Values, *, production: bool) -> tuple[list[Finding], str]:
    """Findings about Redis, and what it would lose."""
    address, keys = address_of(values), Keys()
    try:
        facts = await inspect(address, keys, GROUP)
    except StreamUnavailable as error:
        return [Finding("redis", "fail", f"{address}: {error}", _fix(error))], "nobody knows: it cannot be asked"
    findings = [Finding("redis", "pass", f"{address} answers in {facts.round_trip_ms:.1f} ms")]
    admin = RedisMonitor(address, keys, GROUP)
    durability, backlog, progress = Durability(), Backlog(0, 0, 0, 0), None
    try:
        durability = await admin.durability()
        backlog = await admin.backlog()
        progress = await admin.progress()
    except StreamUnavailable as error:
        findings.append(Finding("progress", "fail", f"Redis does not tell how much waits: {error}", _fix(error)))
    admin.close()
    findings += judge(facts, durability, backlog, progress, values[STREAM_MAXLEN], values[CLAIM_IDLE_SEC])
    findings += judge_for_production(facts, durability) if production else []
    return findings, would_lose(facts, durability, time.time())


def _fix(error: StreamUnavailable) -> str:
    return REMEDIES.get(error.code, "look at the log of Redis")


def _show(findings: Sequence[Finding], loss: str, *, as_json: bool) -> None:
    counts = Counter(finding.verdict for finding in findings)
    result = "fail" if counts["fail"] else "warn" if counts["warn"] else "pass"
    if as_json:
        emit_json({"result": result, "would_lose": loss, "findings": findings})
        return
    ordered = sorted(findings, key=lambda finding: list(STYLES).index(finding.verdict))
    numbers = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("pass", "warn", "fail"))
    lost = f"In a crash this Redis would lose: {loss}.\n" if loss else ""
    told = f"{lost}Result: {result} ({numbers})\n"
    if sys.stdout.isatty():
        Console(highlight=False).print(_table(ordered), Text(told), sep="\n", end="")
    else:
        emit(("".join(map(_line, ordered)) + told).encode())


def _table(findings: Sequence[Finding]) -> Table:
    table = Table("", "check", Column("found", overflow="fold"), box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for finding in findings:
        found = Text(printable(finding.reason))
        if finding.fix:
            found.append(f"\n→ {printable(finding.fix)}", "bold" if finding.verdict == "fail" else "")
        table.add_row(Text(finding.verdict, STYLES[finding.verdict]), Text(finding.check), found)
    return table


def _line(finding: Finding) -> str:
    fix = f" -> {finding.fix}" if finding.fix else ""
    return printable(f"{finding.verdict}  {finding.check}: {finding.reason}{fix}") + "\n"
