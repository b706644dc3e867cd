"""The producer client's spool: events kept on disk while the node is away, over exits and crashes of the process.

    DIRECTORY/.lock              held for the moment in which a process makes its own directory or takes over others
    DIRECTORY/<token>/lock       held by the living process that owns the directory
    DIRECTORY/<token>/<n>.jsonl  segments, oldest first; each line is the CRC-32 of an event in hex, a blank, the event

Lines are appended whole and a segment is deleted when all of it is settled, so after a crash at most one segment is
sent twice, which the node de-duplicates. What a process wrote survives its end however it ends, but nothing is fsynced:
it need not survive a power failure.
"""

import contextlib
import fcntl
import os
import secrets
import threading
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

SEGMENT_BYTES = 1_048_576
READ_BYTES = 1_048_576
OVERHEAD = 10  # of a line: checksum, blank, line feed


class Chunk(NamedTuple):
    """What was read: events, and how many could not be read any more because their lines are damaged or gone."""

    events: list[bytes]
    damaged: int


class _Segment:
    """One file. `size` are the bytes of whole lines in it, `offset` those already settled, `events` what is not."""

    def __init__(self, path: Path, size: int = 0, events: int = 0) -> None:
        self.path, self.size, self.events = path, size, events
        self.offset = 0
        self._read = (0, 0)  # bytes and lines of what was handed out last, damaged lines included

    def grow(self, size: int, events: int) -> None:
        """Whole lines were written."""
        self.size += size
        self.events += events

    def hand_out(self, size: int, events: int) -> None:
        """So much was read, and is settled next."""
        self._read = (size, events)

    def settle(self) -> bool:
        """What was handed out is done; whether anything was, and nothing is left."""
        size, events = self._read
        self._read = (0, 0)
        self.offset += size
        self.events -= events
        return size > 0 and self.offset >= self.size


