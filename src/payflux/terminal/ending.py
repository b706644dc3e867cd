"""How commands end: exit codes, and one line for what stops them."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine

from payflux.errors import SettingsError, StreamUnavailable
from payflux.log import last_words
from payflux.terminal.output import printable

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
