"""Logs: JSON lines with `level` and `msg` on stderr, which exported event lines never have.

In a process of PayFlux a thread writes them from a bounded queue: whoever reads stderr may stall, and the node works.
"""

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

Level = Literal["debug", "info", "warning", "error"]
TEXT_LIMIT = 500  # characters of one field: a line stays small enough for a pipe to take it whole
QUEUE_BYTES = 262_144  # what may wait for a reader that stalls, a thousand lines or two; what comes after is dropped
END_SECONDS = 2.0  # how long a process may wait at its end for what is queued to be written
RETRY_SECONDS = 0.05  # after a descriptor that does not block, as another program left it, was full

Say = Callable[..., None]
"""Tells somebody what happened: `say(level, msg, **fields)`, as `log` does."""


def log(level: Level, msg: str, **fields: object) -> None:
    """Write one line to stderr, whole: `{"ts":…,"level":…,"msg":…,…}`.

    Args:
        level: its severity.
        msg: what happened, as a stable name such as `shutdown_initiated`.
        fields: what belongs to it; ids, counts and codes, never the content of an event or a key. Long texts are cut.
    """
    _stderr.write(_encoded(level, msg, fields))


def announce(text: str) -> None:
    """Write text for people to stderr, in order with the log lines and as they are written: not at any price."""
    _stderr.write(text.encode(errors="backslashreplace"))


def last_words(text: str) -> None:
    """Write to stderr why a command ends, behind what it logged; this waits for the reader, and nothing is lost."""
    if _stderr.queue is not None:
        _stderr.queue.flush(END_SECONDS)
    _stderr.write_now(text.encode(errors="backslashreplace"))


@contextmanager
def in_background() -> Iterator[None]:
    """Queue what is logged within, so that it never blocks. Outside, and after a fork, each line is written at once."""
    if sys.stderr is None:
        yield  # closed before the start
        return
    queue = _stderr.queue = LineQueue(sys.stderr.fileno())
    libraries = _Libraries(logging.WARNING)
    logging.getLogger().addHandler(libraries)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(libraries)
        queue.flush(END_SECONDS)
        _stderr.queue = None


def count_dropped(counted: Callable[[int], None]) -> None:
    """Tell of every line that does not reach stderr.

    Args:
        counted: called with how many more, from any thread, one call at a time.
    """
    if _stderr.queue is not None:
        _stderr.queue.count_lost(counted)


class _Libraries(logging.Handler):
    """What asyncio and other libraries log, as lines like ours; by themselves they would write to stderr and block."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log its first line, and the name of an exception: further lines and its text may quote an event."""
        error = record.exc_info[0] if record.exc_info else None
        detail = record.getMessage().partition("\n")[0]
        fields = {"logger": record.name, "detail": detail} | ({"error": error.__name__} if error else {})
        log("error" if record.levelno >= logging.ERROR else "warning", "library_message", **fields)


class LineQueue:
    """Lines on their way to a descriptor that may block, and the daemon thread that writes them, one a `write(2)`.

    When it is full it takes nothing more until it is empty; then it says how many lines are missing at this place.

    Args:
        fd: where to; never through Python's own file, whose lock a blocked thread would hold at the end.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lost = 0  # dropped, or refused by the descriptor
        self._counted: Callable[[int], None] = lambda _lines: None
        self._lines: deque[bytes] = deque()
        self._bytes = 0  # with those of the line that is being written
        self._dropped = 0  # and not said yet
        self._changed = threading.Condition()  # reentrant: a signal handler may log too
        self._thread: threading.Thread | None = None

    def put(self, line: bytes) -> None:
        """Queue a line, or drop it. Never blocks."""
        with self._changed:
            if self._dropped or self._bytes + len(line) > QUEUE_BYTES:
                self._dropped += 1
                self._lose()
                return
            self._lines.append(line)
            self._bytes += len(line)
            if self._thread is None:  # no sooner: most commands log nothing
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, seconds: float) -> None:
        """Wait until everything is written, for so long at most."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._bytes or self._dropped), seconds)

    def count_lost(self, counted: Callable[[int], None]) -> None:
        """Tell of every line that is not written, at once of those that were not so far."""
        with self._changed:
            self._counted = counted
            counted(self._lost)

    def _lose(self) -> None:
        self._lost += 1
        self._counted(1)

    def _run(self) -> None:
        while True:
            line = self._next()
            written = _write(self._fd, line)
            with self._changed:
                self._bytes -= len(line)
                if not written:
                    self._lose()
                self._changed.notify_all()

    def _next(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._dropped)
            if self._lines:
                return self._lines.popleft()
            line = _encoded("warning", "log_lines_dropped", {"count": self._dropped})
            self._dropped = 0
            self._bytes += len(line)
            return line


class _Stderr:
    """Where lines go in this process: into a queue, or straight out."""

    def __init__(self) -> None:
        self.queue: LineQueue | None = None
        os.register_at_fork(after_in_child=self._forked)

    def write(self, line: bytes) -> None:
        if self.queue is not None:
            self.queue.put(line)
        else:
            self.write_now(line)

    def write_now(self, line: bytes) -> None:
        if sys.stderr is None:
            return  # closed before the start
        try:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
        except (OSError, ValueError):
            return  # nobody reads the log: no reason to stop working

    def _forked(self) -> None:
        self.queue = None  # its thread, and its lines, are the parent's


_stderr = _Stderr()


def _write(fd: int, line: bytes) -> bool:
    """Write a line, however long that takes; False when it is refused."""
    while line:
        try:
            line = line[os.write(fd, line) :]
        except BlockingIOError:
            time.sleep(RETRY_SECONDS)
        except OSError:
            return False  # nobody reads the log: no reason to stop working
    return True


def _encoded(level: Level, msg: str, fields: dict[str, object]) -> bytes:
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    head = {"ts": stamp, "level": level, "msg": msg}
    rest = {name: _fit(value) for name, value in fields.items() if name not in head}
    return msgspec.json.encode(head | rest, enc_hook=_shown) + b"\n"


def _fit(value: object) -> object:
    """Texts cut, and what UTF-8 cannot hold escaped: half a surrogate pair, as in file names of other encodings."""
    if not isinstance(value, str):
        return value
    return value[:TEXT_LIMIT].encode(errors="backslashreplace").decode()


def _shown(value: object) -> object:
    return _fit(str(value))
