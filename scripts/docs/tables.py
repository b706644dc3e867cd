"""Write the reference tables of README and docs/ from the declarations in the code: `make docs`.

A table stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->`; everything outside is written by hand.
"""

import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cyclopts import App
from cyclopts.argument import Argument

from payflux.alerts import Notice
from payflux.alerts.message import text
from payflux.alerts.registry import RECEIVERS, kind_of
from payflux.alerts.trial import trial
from payflux.cli import COMMANDS, app
from payflux.errors import REMEDIES
from payflux.event import outcome, taxonomy
from payflux.event.rules import CODES, REQUIRED
from payflux.exporters.grouped import GROUPED, group_destination
from payflux.exporters.registry import EXPORTERS, MODES, destination
from payflux.load.corpus.scenarios import SCENARIOS
from payflux.node.settings import SETTINGS
from payflux.operations.exposition import HEALTH, INFO, REDIS_GAUGES
from payflux.operations.incident_gauges import GAUGES
from payflux.redis.monitor import Durability
from payflux.risk.incidents.wording import section
from payflux.telemetry import metrics
from payflux.telemetry.reasons import ALERT_RESULTS, WEBHOOK_RESULTS
from payflux.webhooks.registry import ADAPTERS, load_source, secrets_of
from scripts.docs.api import api, document, operations
from scripts.docs.detection import (
    detected_incidents,
    detection_bounds,
    detection_costs,
    detection_summary,
    detection_targets,
    detectors,
)
from scripts.docs.markdown import Row, code, table

