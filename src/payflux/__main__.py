"""`payflux` and `python -m payflux`."""

import signal
import sys

if sys.argv[1:2] in ([], ["serve"], ["dev"]):
    # Before anything takes time: a hang-up that comes before the supervisor listens must not end the node.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

from payflux.cli import run
from payflux.log import in_background


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    with in_background():
        code = run(sys.argv[1:])
    sys.exit(code)


if __name__ == "__main__":
    main()
