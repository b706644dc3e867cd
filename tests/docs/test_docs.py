"""Documentation cannot drift: everything declared is documented, tables are fresh, and nothing else is promised."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from payflux.event.decode import ADDITIVE_FIELDS, EVENT_FIELDS
from payflux.event.rules import CODES
from payflux.http.messages import Request, problem
from payflux.http.router import Router
from payflux.node.settings import SETTINGS
from payflux.operations.exposition import HEALTH, INFO, REDIS_GAUGES
from payflux.operations.health import UNREADY
from payflux.operations.incident_gauges import GAUGES
from payflux.operations.openapi import UNCONFIRMED
from payflux.operations.routes import Answer, alive
from payflux.risk.assessment import BANDS
from payflux.risk.drivers import DRIVERS
from payflux.telemetry.metrics import (
    DENIED_REASONS,
    DLQ_REASONS,
    EXPORT_REASONS,
    HTTP_REASONS,
    LOST_REASONS,
    METRICS,
    OF_EXPORTERS,
    REJECT_REASONS,
)
from payflux.telemetry.reasons import ALERT_RESULTS, WEBHOOK_RESULTS
from payflux.terminal.ending import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from scripts.docs import tables
from scripts.docs.api import operations

TEXTS = {page: page.read_text() for page in tables.PAGES}
EVERYTHING = "\n".join(TEXTS.values())
CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
VARIABLE = re.compile(r"\bPAYFLUX_[A-Z_]*[A-Z]\b")
METRIC = re.compile(r"\bpayflux_[a-z_]*[a-z]\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
MISSPELT = {"PAYFLUX_STREAM_MAXLENGTH"}
"""Wrong on purpose, to show what is said about it."""
OWN = {"PAYFLUX_ALERT_SMS_URL", "PAYFLUX_ALERT_SMS_TO", "PAYFLUX_ALERT_SMS_LEAST", "PAYFLUX_EXPORT_SQLITE_PATH"}
"""Of the receiver and the exporter that docs/extending.md makes."""


def page(name: str) -> str:
    """The text of a page of docs/."""
    return TEXTS[tables.ROOT / "docs" / name]


def spans() -> Iterator[str]:
    """Everything set as code, in all pages."""
    for text in TEXTS.values():
        for block, span in CODE.findall(text):
            yield block or span


@pytest.mark.parametrize("path", tables.PAGES, ids=lambda path: str(path.relative_to(tables.ROOT)))
def test_tables_are_fresh(path: Path) -> None:
    """Each generated table is what the declarations say today; `make docs` writes it."""
    assert tables.rendered(TEXTS[path]) == TEXTS[path], "stale: run `make docs`"


def test_every_table_is_in_a_page() -> None:
    """No table is generated for nobody, and no marker is left half."""
    assert set(re.findall(r"<!-- begin: (\S+) -->", EVERYTHING)) == set(tables.TABLES)
    assert EVERYTHING.count("<!-- begin: ") == EVERYTHING.count("<!-- end: ") == len(tables.BLOCK.findall(EVERYTHING))


DECLARED = {
    "configuration.md": [s.name for s in SETTINGS],
    "metrics.md": [
        *(*WEBHOOK_RESULTS, *ALERT_RESULTS),
        *(*REJECT_REASONS, *HTTP_REASONS, *DENIED_REASONS, *EXPORT_REASONS, *LOST_REASONS, *DLQ_REASONS),
        *(
            f"payflux_{name}"
            for name in [*(m.name for m in (*METRICS, *OF_EXPORTERS)), *REDIS_GAUGES, *HEALTH, *INFO, *GAUGES]
        ),
    ],
    "errors.md": [*CODES, *UNCONFIRMED, *UNREADY, "not_found", "method_not_allowed", "too_many_connections"],
    "events.md": [*(f"{method} {path}" for method, path, _ in operations()), *EVENT_FIELDS, *ADDITIVE_FIELDS],
    "commands.md": [f"payflux {words}" for words in tables.every_command()],
    "operations.md": [*DLQ_REASONS],
    "risk.md": [*DRIVERS, *BANDS],
}


@pytest.mark.parametrize("name", DECLARED)
def test_everything_declared_is_documented(name: str) -> None:
    """Variables, metrics, reasons, codes, endpoints, members, commands and drivers stand in their page, as code."""
    missing = [word for word in DECLARED[name] if f"`{word}`" not in page(name)]
    assert missing == []


def test_every_status_and_code_of_the_api_is_documented() -> None:
    """Each pair that the OpenAPI document knows is a row of the page of errors."""
    for status, code, _, _ in tables._problems():
        assert f"| `{status}` | `{code}` |" in page("errors.md")


def test_what_is_said_of_unknown_paths_and_methods_is_what_is_answered() -> None:
    """The two errors that belong to no path of the OpenAPI document."""
    router = Router({"/here": {"GET": Answer(alive)}})
    for (status, code, _), request in zip(
        tables.UNROUTED, (Request("GET", "/x"), Request("PUT", "/here")), strict=True
    ):
        answer = router.admit(request)
        assert answer is not None
        assert (answer.status, json.loads(answer.body)["code"]) == (status, code)
        assert status == problem(status, code, "").status


def test_exit_codes_are_documented() -> None:
    """Every command says what its codes mean, 0 and 2 among them, and all codes there are have a meaning."""
    known = {words: tables.exit_codes_of(command) for words, command in tables.every_command().items()}
    assert all({0, EXIT_USAGE} <= set(codes) for codes in known.values()), known
    numbers = {number for codes in known.values() for number in codes}
    assert numbers == {0, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED}
    for words in known:
        assert re.search(rf"^\| `{words}` \| \w", page("commands.md"), re.MULTILINE)


def test_every_option_is_documented() -> None:
    """In the section of its command, with a word about it."""
    for words, command in tables.every_command().items():
        _, _, section = page("commands.md").partition(f"### `payflux {words}`\n")
        section = section.partition("\n### ")[0]
        assert tables.about(command).partition("\n")[0] in section
        for option in tables.options(command):
            assert re.search(rf"^\| `{re.escape(option.names[0])}[` ].* \| \w", section, re.MULTILINE), option.names


def test_no_variable_is_invented() -> None:
    """Every variable a page names exists."""
    known = {s.name for s in SETTINGS} | {f"{s.name}_FILE" for s in SETTINGS if s.secret}
    assert set(VARIABLE.findall(EVERYTHING)) - MISSPELT - OWN <= known


def test_no_metric_is_invented() -> None:
    """Every metric a page names exists; `_bucket`, `_sum` and `_count` belong to the histogram."""
    known = {word for word in DECLARED["metrics.md"] if word.startswith("payflux_")}
    known |= {f"payflux_ingest_duration_seconds_{end}" for end in ("bucket", "sum", "count")}
    assert set(METRIC.findall(EVERYTHING)) <= known


def invocations() -> Iterator[list[str]]:
    """The words of every `payflux …` in code, up to the end of the command."""
    for span in spans():
        for found in re.findall(r"(?:^|[\s|/(])payflux ((?:(?!\s#|[|>;&\n]).|\\\n)+)", span):
            with_quotes_closed = (
                found if found.count("'") % 2 == 0 and found.count('"') % 2 == 0 else found.split("'")[0]
            )
            yield shlex.split(with_quotes_closed.replace("\\\n", " "))


def test_no_command_and_no_option_is_invented() -> None:
    """Every command that a page names exists, and takes the options it is shown with."""
    known = tables.every_command()
    groups = {words.split()[0] for words in known}
    asked = 0
    for words in invocations():
        if words[0].startswith("-") or words[0] == "…":
            assert words[0] in {"--help", "--version", "…"}
            continue
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0].rstrip(",")
        assert name in known or name in groups, words
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        takes = {option.names[0] for option in tables.options(known[name])} if name in known else set()
        assert given <= takes | {"--help", "--yes", "--all"}, words
        asked += 1
    assert asked > 40


@pytest.mark.parametrize("path", tables.PAGES, ids=lambda path: str(path.relative_to(tables.ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """To files that exist, and to headings that they have."""
    for target in LINK.findall(TEXTS[path]):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        other = (path.parent / name).resolve() if name else path
        assert other.exists(), target
        headings = re.findall(r"^#+ (.+)$", other.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
