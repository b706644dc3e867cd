"""Export to stdout: what `write(2)` took is exported."""

import errno
import os
import select

from payflux.errors import ExportFailed
from payflux.exporters import STDOUT, Destination, Opening
from payflux.finding import Finding
from payflux.settings import Values


class StdoutExporter:
    """Writes to a descriptor it shares with others, so it changes none of its flags and never closes it.

    Args:
        fd: the descriptor.
        torn: a former writer may have died in the middle of a line: end it before the next.
    """

    def __init__(self, fd: int = STDOUT, *, torn: bool = False) -> None:
        self._fd = fd
        self._torn = torn

    def write(self, data: bytes) -> None:
        """Write whole lines; a line that failed half-way is ended first, so that it spoils no other one."""
        if self._torn:
            self._write(b"\n")
        self._torn = False
        self._write(data)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                select.select([], [self._fd], [])  # someone else made the pipe non-blocking
            except OSError as error:
                written = len(data) - len(rest)
                if written:
                    self._torn = data[written - 1] != ord("\n")
                raise ExportFailed(_reason(error), f"stdout: {error.strerror}", written) from None

    def sync(self) -> None:
        """Nothing to make durable: all that can be known of a pipe is that it took the lines."""

    def reopen(self) -> bool:
        """Nothing to reopen: rotation is the reader's."""
        return False

    def close(self) -> None:
        """Nothing to close: the descriptor is not ours."""


def _reason(error: OSError) -> str:
    if error.errno in (errno.EPIPE, errno.EBADF):
        return "closed"
    return "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "write"


def _make(opening: Opening) -> StdoutExporter:
    return StdoutExporter(opening.stdout, torn=opening.torn)


def _look(_: Values) -> tuple[Finding]:
    return (Finding("export_stdout", "pass", "lines go to the node's stdout; what reads it must keep up"),)


DESTINATION = Destination(_make, "the node's stdout, for a pipe or a container's log", look=_look)
