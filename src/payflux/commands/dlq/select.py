"""What the commands of `payflux dlq` share: their filters, the dead letters these mean, and what stands against one."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from payflux.errors import InvalidEvent, SettingsError
from payflux.event.decode import decode_event
from payflux.redis.address import address_of
from payflux.redis.dead_letters import DeadLetter, DeadLetters
from payflux.redis.entries import FIRST, parse_position
from payflux.redis.keys import Keys
from payflux.stream.deliveries import entry_key
from payflux.terminal.arguments import range_problems, redis_settings

Reasons = Annotated[
    list[str] | None, Parameter(name="--reason", help="Only those with this reason; repeatable.", negative="")
]
Ids = Annotated[
    list[str] | None, Parameter(name="--id", help="Only this one, by its id or original id; repeatable.", negative="")
]
From = Annotated[
    str | None,
    Parameter(
        name="--from", help="Dead-lettered then or later: time, RFC 3339 or -15m, or id.", allow_leading_hyphen=True
    ),
]
To = Annotated[
    str | None,
    Parameter(
        name="--to", help="Dead-lettered then or earlier: time, RFC 3339 or -15m, or id.", allow_leading_hyphen=True
    ),
]
Yes = Annotated[bool, Parameter(name="--yes", help="Do it; without this it is only shown.", negative="")]
Json = Annotated[bool, Parameter(name="--json", help="One JSON object.", negative="")]


@dataclass(frozen=True)
class Selection:
    """Which dead letters are meant: all of those named; where nothing is named, any."""

    reasons: frozenset[str]
    ids: frozenset[str]
    start: bytes
    end: bytes | None

    async def of(self, letters: DeadLetters) -> AsyncIterator[DeadLetter]:
        """Those there are now, oldest first; what is dead-lettered meanwhile is left for another time."""
        newest = await letters.newest()
        end = newest if self.end is None else min(self.end, newest, key=entry_key)
        async for letter in letters.between(self.start, end):
            if (not self.reasons or letter.reason in self.reasons) and (
                not self.ids or letter.id.decode() in self.ids or letter.original_id in self.ids
            ):
                yield letter


def select(
    reasons: Sequence[str] | None, ids: Sequence[str] | None, start: str | None, end: str | None
) -> tuple[DeadLetters, Selection]:
    """Read configuration and filters; raises SettingsError naming every problem."""
    problems = list(range_problems(start, end))
    try:
        values = redis_settings()
    except SettingsError as error:
        raise SettingsError([*problems, *error.problems]) from None
    if problems:
        raise SettingsError(problems)
    selection = Selection(
        frozenset(reasons or ()),
        frozenset(ids or ()),
        FIRST if start is None else parse_position(start, end=False),
        None if end is None else parse_position(end, end=True),
    )
    return DeadLetters(address_of(values), Keys()), selection


def objection(data: bytes) -> str:
    """Why data cannot be put back into the stream; empty when they are a canonical event."""
    try:
        canonical = decode_event(data).data
    except InvalidEvent as error:
        return f"{error.code}: {error}"
    return "" if canonical == data else "not_canonical: a valid event, but not in canonical form"


@contextmanager
def progress(doing: str) -> Iterator[Callable[[int], None]]:
    """A running count on a terminal; gives the function that takes how many are done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done: bar.update(task, completed=done)
