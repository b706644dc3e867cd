"""`payflux webhooks normalize` and `payflux webhooks try`: what bodies of webhooks become, without a node."""

import sys
from collections import Counter
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from payflux.errors import SettingsError
from payflux.normalize import Unreadable
from payflux.normalize import normalize as normalized
from payflux.settings import environment
from payflux.terminal.ending import complain, refuse
from payflux.terminal.event_files import EventFile
from payflux.terminal.event_items import events_of
from payflux.terminal.output import emit, emit_json
from payflux.webhooks.identifiers import HASH_KEY, LEAST_KEY
from payflux.webhooks.registry import ADAPTERS

TRIAL_KEY = "a trial's key, which nobody keeps"
Processor = Annotated[str, Parameter(help="Whose webhooks they are.")]


def normalize(
    processor: Processor,
    file: Annotated[str, Parameter(help="Bodies as JSON lines or one array; `-` is stdin.", allow_leading_hyphen=True)],
    /,
) -> int:
    """Write the events that a file of webhook bodies becomes, one a line, for `payflux send` or a look.

    Signatures are not looked at. Identifiers are hashed with PAYFLUX_HASH_KEY. Each body that cannot be read is named
    on stderr by line (in an array: by item) with the reason, and codes that nobody knows are counted at the end.

    For example:

        payflux webhooks normalize stripe events.jsonl > normalized.jsonl
        zcat notifications.jsonl.gz | payflux webhooks normalize adyen -

    Exit codes: 0 all are readable, 1 some are not, 2 wrong usage.
    """
    key = environment().get(HASH_KEY.name, "").strip()
    if problem := _problem(processor, key):
        return refuse(SettingsError([problem]))
    try:
        with EventFile(file) as opened:
            return _convert(processor, opened, key)
    except FileNotFoundError:
        return refuse(SettingsError([f"{file}: no such file"]))
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        return refuse(SettingsError([f"{file}: {getattr(error, 'strerror', None) or error}"]))


def _problem(processor: str, key: str) -> str:
    if processor not in ADAPTERS:
        return f"{processor}: expected one of {', '.join(ADAPTERS)}"
    if len(key) < LEAST_KEY:
        return f"{HASH_KEY.name}: expected at least {LEAST_KEY} characters; a trial may use any"
    return ""


def _convert(processor: str, file: EventFile, key: str) -> int:
    counts, unmapped = Counter({"bodies": 0, "events": 0, "ignored": 0, "unreadable": 0}), Counter[str]()
    place, bodies = events_of(file)
    console = Console(stderr=True, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} bodies"))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        for line in progress.track(bodies, total=None):
            counts["bodies"] += 1
            try:
                found = normalized(processor, line.data or b"", key)
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


def try_(
    processor: Processor,
    file: Annotated[str, Parameter(help="One body; `-` is stdin.", allow_leading_hyphen=True)],
    /,
) -> int:
    """Show the events that one webhook body becomes, and what their failures mean.

    Identifiers are hashed with PAYFLUX_HASH_KEY, or with a key of no meaning where it is not set.

    For example:

        payflux webhooks try stripe charge.json

    Exit codes: 0 it is readable, 1 it is not, 2 wrong usage.
    """
    key = environment().get(HASH_KEY.name, "").strip() or TRIAL_KEY
    if problem := _problem(processor, key):
        return refuse(SettingsError([problem]))
    try:
        with EventFile(file) as opened:
            found = normalized(processor, opened.read(1 << 20), key)
    except Unreadable as error:
        return complain(f"{file}: {error}")
    except (OSError, ValueError) as error:
        return refuse(SettingsError([f"{file}: {getattr(error, 'strerror', None) or error}"]))
    told = [one._asdict() | {"data": msgspec.Raw(one.data)} for one in found]
    for one in told:
        one["event"] = one.pop("data")
    emit_json(told)
    return 0
