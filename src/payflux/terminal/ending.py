"""How commands end: exit codes, and one line for what stops them."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine

from payflux.errors import REMEDIES, SettingsError, StreamUnavailable
from payflux.log import last_words
from payflux.terminal.output import printable

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


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
        hint = REMEDIES.get(error.code, "see `payflux check` and the log of Redis")
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
