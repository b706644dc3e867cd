"""`payflux` and `python -m payflux`."""

import signal
import sys

if sys.argv[1:2] in ([], ["serve"], ["dev"]):
    # Before anything takes time: a hang-up that comes before the supervisor listens must not end the node.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while it loads ends it without a traceback

from payflux.cli import run
from payflux.log import in_background

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with in_background():
        try:
            code = run(sys.argv[1:])
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
