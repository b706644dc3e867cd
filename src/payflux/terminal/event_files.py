"""Files of events as people have them: plain, gzip or zstd, from a path or stdin, with a byte-order mark or without."""

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self, cast

import zstandard

LINE_BYTES = 1_048_576
"""The longest line that can be an event: a node takes no larger body."""
CHUNK_BYTES = 16_384
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
UTF8_MARK, UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
UTF16 = "expected UTF-8, this is UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"


class FileLine(NamedTuple):
    """One line of a file that is not blank.

    Attributes:
        number: its place in the file, from 1.
        data: without its end; None when it is longer than `LINE_BYTES`, which no event is.
    """

    number: int
    data: bytes | None


class EventFile:
    """A file of events, opened by `with` and read once from its beginning.

    Args:
        name: its path; `-` is stdin.

    Raises:
        OSError: it cannot be opened or read, now or later.
        ValueError: it is UTF-16, or its compression is broken, now or later; the text says what was expected.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._stack = ExitStack()
        self._file: io.BufferedReader = io.BufferedReader(_Raw(lambda _: b""))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            raw = sys.stdin.buffer if self._name == "-" else stack.enter_context(Path(self._name).open("rb"))
            self._file = _buffered(_decompressed(_buffered(raw)))
            start = self._peek(3)
            if start[:2] in UTF16_MARKS or (len(start) > 1 and 0 in start[:2]):
                raise ValueError(UTF16)
            if start == UTF8_MARK:
                self._file.read(3)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begins(self) -> bytes:
        """The first byte that is no white space, among the first 64 KiB; empty when there is none."""
        return self._peek(65_536).lstrip()[:1]

    def read(self, most: int) -> bytes:
        """All that is left.

        Raises:
            ValueError: that is more than so many bytes.
        """
        found = self._file.read(most + 1)
        if len(found) > most:
            raise ValueError(f"expected at most {most:,} bytes for one JSON array: send longer files as JSON lines")
        return found

    def lines(self) -> Iterator[FileLine]:
        """Every line that is not blank, one at a time, however long the file is."""
        number = 0
        while line := self._file.readline(LINE_BYTES + 2):
            number += 1
            too_long = not line.endswith(b"\n") and len(line) > LINE_BYTES
            while too_long and line and not line.endswith(b"\n"):
                line = self._file.readline(LINE_BYTES)
            if too_long or line.strip():
                yield FileLine(number, None if too_long else line.strip())

    def _peek(self, size: int) -> bytes:
        return self._file.peek(size)[:size]


class _Raw(io.RawIOBase):
    """What a reader gives, with the errors of its compression as ValueError."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._read(len(buffer))
        except (gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise ValueError(f"expected a whole compressed file ({error})") from None
        buffer[: len(data)] = data
        return len(data)


def _buffered(source: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(_Raw(source.read))


def _decompressed(file: io.BufferedReader) -> BinaryIO:
    start = file.peek(4)[:4]
    if start[:2] == GZIP:
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    return cast("BinaryIO", _Zstd(file)) if start == ZSTD else file


class _Zstd:
    """One or more zstd frames; the library's own reader takes a file that is cut off for a whole one."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._found = b""

    def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end."""
        while not self._found and (data := self._next()):
            self._found = self._frame.decompress(data)
        found, self._found = self._found[:size], self._found[size:]
        return found

    def _next(self) -> bytes:
        data = self._frame.unused_data if self._frame.eof else b""
        data = data or self._file.read(CHUNK_BYTES)
        if self._frame.eof and data:
            self._frame = zstandard.ZstdDecompressor().decompressobj()
        elif not self._frame.eof and not data:
            raise EOFError("it is cut off")
        return data
