"""`payflux dlq requeue` and `payflux dlq purge`: both only show what they would do, unless told to do it."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

from cyclopts import Parameter

from payflux.commands.dlq.select import From, Ids, Json, Reasons, Selection, To, Yes, objection, progress, select
from payflux.errors import SettingsError
from payflux.redis.dead_letters import PAGE, DeadLetters
from payflux.terminal.ending import EXIT_FAILED, operate, refuse
from payflux.terminal.output import emit, emit_json, printable


def requeue(
    *, reason: Reasons = None, id_: Ids = None, from_: From = None, to: To = None, yes: Yes = False, json: Json = False
) -> int:
    """Put dead letters back into the stream: the same bytes as a new entry with the next number.

    Each is appended and deleted from the dead letters in one atomic step, so an interrupted run loses and doubles
    nothing and may simply be repeated. One whose data are no valid canonical event is refused and stays. Without --yes
    it only says what it would do. Mend the cause first: what fails again comes back.

    For example:

        payflux dlq requeue --reason max_deliveries
        payflux dlq requeue --reason max_deliveries --yes
        payflux dlq requeue --id 1767957855596-0 --yes

    Exit codes: 0 done, or nothing stands against it; 1 some were refused, or Redis cannot be used; 2 wrong usage or
    configuration; 130 interrupted.
    """
    try:
        letters, selection = select(reason, id_, from_, to)
    except SettingsError as error:
        return refuse(error)
    return operate(lambda: _requeue(letters, selection, really=yes, as_json=json))


async def _requeue(letters: DeadLetters, selection: Selection, *, really: bool, as_json: bool) -> int:
    counts: Counter[str] = Counter()
    refused: dict[str, str] = {}
    reporting = _reporting(counts, refused, really=really, as_json=as_json)
    async with letters:
        with reporting, progress("requeueing") as tell:
            async for letter in selection.of(letters):
                why = objection(letter.data)
                if why:
                    refused[letter.id.decode()] = why
                    counts["refused"] += 1
                elif not really:
                    counts["would_requeue"] += 1
                else:
                    number = await letters.requeue(letter.id)
                    counts["already_gone" if number is None else "requeued"] += 1
                tell(counts.total())
    return EXIT_FAILED if refused else 0


def purge(
    *,
    reason: Reasons = None,
    id_: Ids = None,
    from_: From = None,
    to: To = None,
    everything: Annotated[bool, Parameter(name="--all", help="All of them; or use a filter.", negative="")] = False,
    yes: Yes = False,
    json: Json = False,
) -> int:
    """Delete dead letters for good. Needs a filter or --all; without --yes it only says what it would do.

    For example:

        payflux dlq purge --reason invalid_json --to 2026-01-09T12:00:00Z
        payflux dlq purge --id 1767957855596-0 --yes
        payflux dlq purge --all --yes

    Exit codes: 0 done, 1 Redis cannot be used, 2 wrong usage or configuration, 130 interrupted.
    """
    filtered = any(given is not None for given in (reason, id_, from_, to))
    if filtered == everything:
        return refuse(SettingsError(["expected either a filter (--reason, --id, --from, --to) or --all"]))
    try:
        letters, selection = select(reason, id_, from_, to)
    except SettingsError as error:
        return refuse(error)
    return operate(lambda: _purge(letters, selection, really=yes, as_json=json))


async def _purge(letters: DeadLetters, selection: Selection, *, really: bool, as_json: bool) -> int:
    counts: Counter[str] = Counter()
    doomed: list[bytes] = []
    reporting = _reporting(counts, {}, really=really, as_json=as_json)
    async with letters:
        with reporting, progress("purging") as tell:
            async for letter in selection.of(letters):
                if not really:
                    counts["would_purge"] += 1
                    continue
                doomed.append(letter.id)
                if len(doomed) == PAGE:
                    counts["purged"] += await letters.purge(doomed)
                    doomed.clear()
                tell(counts.total())
            if doomed:
                counts["purged"] += await letters.purge(doomed)
    return 0


@contextmanager
def _reporting(counts: Counter[str], refused: Mapping[str, str], *, really: bool, as_json: bool) -> Iterator[None]:
    """Say at the end what was done; what was done before it was stopped, too."""
    whole = False
    try:
        yield
        whole = True
    finally:
        if whole or counts:
            _report(counts, refused, really=really, as_json=as_json)


def _report(counts: Mapping[str, int], refused: Mapping[str, str], *, really: bool, as_json: bool) -> None:
    """Say what was done; also of what was done before an interruption."""
    if as_json:
        emit_json({"dry_run": not really, **counts, "refused_because": refused})
        return
    for entry_id, why in refused.items():
        emit(f"refused {entry_id}: {printable(why)}\n".encode())
    done = (
        ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()) or "no dead letter matches"
    )
    emit(f"{done}\n".encode())
    if not really and any(name.startswith("would") and count for name, count in counts.items()):
        sys.stderr.write("nothing was changed; --yes does it\n")