class Spool:
    """A bounded first-in-first-out of events on disk. Safe for one writing and one reading thread.

    Args:
        directory: may be shared by several processes; each owns a directory of its own in it.
        max_bytes: how much this process may keep there, what it took over included.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._root, self._max_bytes = directory, max_bytes
        self._own = directory / secrets.token_hex(8)
        self._lock = threading.Lock()
        self._segments: deque[_Segment] = deque()
        self._bytes = 0
        self._number = 0
        self._owner = -1
        self._writing = -1
        self._reading = -1
        self._closed = False

    def open(self) -> int:
        """Make the directory if it is missing, and take over what processes that are gone left behind; idempotent.

        Returns:
            How many events were taken over.

        Raises:
            OSError: the directory cannot be used.
        """
        with self._lock:
            if self._owner >= 0 or self._closed:
                return 0
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(self._root / ".lock"):
                self._own.mkdir(mode=0o700, exist_ok=True)
                owner = _try_lock(self._own / "lock")
                assert owner is not None, "the name of this directory is random"
                self._owner = owner
                for other in sorted(self._root.iterdir()):
                    if other != self._own and other.is_dir():
                        with contextlib.suppress(OSError):  # of another user, say: ours is good all the same
                            self._take_over(other)
            return sum(segment.events for segment in self._segments)

    def append(self, events: Sequence[bytes]) -> int:
        """Write events; returns how many of them, from the first on, found room.

        Raises:
            OSError: none was written, or only whole lines that were taken back.
        """
        with self._lock:
            if self._owner < 0 or self._closed:
                return 0
            room = self._max_bytes - self._bytes
            lines: list[bytes] = []
            for event in events:
                room -= len(event) + OVERHEAD
                if room < 0:
                    break
                lines.append(b"%08x %b\n" % (zlib.crc32(event), event))
            if lines:
                self._write(b"".join(lines), len(lines))
            return len(lines)

    def read(self, events: int, size: int) -> Chunk:
        """The oldest events, at most so many and of so many bytes together; the same ones until `forget`.

        Raises:
            OSError: they cannot be read just now.
        """
        with self._lock:
            if not self._segments or self._closed:
                return Chunk([], 0)
            segment = self._segments[0]
            try:
                data = self._read_head(segment)
            except FileNotFoundError:  # somebody deleted it
                lost = segment.events
                self._discard()
                return Chunk([], lost)
            chunk, length = _split(data, events, size)
            segment.hand_out(length, len(chunk.events) + chunk.damaged)
            return chunk

    def forget(self) -> None:
        """Forget what was read last."""
        with self._lock:
            if self._segments and not self._closed and self._segments[0].settle():
                self._discard()

    def close(self) -> None:
        """Let go of the directory: the next process takes over what is in it; an empty one is removed."""
        with self._lock:
            self._closed = True
            if self._owner >= 0 and not self._segments:
                with contextlib.suppress(OSError), _locked(self._root / ".lock"):
                    (self._own / "lock").unlink(missing_ok=True)
                    self._own.rmdir()
            self.abandon()

    def abandon(self) -> None:
        """Close this process's descriptors and nothing else, as after a fork: the directory is another one's."""
        for descriptor in (self._writing, self._reading, self._owner):
            if descriptor >= 0:
                os.close(descriptor)
        self._writing = self._reading = self._owner = -1

    def _take_over(self, other: Path) -> None:
        owner = _try_lock(other / "lock")
        if owner is None:
            return  # its process lives
        try:
            for found in sorted(other.glob("*.jsonl")):
                path = self._next_path()
                found.rename(path)
                data = path.read_bytes()
                size = data.rfind(b"\n") + 1  # what follows was being written when the process died
                self._segments.append(_Segment(path, size, data.count(b"\n")))
                self._bytes += size
                if not size:
                    self._segments.pop()
                    path.unlink()
            (other / "lock").unlink()
            with contextlib.suppress(OSError):
                other.rmdir()
        finally:
            os.close(owner)

    def _next_path(self) -> Path:
        self._number += 1
        return self._own / f"{self._number:010d}.jsonl"

    def _write(self, data: bytes, events: int) -> None:
        if self._writing < 0 or self._segments[-1].size >= SEGMENT_BYTES:
            self._begin_segment()
        segment = self._segments[-1]
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._writing, rest) :]
        except OSError:
            os.ftruncate(self._writing, segment.size)
            raise
        segment.grow(len(data), events)
        self._bytes += len(data)

    def _begin_segment(self) -> None:
        path = self._next_path()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if self._writing >= 0:
            os.close(self._writing)
        self._writing = descriptor
        self._segments.append(_Segment(path))

    def _read_head(self, segment: _Segment) -> bytes:
        if self._reading < 0:
            self._reading = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        wanted = segment.size - segment.offset
        data = os.pread(self._reading, min(wanted, READ_BYTES + OVERHEAD), segment.offset)
        if not data and wanted:
            raise FileNotFoundError(str(segment.path))  # somebody emptied it
        return data

    def _discard(self) -> None:
        """Delete the oldest segment; the next event begins a new one if it was written to."""
        segment = self._segments.popleft()
        self._bytes -= segment.size
        if not self._segments and self._writing >= 0:
            os.close(self._writing)
            self._writing = -1
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1
        segment.path.unlink(missing_ok=True)


def _split(data: bytes, events: int, size: int) -> tuple[Chunk, int]:
    """The first events in data, so many and of so many bytes at most; and how many bytes of data they are."""
    good: list[bytes] = []
    lines = start = 0
    while lines < events and (end := data.find(b"\n", start) + 1):
        if end > size and lines:
            break
        event = data[start + 9 : end - 1]
        if data[start : start + 9] == b"%08x " % zlib.crc32(event):
            good.append(event)
        lines += 1
        start = end
    # Without a line feed in all of it, it is a part of a damaged line, whose end comes next.
    return Chunk(good, lines - len(good)), start or len(data)


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock until it is closed; None while another one holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
