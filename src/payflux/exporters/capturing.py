"""An exporter for tests: it keeps what it is given."""

from payflux.errors import ExportFailed
from payflux.exporters import Opening


class CapturingExporter:
    """An exporter that keeps what it is given.

    Attributes:
        opening: what it was made of; None when a test made it.
        lines: every line it took, without its end.
        reopened: how often it was reopened.
        closed: whether it was closed.
        failure: when set, the next write takes nothing and raises it, once.
    """

    def __init__(self, opening: Opening | None = None) -> None:
        self.opening = opening
        self.lines: list[bytes] = []
        self.reopened = 0
        self.closed = False
        self.failure: ExportFailed | None = None

    def write(self, data: bytes) -> None:
        """Take whole lines."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        if not data.endswith(b"\n"):
            raise ExportFailed("write", "an exporter is given whole lines")
        self.lines += data[:-1].split(b"\n")

    def sync(self) -> None:
        """Everything taken is kept."""

    def reopen(self) -> bool:
        """Count it."""
        self.reopened += 1
        return True

    def close(self) -> None:
        """Note it."""
        self.closed = True
