"""`payflux webhooks status` and `payflux webhooks codes`: what a node has counted of webhooks."""

import time
from collections import defaultdict
from typing import Annotated, Any

from cyclopts import Parameter
from prometheus_client.parser import text_string_to_metric_families

from payflux.checks.asking import ask, parse_base, reason_of
from payflux.errors import SettingsError
from payflux.event.taxonomy import failure_of
from payflux.ingest.gatekeeper import METRICS_TOKEN
from payflux.terminal.arguments import secret_to_use
from payflux.terminal.ending import complain, refuse
from payflux.terminal.output import emit, emit_json, emit_rows

Url = Annotated[str, Parameter(help="The node, where it answers its operators.")]
Token = Annotated[
    str | None, Parameter(help="Its `PAYFLUX_METRICS_TOKEN`, if it has one; by default that of the environment.")
]
TokenFile = Annotated[
    str | None, Parameter(help="File that holds it, as `--token` shows it to all who list processes.")
]
Json = Annotated[bool, Parameter(help="One JSON value instead of a table.", negative="")]
COLUMNS = ("processor", "result", "events", "last received", "unmapped")
Counts = dict[str, dict[str, float]]


def _counted(url: str, token: str | None, token_file: str | None) -> dict[str, Counts]:
    """What the node has counted, by metric, processor and the other label.

    Raises:
        OSError: it does not answer.
        SettingsError: the token cannot be had.
        ValueError: what answers is another one.
    """
    answer = ask(f"{parse_base(url)}/metrics", secret_to_use("token", token, token_file, METRICS_TOKEN) or None)
    if answer.status != 200:
        raise ValueError(f"/metrics answers {answer.status}")
    found: dict[str, Counts] = defaultdict(lambda: defaultdict(dict))
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            if sample.name.startswith("payflux_webhook_"):
                further = next((text for name, text in sample.labels.items() if name != "processor"), "")
                found[sample.name][sample.labels["processor"]][further] = sample.value
    return found


def status(
    *, url: Url = "http://127.0.0.1:8080", token: Token = None, token_file: TokenFile = None, json: Json = False
) -> int:
    """Show what became of the webhooks of each processor since the node started, and when one last came.

    For example:

        payflux webhooks status
        payflux webhooks status --json | jq .stripe.results

    Exit codes: 0 done, 1 the node does not answer, 2 wrong usage.
    """
    try:
        counted = _counted(url, token, token_file)
    except SettingsError as error:
        return refuse(error)
    except OSError as error:
        return complain(f"{url}: {reason_of(error)}")
    except ValueError as error:
        return refuse(SettingsError([f"--url {url}: {error}"]))
    results = counted["payflux_webhook_events_total"]
    last = counted["payflux_webhook_last_received_timestamp_seconds"]
    unmapped = counted["payflux_webhook_unmapped_total"]
    told: dict[str, dict[str, Any]] = {
        name: {
            "last_received_ts": last.get(name, {}).get("") or None,
            "results": {result: int(value) for result, value in results[name].items()},
            "unmapped": int(sum(unmapped.get(name, {}).values())),
        }
        for name in sorted(results)
    }
    if json:
        emit_json(told)
    else:
        _show(told)
    return 0


def _show(told: dict[str, dict[str, Any]]) -> None:
    rows = [
        (name, result, str(number), _ago(facts["last_received_ts"]), str(facts["unmapped"]))
        for name, facts in told.items()
        for result, number in facts["results"].items()
    ]
    emit_rows(COLUMNS, rows, "no webhook came since the node started")


def _ago(stamp: object) -> str:
    return f"{max(0.0, time.time() - stamp):.0f} s ago" if isinstance(stamp, float) else "never"


def codes(
    words: Annotated[
        list[str] | None, Parameter(help="Words of processors, or codes of networks such as `visa:51`.", negative="")
    ] = None,
    /,
    *,
    unmapped: Annotated[bool, Parameter(help="Those that nobody knows and the node has met.", negative="")] = False,
    url: Url = "http://127.0.0.1:8080",
    token: Token = None,
    token_file: TokenFile = None,
) -> int:
    """Show what codes of failures mean: word, category, retry, who caused it, whether it counts against the processor.

    For example:

        payflux webhooks codes insufficient_funds "Acquirer Error" mastercard:79
        payflux webhooks codes --unmapped

    Exit codes: 0 done, 1 the node does not answer, 2 wrong usage.
    """
    if not unmapped and not words:
        return refuse(SettingsError(["expected words, or --unmapped"]))
    lines = [_meaning(one) for one in words or ()]
    if unmapped:
        try:
            counted = _counted(url, token, token_file)["payflux_webhook_unmapped_total"]
        except SettingsError as error:
            return refuse(error)
        except OSError as error:
            return complain(f"{url}: {reason_of(error)}")
        except ValueError as error:
            return refuse(SettingsError([f"--url {url}: {error}"]))
        lines += [f"{name}\t{code}\t{value:.0f}" for name, found in counted.items() for code, value in found.items()]
    emit("".join(f"{line}\n" for line in lines).encode())
    return 0


def _meaning(text: str) -> str:
    network, colon, code = text.partition(":")
    failure = failure_of("", "", code, network) if colon else failure_of(text)
    counts = "counts" if failure.counts_against_processor else "does not count"
    return f"{text}\t{failure.category}\t{failure.retry}\t{failure.origin}\t{counts}"
