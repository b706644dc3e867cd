"""`payflux` and `python -m payflux`."""

import signal
import sys

if sys.argv[1:2] in ([], ["serve"], ["dev"]):
    # Before anything takes time: a hang-up that comes before the supervisor listens must not end the node.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

from payflux.cli import run


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
