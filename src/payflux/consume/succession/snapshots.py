"""Snapshots of what is known of processors: when each is due, and the bytes it is kept as."""

from collections.abc import Iterable
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from payflux.risk.scoring import Scorer
from payflux.stream.deliveries import Scored

EVERY_SEC = 300
"""Of stream time, at the latest: what a successor has to score once more."""

PART = 4
"""A snapshot is taken before this part of the stream's entries came after it, so that the stream still holds them."""


class _Taken(NamedTuple):
    """A processor's latest snapshot: its place, and the second the next one is due."""

    place: Scored
    due: int


class Snapshots:
    """When snapshots are taken: each processor in its turn, and one at a time.

    Args:
        maxlen: about how many entries the stream holds; 0 when it is not trimmed.
    """

    def __init__(self, maxlen: int) -> None:
        self._entries = maxlen // PART or 1 << 62
        self._taken: dict[str, _Taken] = {}
        self._looked = Scored()

    def clear(self) -> None:
        """Forget all of them."""
        self._taken.clear()
        self._looked = Scored()

    def forget(self, processors: Iterable[str]) -> None:
        """These are not followed any more."""
        for processor in processors:
            self._taken.pop(processor, None)

    def taken(self, processor: str, place: Scored) -> None:
        """A snapshot was taken, at a place."""
        wait = EVERY_SEC if processor in self._taken else _stagger(processor)
        self._taken[processor] = _Taken(place, place.second + wait)

    def due(self, scorer: Scorer, place: Scored) -> str | None:
        """The processor whose snapshot is due most, if one is; looks once a second of stream time.

        Args:
            scorer: follows the processors.
            place: up to where everything was seen.
        """
        if place.second <= self._looked.second:
            return None
        for processor in scorer.followed():
            if processor not in self._taken:  # it came after we looked
                self._taken[processor] = _Taken(self._looked, place.second + _stagger(processor))
            elif not scorer.is_changed_since(processor, self._taken[processor].place.second):
                self._taken[processor] = self._taken[processor]._replace(place=place)
        late = [processor for processor, one in self._taken.items() if self._is_due(one, place)]
        if len(late) < 2:
            self._looked = place
        return min(late, key=lambda processor: self._taken[processor].place, default=None)

    def _is_due(self, one: _Taken, place: Scored) -> bool:
        late = one.due <= place.second or place.seq - one.place.seq >= self._entries
        return late and one.place.second < place.second

    @property
    def scored(self) -> Scored:
        """The place up to which everything is in some snapshot."""
        return min((one.place for one in self._taken.values()), default=Scored())


def _stagger(processor: str) -> int:
    """When a processor's first snapshot is due: not all of them at once."""
    return 1 + crc32(processor.encode()) % EVERY_SEC


def packed(place: Scored, known: dict[str, Any] | None) -> bytes:
    """A snapshot as it is kept, with its place."""
    return msgspec.msgpack.encode((place, known))


def unpacked(data: bytes) -> tuple[Scored, dict[str, Any]]:
    """The place of a snapshot, and what is known.

    Raises:
        msgspec.DecodeError, ValueError, TypeError: these are no snapshot.
    """
    (second, seq), known = msgspec.msgpack.decode(data)
    return Scored(int(second), int(seq)), known
