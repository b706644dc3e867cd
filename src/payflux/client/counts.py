"""What became of the events that were given to a client.

Each of them is at every moment in exactly one of the numbers of `Counts`, so their sum is exact.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

CODES = 50
Reason = Literal["queue_full", "closed", "unencodable", "pan_detected", "too_large", "unsent", "spool_damaged"]
"""Why an event is dropped: no room; given after `close`; no JSON object; a card number in it; larger than a node takes;
in memory still when `close` ran out of time and no spool could take it; its line in the spool damaged or deleted."""

_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Counts:
    """What became of the events so far: `sent + recovered` is the sum of all that follow, but `retried`.

    Attributes:
        sent: calls of `send`.
        recovered: found in the spool, left there by processes that are gone.
        accepted: stored by the node.
        duplicate: stored by the node before.
        rejected: refused by the node for good, by its code.
        dropped: given up, by reason.
        spooled: in the spool now.
        queued: in memory now, waiting or on their way.
        retried: how often an event stayed without a settled answer and had to be sent again.
    """

    sent: int
    recovered: int
    accepted: int
    duplicate: int
    rejected: Mapping[str, int]
    dropped: Mapping[str, int]
    spooled: int
    queued: int
    retried: int

    @property
    def outstanding(self) -> int:
        """Events whose fate is open."""
        return self.spooled + self.queued


class Places:
    """Where events are: every one that was given or found is in memory, in the spool, dropped, or settled."""

    __slots__ = ("dropped", "queued", "recovered", "sent", "spooled")

    def __init__(self) -> None:
        self.sent = self.recovered = self.queued = self.spooled = 0
        self.dropped: Counter[str] = Counter()

    def take(self) -> None:
        """One was given, and is in memory."""
        self.sent += 1
        self.queued += 1

    def refuse(self, reason: Reason) -> None:
        """One was given, and is dropped."""
        self.sent += 1
        self.dropped[reason] += 1

    def recover(self, events: int) -> None:
        """So many were found in the spool."""
        self.recovered += events
        self.spooled += events

    def spool(self, events: int) -> None:
        """So many went from memory to the spool."""
        self.queued -= events
        self.spooled += events

    def damage(self, events: int) -> None:
        """So many in the spool are lost."""
        self.spooled -= events
        self.dropped["spool_damaged"] += events

    def settle(self, events: int, *, from_memory: bool) -> None:
        """The fate of so many is known."""
        if from_memory:
            self.queued -= events
        else:
            self.spooled -= events

    def end(self) -> None:
        """What is in memory is dropped."""
        if self.queued:
            self.dropped["unsent"] += self.queued
        self.queued = 0


class Fates:
    """What nodes said of events."""

    __slots__ = ("accepted", "duplicate", "rejected", "retried")

    def __init__(self) -> None:
        self.accepted = self.duplicate = self.retried = 0
        self.rejected: Counter[str] = Counter()

    def add(self, accepted: int, duplicate: int, codes: Sequence[str], unsettled: int) -> None:
        """An answer to a batch."""
        self.accepted += accepted
        self.duplicate += duplicate
        self.retried += unsettled
        for code in codes:
            self.rejected[self._bounded(code)] += 1

    def _bounded(self, code: str) -> str:
        known = code in self.rejected or len(self.rejected) < CODES
        return code if known and _CODE.fullmatch(code) else "other"
