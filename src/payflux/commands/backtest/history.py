"""Histories: the events of files in the order of their time, each with what the detector reads of it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from payflux.errors import InvalidEvent
from payflux.event.decode import decode_event
from payflux.event.items import items_of_array
from payflux.event.timestamps import normal_timestamp
from payflux.risk.reading import Facts
from payflux.terminal.event_files import GZIP, LINE_BYTES, ZSTD, EventFile, FileLine

ARRAY_BYTES = 256 * 1024 * 1024
SHOWN = 20
"""Bad lines that are named; more are only counted."""

TELL_EVERY = 20_000
LATE_MS = 300_000
"""An event so far behind the newest one says that the file is not in order."""


class Entry(Facts, gc=False):
    """An exported line, or an event as producers send it."""

    stream_message_id: str = ""
    event_timestamp: str = ""


class Other(msgspec.Struct, gc=False):
    """A line that is no event and need not be one: of an incident, or of a log beside the export."""

    kind: str = ""
    level: str = ""
    msg: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it is one of those that stand beside exported lines."""
        return self.kind == "incident" or bool(self.level and self.msg)


class Timed(NamedTuple):
    """An event and its stream time in milliseconds."""

    at_ms: int
    entry: Entry


class History:
    """Reads files once, one after the other.

    Args:
        files: paths; `-` is stdin.
        tell: told now and then how many bytes were read, unpacked.

    Attributes:
        events: read so far.
        others: lines that are no events and need not be.
        bad: lines that should be events and are not.
        late: events more than five minutes behind one before them.
        problems: the first bad lines by file and number, and why.
        first_ms: the time of the first event; -1 before there is one.
        newest_ms: the time of the newest.
    """

    def __init__(self, files: Sequence[str], tell: Callable[[int], None] = lambda _: None) -> None:
        self._files, self._tell = files, tell
        self.events = self.others = self.bad = self.late = 0
        self.problems: list[str] = []
        self.first_ms = self.newest_ms = -1

    def __iter__(self) -> Iterator[Timed]:
        """Its events.

        Raises:
            OSError: a file cannot be read; `filename` says which.
            ValueError: a file is none of events; the text names it.
        """
        for name in self._files:
            try:
                with EventFile(name) as file:
                    yield from self._of(name, file)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            except OSError as error:
                raise OSError(error.errno, error.strerror or str(error), name) from None

    def _of(self, name: str, file: EventFile) -> Iterator[Timed]:
        place, lines = "line", file.lines()
        if file.begins() == b"[":
            bodies = items_of_array(file.read(ARRAY_BYTES), ARRAY_BYTES)
            place, lines = "item", map(FileLine, range(1, len(bodies) + 1), bodies)
        size = 0
        for number, data in lines:
            size += len(data or b"") + 1
            if number % TELL_EVERY == 0:
                self._tell(size)
                size = 0
            try:
                found = timed(data)
            except ValueError as error:
                self._refuse(f"{name}: {place} {number}: {error}")
                continue
            if found is None:
                self.others += 1
                continue
            self._note(found.at_ms)
            yield found
        self._tell(size)

    def _note(self, at_ms: int) -> None:
        self.events += 1
        if at_ms >= self.newest_ms:
            self.newest_ms = at_ms
            if self.first_ms < 0:
                self.first_ms = at_ms
        elif self.newest_ms - at_ms > LATE_MS:
            self.late += 1

    def _refuse(self, problem: str) -> None:
        self.bad += 1
        if len(self.problems) < SHOWN:
            self.problems.append(problem)


def timed(data: bytes | None) -> Timed | None:
    """What a line says.

    Args:
        data: JSON; None for a line that is too long.

    Returns:
        The event and its time: that of its entry in the stream, else the producer's. None for a line that is no event
        and need not be one.

    Raises:
        ValueError: it should be an event and is none; the text says why.
    """
    if data is None:
        raise ValueError(f"longer than {LINE_BYTES:,} bytes")
    try:
        entry = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        mended = _mended(data)
        if mended is None:
            return None
        entry = mended
    return Timed(_at_ms(entry), entry)


def _mended(data: bytes) -> Entry | None:
    """An event that producers may send and that is not written as the node would store it."""
    try:
        if _decode_other(data).is_known:
            return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # whatever it is, it is none of those
    try:
        return _decode(decode_event(data).data)
    except InvalidEvent as error:
        raise ValueError(f"{error.code}: {error}") from None


def _at_ms(entry: Entry) -> int:
    if entry.stream_message_id:
        milliseconds = entry.stream_message_id.partition("-")[0]
        if milliseconds.isdecimal() and len(milliseconds) <= 15:
            return int(milliseconds)
        raise ValueError("stream_message_id: expected an entry id such as 1767957855596-0")
    text = entry.event_timestamp
    if len(text) == 24 and text[19] == "." and text[23] == "Z" and text[20:23].isdecimal():  # as most are
        return _second_ms(text[:19]) + int(text[20:23])
    stamp = _normal(text)
    return _second_ms(stamp[:19]) + int(stamp[20:23].rstrip("Z").ljust(3, "0"))


@lru_cache(maxsize=1024)
def _second_ms(text: str) -> int:
    return 1000 * int(datetime.fromisoformat(_normal(f"{text}Z")).timestamp())


def _normal(text: str) -> str:
    stamp = normal_timestamp(text)
    if stamp is None:
        raise ValueError("event_timestamp: expected RFC 3339 with an offset, such as 2026-01-09T12:00:00Z")
    return stamp


def in_order(files: Sequence[str]) -> list[str]:
    """Files by the time of their first event, so that rotated ones may be named in any order; stdin alone as it is.

    Raises:
        OSError, ValueError: as for `History`.
    """
    if len(files) == 1:
        return list(files)
    return sorted(files, key=lambda name: next((one.at_ms for one in History([name])), 0))


def bytes_of(files: Sequence[str]) -> int | None:
    """How many bytes of events there are; None when only reading them will tell."""
    sizes = [_bytes_of(name) for name in files]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _bytes_of(name: str) -> int | None:
    path = Path(name)
    if name == "-" or not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(4)
    return None if start[:2] == GZIP or start == ZSTD else path.stat().st_size


_decode = msgspec.json.Decoder(Entry).decode
_decode_other = msgspec.json.Decoder(Other).decode
