"""`payflux webhooks normalize`, `try` and `lint`: what bodies of webhooks become, without a node."""

import sys
from collections import Counter
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from payflux.commands.webhooks.bodies import Body, bodies_of
from payflux.errors import SettingsError
from payflux.normalize import Normalized, Unreadable
from payflux.normalize import normalize as normalized
from payflux.settings import environment
from payflux.terminal.ending import complain, refuse
from payflux.terminal.event_files import EventFile
from payflux.terminal.output import emit, emit_json
from payflux.webhooks.declared.adapter import examine, text_of
from payflux.webhooks.identifiers import HASH_KEY, LEAST_KEY
from payflux.webhooks.registry import Named, load_source, named

TRIAL_KEY = "a trial's key, which nobody keeps"
Processor = Annotated[str, Parameter(help="Whose webhooks they are, or the file of an adapter: `acme.toml`.")]


def normalize(
    processor: Processor,
    file: Annotated[
        str,
        Parameter(help="JSON lines, one array, or a report as CSV; `-` is stdin.", allow_leading_hyphen=True),
    ],
    /,
) -> int:
    """Write the events that a file of webhook bodies becomes, one a line, for `payflux backtest`, `send` or a look.

    Beside bodies of webhooks: charges, payment intents and other objects of Stripe's API, and lists of them; reports
    of Adyen as CSV (received payment details, payment accounting, settlement details). Signatures are not looked at.
    Identifiers are hashed with PAYFLUX_HASH_KEY. Each body that cannot be read is named on stderr by line (in an array:
    by item) with the reason, and codes that nobody knows are counted at the end.

    For example:

        payflux webhooks normalize stripe events.jsonl > normalized.jsonl
        zcat notifications.jsonl.gz | payflux webhooks normalize adyen -
        payflux webhooks normalize adyen received_payments_report.csv | payflux backtest -

    Exit codes: 0 all are readable, 1 some are not, 2 wrong usage.
    """
    key = environment().get(HASH_KEY.name, "").strip()
    try:
        found = _named(processor, key)
        with EventFile(file) as opened:
            return _convert(found, opened, key)
    except SettingsError as error:
        return refuse(error)
    except FileNotFoundError:
        return refuse(SettingsError([f"{file}: no such file"]))
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        return refuse(SettingsError([f"{file}: {getattr(error, 'strerror', None) or error}"]))


def _named(processor: str, key: str) -> Named:
    found = named(processor, environment())
    if len(key) < LEAST_KEY:
        raise SettingsError([f"{HASH_KEY.name}: expected at least {LEAST_KEY} characters; a trial may use any"])
    return found


def _convert(adapter: Named, file: EventFile, key: str) -> int:
    counts, unmapped = Counter({"bodies": 0, "events": 0, "ignored": 0, "unreadable": 0}), Counter[str]()
    place, bodies = bodies_of(file, load_source(adapter.target).columns)
    console = Console(stderr=True, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} bodies"))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        for line in progress.track(bodies, total=None):
            counts["bodies"] += 1
            try:
                found = _events(adapter, line, key)
            except Unreadable as error:
                counts["unreadable"] += 1
                progress.console.print(f"{place} {line.number}: {error}", markup=False, soft_wrap=True)
                continue
            counts["events"] += len(found)
            counts["ignored"] += not found
            unmapped.update(one.unmapped for one in found if one.unmapped)
            emit(b"".join(one.data + b"\n" for one in found))
    sys.stderr.write(", ".join(f"{number:,} {what}" for what, number in counts.items()) + "\n")
    for name, number in unmapped.most_common(50):
        sys.stderr.write(f"unmapped: {name} ({number:,})\n")
    return 1 if counts["unreadable"] else 0


def _events(adapter: Named, body: Body, key: str) -> list[Normalized]:
    if body.wrong:
        raise Unreadable(body.wrong)
    return normalized(adapter.processor, body.data, key, adapter.target)


def try_(
    processor: Processor,
    file: Annotated[str, Parameter(help="One body; `-` is stdin.", allow_leading_hyphen=True)],
    /,
) -> int:
    """Show the events that one webhook body becomes, and what their failures mean.

    Identifiers are hashed with PAYFLUX_HASH_KEY, or with a key of no meaning where it is not set.

    For example:

        payflux webhooks try stripe charge.json
        payflux webhooks try adapters/acme.toml failed.json

    Exit codes: 0 it is readable, 1 it is not, 2 wrong usage.
    """
    key = environment().get(HASH_KEY.name, "").strip() or TRIAL_KEY
    try:
        adapter = _named(processor, key)
        with EventFile(file) as opened:
            found = normalized(adapter.processor, opened.read(1 << 20), key, adapter.target)
    except SettingsError as error:
        return refuse(error)
    except Unreadable as error:
        return complain(f"{file}: {error}")
    except (OSError, ValueError) as error:
        return refuse(SettingsError([f"{file}: {getattr(error, 'strerror', None) or error}"]))
    told = [one._asdict() | {"data": msgspec.Raw(one.data)} for one in found]
    for one in told:
        one["event"] = one.pop("data")
    emit_json(told)
    return 0


def lint(
    files: Annotated[list[str], Parameter(help="Files of adapters, `NAME.toml`.", negative="")],
    /,
) -> int:
    """Explain every mistake in the files of adapters, by line, and what was expected in its place.

    For example:

        payflux webhooks lint adapters/*.toml

    Exit codes: 0 there is none, 1 there are some, 2 wrong usage.
    """
    wrong = 0
    for file in files:
        try:
            source, mistakes = examine(text_of(file))
        except ValueError as error:
            return refuse(SettingsError([f"{file}: expected {error}"]))
        wrong += len(mistakes)
        found = [f"{file}:{one.line}: {one.what}" for one in mistakes]
        found = found or [f"{file}: no mistakes; {source.help}, signed by {source.signed_by}"]
        emit("".join(f"{line}\n" for line in found).encode())
    return 1 if wrong else 0
