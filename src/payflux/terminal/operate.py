"""What the operators' commands share: the settings they need, how they speak, and how they end."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Literal

import msgspec
from rich.console import Console
from rich.text import Text

from payflux.errors import SettingsError, StreamUnavailable
from payflux.event.outcome import OUTCOMES
from payflux.log import last_words, log
from payflux.node.settings import SETTINGS
from payflux.redis.address import REDIS_ADDR, REDIS_URL, check_address
from payflux.redis.entries import parse_position
from payflux.risk.scorer import SETTINGS as RISK_SETTINGS
from payflux.settings import Setting, Values, environment, load
from payflux.stream.deliveries import entry_key

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

HINTS = {
    "redis_down": "is it running, and do REDIS_ADDR or REDIS_URL name it? `payflux dev` prints its REDIS_URL",
    "redis_timeout": "Redis is there and does not answer: look at its load and at the network between",
    "redis_auth": "put user and password into REDIS_URL=redis://user:password@host:port, and check the user's rights",
    "redis_loading": "Redis is busy reading its data; try again in a moment",
    "redis_readonly": "this is a replica: point REDIS_ADDR or REDIS_URL at the primary",
    "redis_oom": "Redis is full: raise maxmemory, or let the consumer catch up",
    "redis_misconf": "Redis cannot write its data to disk; its log says why",
    "redis_wrong_type": "this key belongs to something else; `payflux check` says more",
}
"""What to do, by the code of StreamUnavailable."""

Say = Callable[..., None]
"""Tells the operator what happened: `say(level, msg, **fields)`, as `payflux.log.log`."""


def redis_settings() -> Values:
    """Read what concerns Redis, outcomes and scoring: an operator's shell needs no key of a node.

    Raises:
        SettingsError: naming every problem.
    """
    declared: tuple[Setting[Any], ...] = (REDIS_ADDR, REDIS_URL, OUTCOMES, *RISK_SETTINGS)
    others = {setting.name for setting in SETTINGS} - {setting.name for setting in declared}
    environ = {name: value for name, value in environment().items() if name not in others}
    return load(declared, environ, (check_address,))


def operate(main: Callable[[], Coroutine[None, None, int]], *, interrupted: int = EXIT_INTERRUPTED) -> int:
    """Run a command to its end and turn what stops it into one line and an exit code.

    Args:
        main: the command; returns its exit code.
        interrupted: the exit code after Ctrl-C.

    Returns:
        The exit code: 1 when Redis or stdout fail, 0 when the reader of stdout has gone.
    """
    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        return interrupted
    except StreamUnavailable as error:
        hint = HINTS.get(error.code, "see `payflux check` and the log of Redis")
        return complain(f"{printable(str(error))} ({error.code}): {hint}")
    except BrokenPipeError:
        _forget_stdout()
        return 0
    except OSError as error:
        if not error.filename:  # stdout has no name
            _forget_stdout()
        return complain(f"cannot write{f' {error.filename}' if error.filename else ''}: {error.strerror or error}")


def complain(text: str, code: int = EXIT_FAILED) -> int:
    """Say on stderr why it ends, in one line; returns the exit code."""
    last_words(f"payflux: {text}\n")
    return code


def refuse(error: SettingsError) -> int:
    """Say on stderr what is wrong with the configuration, one line a problem."""
    last_words("".join(f"payflux: {line}\n" for line in error.problems))
    return EXIT_USAGE


def _forget_stdout() -> None:
    """Python flushes stdout once more at its end; what is left there has nowhere to go."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def emit(data: bytes) -> None:
    """Write to stdout, all of it and at once; Python's own writer may take less and say nothing."""
    rest = memoryview(data)
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()


def emit_json(value: object) -> None:
    """Write one JSON value to stdout, to be read by people too."""
    emit(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def narrator() -> Say:
    """How to talk to whoever reads stderr: sentences to a terminal, JSON lines to a pipe."""
    if not sys.stderr.isatty():
        return log
    console = Console(stderr=True, highlight=False)

    def say(level: Literal["info", "warning", "error"], msg: str, **fields: object) -> None:
        facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in fields.items())
        style = {"info": "", "warning": "yellow", "error": "red"}[level]
        console.print(Text(f"{msg.replace('_', ' ')}: {facts}" if facts else msg.replace("_", " "), style))

    return say


def printable(text: str) -> str:
    """Text as a terminal may see it: anybody can write to a stream, and escape sequences steer terminals."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def range_problems(start: str | None, end: str | None) -> Iterator[str]:
    """One line for each thing wrong with the arguments of `--from` and `--to`."""
    found = []
    for option, text in (("--from", start), ("--to", end)):
        if text is not None:
            try:
                found.append(entry_key(parse_position(text, end=option == "--to")))
            except ValueError as error:
                yield f"{option} {text}: expected {error}"
    if len(found) == 2 and found[0] > found[1]:
        yield f"--from {start} --to {end}: expected the beginning before the end"
