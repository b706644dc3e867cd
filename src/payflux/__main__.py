"""`payflux` and `python -m payflux`."""

import os
import signal
import sys

if sys.argv[1:2] in ([], ["serve"], ["dev"]):
    # Before anything takes time: a hang-up that comes before the supervisor listens must not end the node.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while it loads ends it without a traceback

from payflux.cli import run
from payflux.log import in_background, last_words
from payflux.terminal.output import reader_gone

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
MODES = "rrw"  # of stdin, stdout, stderr where the caller closed them


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    open_standard_streams()
    if (encoding := sys.getfilesystemencoding()) != "utf-8":  # names of files, and what is written to stdout
        last_words(f"payflux: names of files are in {encoding} here: set PYTHONUTF8=1, or a locale such as C.UTF-8\n")
        sys.exit(EXIT_USAGE)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with in_background():
        try:
            code = run(sys.argv[1:])
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        except BrokenPipeError:
            if not reader_gone():
                raise
            code = 0
    sys.exit(_flushed(code))


def open_standard_streams() -> None:
    """Open descriptors 0 to 2 where the caller closed them: else a socket of ours gets the number, and our lines.

    A closed stdout becomes one that cannot be written, so that lines which go nowhere count as not exported.
    """
    for number, mode in enumerate(MODES):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_WRONLY if mode == "w" else os.O_RDONLY)  # gets the lowest number there is
            os.set_inheritable(opened, True)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _flushed(code: int) -> int:
    """The exit code once all is written; Python's own last flush tells of a failure in words of its own."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # who reads has read enough
    except OSError as error:
        last_words(f"payflux: cannot write: {error.strerror}\n")
        code = code or EXIT_FAILED
    else:
        return code
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer has nowhere to go
    return code


if __name__ == "__main__":
    main()
