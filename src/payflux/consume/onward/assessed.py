"""What is said of the risk of processors, by another who scores: read from the log of it, and never ahead of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Protocol

import msgspec

from payflux.risk.assessment import RiskAssessment
from payflux.risk.history import History
from payflux.stream.deliveries import entry_key

POLL_SECONDS = (0.005, 0.25)
FIRST = b"0-0"

_assessment = msgspec.json.Decoder(RiskAssessment).decode


class AssessmentLog(Protocol):
    """The log of assessments, as it can be asked. Every method raises StreamUnavailable."""

    async def connect(self) -> None:
        """Connect, where there is no connection."""

    async def scored_up_to(self) -> bytes:
        """The newest entry that was scored; what was said of later ones is not in the log yet."""

    async def latest_assessments(self) -> list[bytes]:
        """What was said last of each processor, as JSON."""

    async def assessed(self, after: bytes) -> list[tuple[bytes, bytes]]:
        """What was said after an entry of the log: ids, and assessments as JSON."""


class Assessed:
    """Follows the log of assessments.

    Args:
        said: the log.

    Attributes:
        history: what was said, as far as it is known.
    """

    def __init__(self, said: AssessmentLog) -> None:
        self.history = History()
        self._said = said
        self._read = FIRST
        self._scored = FIRST

    async def reach(self, entry_id: bytes, stay: Callable[[], Awaitable[None]]) -> None:
        """Know what holds for entries up to one, however long that takes.

        Args:
            entry_id: the entry.
            stay: awaited while nobody has scored it yet; what it raises ends the waiting.

        Raises:
            StreamUnavailable: the log cannot be read.
        """
        await self._said.connect()
        delay, longest = POLL_SECONDS
        while entry_key(self._scored) < entry_key(entry_id):
            self._scored = await self._said.scored_up_to()
            if entry_key(self._scored) >= entry_key(entry_id):
                await self._learn()
                return
            await stay()
            await asyncio.sleep(delay)
            delay = min(longest, delay * 2)

    async def _learn(self) -> None:
        if self._read == FIRST:
            self._add(await self._said.latest_assessments())
        if news := await self._said.assessed(self._read):
            self._read = news[-1][0]
            self._add(data for _, data in news)

    def _add(self, assessments: Iterable[bytes]) -> None:
        for data in assessments:
            with suppress(msgspec.DecodeError):
                self.history.add(_assessment(data))
