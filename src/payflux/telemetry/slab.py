"""Memory shared by the processes of one node: named sections of one file without a name, mapped by each of them.

The supervisor creates the file and passes its descriptor to every child, so what a child wrote survives its death
(`kill -9` included) and nothing is left behind on disk when the node ends. Counters are 64-bit floats, exact up to
2^53, each written by one process alone; what several processes write is guarded by `fcntl.lockf`, which the kernel
frees when its holder dies.
"""

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

HEADER_BYTES = 4096
NAME_BYTES = 416  # 2 bytes of length, then at least 100 characters of up to 4 bytes
OTHER = "other"


class Slab:
    """The file, mapped into this process."""

    def __init__(self, fd: int) -> None:
        """Map the file behind `fd`, which stays open."""
        self.fd = fd
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self._sections = msgspec.json.decode(self._map[:HEADER_BYTES].rstrip(b"\0"), type=dict[str, tuple[int, int]])

    @classmethod
    def create(cls, sections: Mapping[str, int]) -> "Slab":
        """Make a new file, zeroed, with the sections named and their sizes in bytes."""
        placed, at = {}, HEADER_BYTES
        for name, size in sections.items():
            placed[name] = (at, size)
            at += -(-size // 8) * 8
        header = msgspec.json.encode(placed)
        if len(header) > HEADER_BYTES:
            raise ValueError("too many sections")
        fd = _anonymous_file()
        os.ftruncate(fd, at)
        os.pwrite(fd, header, 0)
        return cls(fd)

    def names(self) -> list[str]:
        """The names of the sections."""
        return list(self._sections)

    def bytes(self, name: str) -> memoryview:
        """A section as bytes."""
        start, size = self._sections[name]
        return memoryview(self._map)[start : start + size]

    def doubles(self, name: str) -> "memoryview[float]":
        """A section as 64-bit floats."""
        return self.bytes(name).cast("d")

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a section against the node's other processes."""
        start, size = self._sections[name]
        fcntl.lockf(self.fd, fcntl.LOCK_EX, size, start)
        try:
            yield
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, size, start)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("payflux")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Names:
    """The first names seen by any process of the node, each with a number; later ones share the last, `other`.

    So label values come from a bounded, sticky set, and every process gives a name the same number. An empty name, one
    of more than 414 bytes and `other` itself count as `other`.
    """

    def __init__(self, slab: Slab, section: str) -> None:
        self._slab = slab
        self._section = section
        self._bytes = slab.bytes(section)
        self.capacity = len(self._bytes) // NAME_BYTES
        self._known: dict[str, int] = {}

    @staticmethod
    def size(capacity: int) -> int:
        """The bytes a table of `capacity` names takes."""
        return capacity * NAME_BYTES

    def index(self, name: str) -> int:
        """The number of a name, 0 to `capacity`; `capacity` itself stands for `other`."""
        found = self._known.get(name)
        return found if found is not None else self._learn(name)

    def all(self) -> list[str]:
        """Every name by its number, then `other`."""
        self._refresh()
        return [*self._known, OTHER]

    def _learn(self, name: str) -> int:
        if len(self._known) >= self.capacity or name == OTHER or not 0 < len(name.encode()) <= NAME_BYTES - 2:
            return self.capacity
        with self._slab.locked(self._section):
            self._refresh()
            if name not in self._known and len(self._known) < self.capacity:
                self._write(len(self._known), name)
                self._known[name] = len(self._known)
        return self._known.get(name, self.capacity)

    def _refresh(self) -> None:
        for number in range(len(self._known), self.capacity):
            at = number * NAME_BYTES
            length = int.from_bytes(self._bytes[at : at + 2], "little")
            if not length:
                return
            self._known[bytes(self._bytes[at + 2 : at + 2 + length]).decode()] = number

    def _write(self, number: int, name: str) -> None:
        text, at = name.encode(), number * NAME_BYTES
        self._bytes[at + 2 : at + 2 + len(text)] = text
        self._bytes[at : at + 2] = len(text).to_bytes(2, "little")  # last: a reader without the lock sees it whole