ROOT = Path(__file__).parent.parent.parent
PAGES = (
    *(ROOT / name for name in ("README.md", "RUNBOOK.md", "examples/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "connect").glob("*.md")),
)
BLOCK = re.compile(r"(<!-- begin: ([a-z-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)
INFO_LABELS = {"unready": ("reason",), "redis_durability_info": Durability._fields, "build_info": ("version", "python")}
EXIT_CODES = re.compile(r"\n*Exit codes: (.*?)\.?\s*(?=\n\n|\Z)", re.DOTALL)
UNROUTED = (
    (404, "not_found", "no such path"),
    (405, "method_not_allowed", "the path takes other methods; `Allow` names them"),
)


def settings() -> str:
    """Every variable of the environment."""
    rows = ((code(s.name), code(s.default), s.help + (" Secret." if s.secret else "")) for s in SETTINGS)
    return table(("variable", "default", "meaning"), rows)


def exporters() -> str:
    """Every word of PAYFLUX_EXPORT_MODE."""
    kinds = {name: destination(name) for name in EXPORTERS}
    rows = [
        (code(name), kind.help, ", ".join(code(s.name) for s in kind.settings) or "-", "yes" if kind.confirms else "no")
        for name, kind in kinds.items()
    ]
    both = ", ".join(code(setting.name) for name in MODES["both"] for setting in kinds[name].settings)
    rows.append((code("both"), " and ".join(map(code, MODES["both"])), both, "no"))
    rows.append((code("none"), "nowhere: events are scored and acked all the same", "-", "no"))
    return table(("`PAYFLUX_EXPORT_MODE`", "lines go to", "settings", "`export_then_ack`"), rows)


def group_exporters() -> str:
    """Every exporter that has a consumer group of its own."""
    rows = []
    for name in GROUPED:
        kind = group_destination(name)
        batch = f"{kind.batch.events:,} events, {kind.batch.bytes:,} bytes, {kind.batch.seconds} s"
        rows.append((code(name), kind.help, batch, ", ".join(code(one.name) for one in kind.settings)))
    return table(("exporter", "sends", "at once, at most", "settings of its own"), rows)


def webhooks() -> str:
    """Every processor whose webhooks are understood."""
    rows = []
    for name, target in ADAPTERS.items():
        source = load_source(target)
        named = ", ".join(code(one.name) for one in (secrets_of(name), *source.settings))
        rows.append((code(name), source.help, source.signed_by, f"{source.days} days", named))
    return table(("processor", "what its webhooks carry", "signed by", "sent again for", "settings"), rows)


def metric_rows() -> Iterator[Row]:
    """Name, kind, labels and meaning of every metric."""
    for metric in (*metrics.METRICS, *metrics.OF_EXPORTERS):
        labels = ", ".join(code(label.name) for label in metric.labels) or "-"
        yield code(f"payflux_{metric.name}"), metric.kind, labels, metric.help
    for name, (meaning, names) in GAUGES.items():
        yield code(f"payflux_{name}"), "gauge", ", ".join(map(code, names)), meaning
    for name, meaning in (REDIS_GAUGES | HEALTH | INFO).items():
        labels = ", ".join(map(code, INFO_LABELS.get(name, ()))) or "-"
        yield code(f"payflux_{name}"), "gauge", labels, meaning


def reasons(values: Mapping[str, str]) -> Callable[[], str]:
    """The values a label `reason` can have."""
    return lambda: table(("reason", "meaning"), ((code(value), meaning) for value, meaning in values.items()))


def endpoints() -> str:
    """Every path, what it answers and whether it takes a key."""
    rows = []
    for method, path, operation in operations():
        statuses = " ".join(code(status) for status in operation["responses"])
        rows.append(
            (code(f"{method} {path}"), "yes" if "security" in operation else "no", operation["summary"], statuses)
        )
    return table(("method and path", "key", "what", "answers"), rows)


def _problems() -> Iterator[tuple[int, str, str, bool]]:
    """Status, code, words, and whether the answer says when to come again."""
    for _, _, operation in operations():
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            [content] = response["content"].values()
            examples = {name: example["value"]["detail"] for name, example in content["examples"].items()}
            detail = ""
            for name in content["schema"]["allOf"][1]["properties"]["code"]["enum"]:
                detail = examples.get(name, detail)  # codes that are told in the same words follow one another
                yield int(status), name, detail, "Retry-After" in response.get("headers", {})
    for status, name, detail in UNROUTED:
        yield status, name, detail, False


def problems() -> str:
    """Every HTTP error: status, code and meaning."""
    found: dict[tuple[int, str], list[str]] = defaultdict(list)
    again = {}
    for status, name, detail, retry in _problems():
        meaning = CODES.get(name) or (REMEDIES[name][0].upper() + REMEDIES[name][1:] + "." if name in REMEDIES else "")
        found[status, name].append(meaning or detail[0].upper() + detail[1:] + ".")
        again[status, name] = retry
    rows = (
        (code(status), code(name), told[0], "yes" if again[status, name] else "no")
        for (status, name), told in sorted(found.items())
    )
    return table(("status", "code", "meaning", "`Retry-After`"), rows)


def field_codes() -> str:
    """What can be wrong with one member of an event."""
    whole = {"invalid_json", "duplicate_member", "invalid_event"}
    return table(("code", "meaning"), ((code(name), text) for name, text in CODES.items() if name not in whole))


def members() -> str:
    """Every member of an event."""
    described = document()["components"]["schemas"]["PaymentEvent"]["properties"]
    rows = (
        (code(name), _kind(schema), _need(name, schema), schema["description"]) for name, schema in described.items()
    )
    return table(("member", "type", "if not sent", "meaning"), rows)


def outcome_words() -> str:
    """The words that tell an event's outcome."""
    told: tuple[tuple[str, str, Iterable[str]], ...] = (
        ("`retry_result`", "success", sorted(outcome.SUCCESS_RESULTS)),
        ("`retry_result`", "failure", sorted(outcome.FAILURE_RESULTS)),
        ("`event_type`", "failure", outcome.FAILURE_WORDS),
        ("`event_type`", "neutral", outcome.OPEN_WORDS),
        ("`event_type`", "success", outcome.SUCCESS_WORDS),
    )
    return table(
        ("member", "outcome", "words"), ((name, kind, " ".join(map(code, words))) for name, kind, words in told)
    )


def failure_categories() -> str:
    """Every category of failures."""
    rows = (
        (code(name), one.retry.replace("_", " "), one.origin, "**yes**" if one.counts else "no", one.meaning)
        for name, one in taxonomy.CATEGORIES.items()
    )
    return table(("category", "retry", "caused by", "counts", "meaning"), rows)


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(code(value) for value in schema["enum"] if value is not None)
    if "string" in schema["type"]:
        return f"text, at most {schema['maxLength']}"
    return f"whole number, {schema['minimum']} to {schema['maximum']:,}"


def _need(name: str, schema: Mapping[str, Any]) -> str:
    if name in REQUIRED:
        return "**refused**"
    return f"`{schema['default']!r}`".replace("''", '""') if "default" in schema else "left out"


def every_command() -> dict[str, App]:
    """Every command, those below another one included, by its words."""
    found: dict[str, App] = {}
    for name in (*COMMANDS, "completion"):
        command = app[name]
        below = [word for word in command if not word.startswith("-")] if command.default_command is None else []
        found |= {f"{name} {word}": command[word] for word in below} or {name: command}
    return found


def about(command: App) -> str:
    """What a command says about itself."""
    return inspect.getdoc(command.default_command) or ""


def options(command: App) -> list[Argument]:
    """What a command takes."""
    return [argument for argument in command.assemble_argument_collection() if argument.show]


def commands() -> str:
    """A section for each command."""
    return "\n".join(_section(f"payflux {words}", command) for words, command in every_command().items())


def _section(title: str, command: App) -> str:
    text = re.sub(r"\n\n((?: {4}.+\n)+)", _fenced, EXIT_CODES.sub("", about(command)).rstrip() + "\n")
    rows = [(code(_name(one)), _default(one), _meaning(one)) for one in options(command)]
    taken = f"\n{table(('option', 'default', 'meaning'), rows)}" if rows else ""
    return f"### `{title}`\n\n{text}{taken}"


def _fenced(found: re.Match[str]) -> str:
    return f"\n\n```bash\n{inspect.cleandoc(found[1])}\n```\n"


def _name(argument: Argument) -> str:
    name = argument.names[0]
    return name if argument.hint is bool or not name.startswith("-") else f"{name} …"


def _meaning(argument: Argument) -> str:
    choices = ", ".join(map(code, argument.get_choices() or ()))
    return (argument.parameter.help or "") + (f" One of {choices}." if choices else "")


def _default(argument: Argument) -> str:
    if argument.required:
        return "required"
    default = argument.field_info.default
    return "-" if default in (None, False, inspect.Parameter.empty) else code(default)


def exit_codes_of(command: App) -> dict[int, str]:
    """Exit codes and what they mean, from a command's own words."""
    told = EXIT_CODES.search(about(command))
    text = " ".join(told[1].split()) if told else ""
    parts = re.split(r"(?:^|[,;] )(\d+) ", text)[1:]
    return {int(number): meaning for number, meaning in zip(parts[::2], parts[1::2], strict=True)}


def exit_codes() -> str:
    """The exit codes of every command."""
    known = {words: exit_codes_of(command) for words, command in every_command().items()}
    numbers = sorted({number for codes in known.values() for number in codes})
    rows = ((code(words), *(codes.get(number, "-") for number in numbers)) for words, codes in known.items())
    return table(("command", *map(code, numbers)), rows)


def scenarios() -> str:
    """Everything that can happen to simulated traffic."""
    rows = (
        (
            code(name),
            scenario.summary,
            code(scenario.driver),
            code(scenario.dimension),
            ", ".join(map(code, scenario.also)),
        )
        for name, scenario in SCENARIOS.items()
    )
    return table(("scenario", "what happens", "driver", "dimension", "right as well"), rows)


def receivers() -> str:
    """Every receiver of incidents, with its settings."""
    rows = (
        (code(name), kind.help, ", ".join(code(setting.name) for setting in kind.settings))
        for name, kind in ((name, kind_of(name)) for name in RECEIVERS)
    )
    return table(("receiver", "what it is", "settings of its own"), rows)


def alert_message() -> str:
    """What a receiver is told of an incident, in plain words."""
    example = trial(1_767_960_000)
    told = Notice(kind="opened", incident=example, runbook=f"https://wiki.example.com/RUNBOOK.md#{section(example)}")
    return f"```text\n{text(told)}\n```\n"


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "exporters": exporters,
    "group-exporters": group_exporters,
    "webhooks": webhooks,
    "webhook-results": lambda: table(
        ("result", "meaning"), ((code(name), meaning) for name, meaning in WEBHOOK_RESULTS.items())
    ),
    "receivers": receivers,
    "alert-message": alert_message,
    "alert-results": lambda: table(
        ("result", "meaning"), ((code(name), meaning) for name, meaning in ALERT_RESULTS.items())
    ),
    "metrics": lambda: table(("metric", "type", "labels", "meaning"), metric_rows()),
    "reject-reasons": reasons(metrics.REJECT_REASONS),
    "http-reasons": reasons(metrics.HTTP_REASONS),
    "denied-reasons": reasons(metrics.DENIED_REASONS),
    "export-reasons": reasons(metrics.EXPORT_REASONS),
    "lost-reasons": reasons(metrics.LOST_REASONS),
    "dlq-reasons": reasons(metrics.DLQ_REASONS),
    "endpoints": endpoints,
    "api": api,
    "problems": problems,
    "field-codes": field_codes,
    "members": members,
    "outcome-words": outcome_words,
    "failure-categories": failure_categories,
    "scenarios": scenarios,
    "detectors": detectors,
    "detected-incidents": detected_incidents,
    "detection-bounds": detection_bounds,
    "detection-summary": detection_summary,
    "detection-targets": detection_targets,
    "detection-costs": detection_costs,
    "commands": commands,
    "exit-codes": exit_codes,
}


def rendered(text: str) -> str:
    """A page with every table in it made anew; raises KeyError for a table there is not."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}", text)


def main() -> int:
    """Write the pages; returns the exit code."""
    for page in PAGES:
        former = page.read_text()
        if (now := rendered(former)) != former:
            page.write_text(now)
            print(f"written: {page.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
