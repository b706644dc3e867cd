"""`payflux` and `python -m payflux`."""

import sys

from payflux.cli import app


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    sys.exit(app(sys.argv[1:] or ["serve"], result_action="return_value"))


if __name__ == "__main__":
    main()
