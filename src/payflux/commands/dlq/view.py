"""`payflux dlq list` and `payflux dlq show`."""

import base64
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from payflux.commands.dlq.select import From, Ids, Json, Reasons, Selection, To, objection, progress, select
from payflux.errors import SettingsError
from payflux.redis.dead_letters import DeadLetter, DeadLetters
from payflux.terminal.ending import complain, operate, refuse
from payflux.terminal.output import emit, emit_json, emit_rows, printable

SHOWN = 100  # entries listed on a terminal unless asked for more
COLUMNS = ("id", "reason", "when", "original id", "processor", "event id")


def list_(
    *,
    reason: Reasons = None,
    id_: Ids = None,
    from_: From = None,
    to: To = None,
    limit: Annotated[
        int | None, Parameter(help="Show so many; by default 100 on a terminal, else all. All are counted.")
    ] = None,
    json: Json = False,
) -> int:
    """List dead letters, oldest first, and count them by reason.

    For example:

        payflux dlq list
        payflux dlq list --reason invalid_json --from 2026-01-09T12:00:00Z
        payflux dlq list --json | jq .summary

    Exit codes: 0 done, 1 Redis cannot be used, 2 wrong usage or configuration.
    """
    try:
        letters, selection = select(reason, id_, from_, to)
    except SettingsError as error:
        return refuse(error)
    if limit is not None and limit < 0:
        return refuse(SettingsError([f"--limit {limit}: expected a number, 0 or more"]))
    if limit is None and sys.stdout.isatty() and not json:
        limit = SHOWN
    return operate(lambda: _list(letters, selection, limit, as_json=json))


async def _list(letters: DeadLetters, selection: Selection, limit: int | None, *, as_json: bool) -> int:
    shown: list[DeadLetter] = []
    counts: Counter[str] = Counter()
    async with letters:
        with progress("reading") as tell:
            async for letter in selection.of(letters):
                counts[letter.reason] += 1
                tell(counts.total())
                if limit is None or len(shown) < limit:
                    shown.append(letter)
    if as_json:
        summary = {"total": counts.total(), "shown": len(shown), "by_reason": dict(counts)}
        emit_json({"entries": [_members(letter) for letter in shown], "summary": summary})
    else:
        _print_list(shown, counts)
    return 0


def _print_list(shown: Sequence[DeadLetter], counts: Counter[str]) -> None:
    if shown or not counts:
        emit_rows(COLUMNS, [_columns(letter) for letter in shown], "no dead letters")
    if not sys.stdout.isatty():
        lines = [f"# {printable(name) or '-'}\t{count}" for name, count in counts.most_common()]
        emit("".join(f"{line}\n" for line in [*lines, f"# total\t{counts.total()}"]).encode())
    elif counts:
        told = [(printable(name) or "-", f"{count:,}") for name, count in counts.most_common()]
        emit(b"\n")
        emit_rows(("reason", "dead letters"), [*told, ("total", f"{counts.total():,}")], "")
        if counts.total() > len(shown):
            emit(f"{counts.total() - len(shown):,} more: --limit {counts.total()}\n".encode())


class _Peek(msgspec.Struct):
    """What may be read in data that are nearly an event."""

    event_id: str = ""
    processor: str = ""


def _peek(data: bytes) -> _Peek:
    try:
        return msgspec.json.decode(data, type=_Peek)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Peek()


def _columns(letter: DeadLetter) -> tuple[str, ...]:
    seen = _peek(letter.data)
    texts = (letter.reason, letter.timestamp, letter.original_id, seen.processor, seen.event_id)
    return (letter.id.decode(), *(printable(text) or "-" for text in texts))


def _members(letter: DeadLetter) -> dict[str, Any]:
    seen = _peek(letter.data)
    return {
        "id": letter.id.decode(),
        "reason": letter.reason,
        "timestamp": letter.timestamp,
        "original_id": letter.original_id,
        "processor": seen.processor,
        "event_id": seen.event_id,
        "bytes": len(letter.data),
    }


def show(
    id_: Annotated[str, Parameter(name="ID", help="Id or original id.")],
    /,
    *,
    raw: Annotated[bool, Parameter(help="Only the data, byte by byte.", negative="")] = False,
    json: Json = False,
) -> int:
    """Show one dead letter: everything kept of it, its data, and whether it can be requeued.

    For example:

        payflux dlq show 1767957855596-0
        payflux dlq show 1767957855596-0 --raw > entry.json

    Exit codes: 0 done, 1 there is none with this id or Redis cannot be used, 2 wrong usage or configuration.
    """
    if raw and json:
        return refuse(SettingsError(["--raw and --json: expected one of the two"]))
    try:
        letters, selection = select(None, [id_], None, None)
    except SettingsError as error:
        return refuse(error)
    return operate(lambda: _show(letters, selection, id_, _show_raw if raw else _show_json if json else _show_text))


async def _show(letters: DeadLetters, selection: Selection, id_: str, out: Callable[[DeadLetter], None]) -> int:
    found = 0
    async with letters:
        async for letter in selection.of(letters):
            out(letter)
            found += 1
    return 0 if found else complain(f"no dead letter {printable(id_)}; `payflux dlq list` shows which there are")


def _show_raw(letter: DeadLetter) -> None:
    emit(letter.data)


def _show_json(letter: DeadLetter) -> None:
    data = {
        "data": letter.data.decode(errors="replace"),
        "data_base64": base64.b64encode(letter.data).decode(),
        "further": letter.further,
        "objection": objection(letter.data),
    }
    emit_json(_members(letter) | data)


def _show_text(letter: DeadLetter) -> None:
    why = objection(letter.data)
    facts = {
        "id": letter.id.decode(),
        "reason": letter.reason,
        "timestamp": letter.timestamp,
        "original_id": letter.original_id,
        **letter.further,
        "requeue": f"refused, {why}" if why else "possible",
        "bytes": str(len(letter.data)),
        "data": letter.data.decode(errors="backslashreplace"),
    }
    emit("".join(f"{printable(name)}: {printable(text)}\n" for name, text in facts.items()).encode())
