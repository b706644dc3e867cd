"""What ingest and consumer know of the stream that joins them, and nothing more."""

from collections.abc import Callable, Sequence
from typing import Protocol

from payflux.errors import PayfluxError, StreamUnavailable
from payflux.event.decode import StoredEvent
from payflux.stream.deliveries import Change, Delivery, IncidentsKept, Ledger, Numbers, RiskKept, RiskNews, Tail, Told

APPENDED = ord("1")
DUPLICATE = ord("0")

GROUP = "payment_consumers"
"""The group that scores, and exports to stdout and files; every other exporter has a group of its own."""

OnAppended = Callable[[bytes, StreamUnavailable | None], None]
"""Gets `APPENDED` or `DUPLICATE` for each event in order; fewer than events sent means that the rest is unknown or not
stored, and the error says why."""


class AppendStream(Protocol):
    """The producer's side: each event stored at most once, in one atomic step with its mark and its number."""

    def append(self, events: Sequence[StoredEvent], on_appended: OnAppended) -> None:
        """Store events; calls `on_appended` exactly once, later. Never blocks, never raises."""

    async def probe(self) -> None:
        """Prove that the write path works.

        Raises:
            StreamUnavailable: it does not.
        """


class GroupMissing(PayfluxError):
    """The consumer group, or the stream with it, has vanished."""

    code = "group_missing"


class LeaseLost(PayfluxError):
    """Another consumer holds the stream now, or nobody does; nothing was changed."""

    code = "lease_lost"


class BurialRefused(StreamUnavailable):
    """An entry could not be dead-lettered, and nothing was changed; for all else the stream may well work."""


class ReadStream(Protocol):
    """The consumer's side, for one group, which has a lease, a ledger, names and a place of its own.

    Every method raises StreamUnavailable when the outcome is unknown.
    """

    async def connect(self) -> bool:
        """Connect, or connect anew, where there is no connection; whether there was none."""

    async def claim_name(self) -> bool:
        """Take or keep the consumer name for this node; False while another node uses it."""

    async def take_lease(self, ledger: Ledger, *, fresh: bool) -> Ledger | None:
        """Take or keep the group's lease, noting `ledger.settled` when it is kept.

        Args:
            ledger: how far this consumer got, with the life that a ledger has which begins with this.
            fresh: this process has not held the lease before: what a former process of this node left counts as left.

        Returns:
            None while another node holds it; else the ledger as it was before: of the former holder when
            the lease is new to this process, our own when it was kept.
        """

    async def ensure_group(self, ledger: Ledger) -> bool:
        """Make sure that the group exists, made just after `ledger.last_id` or before the oldest of `ledger.unacked`.

        Returns:
            Whether it had to be made. `ledger.last_id` is set to the beginning when the stream is another one than the
            ledger's, and to the newest entry when the stream was rolled back and its group with it; together with
            `ledger.last_seq` to the newest entry for a new group that is to begin there.
        """

    async def position(self) -> bytes:
        """The newest entry the group was given; raises GroupMissing."""

    async def read(self, count: int, block_seconds: float) -> list[Delivery]:
        """New entries, at most `count`, waiting for the first one; they are pending then. Raises GroupMissing."""

    async def follow(self, after: bytes, count: int, block_seconds: float) -> list[Delivery]:
        """Entries after an id, at most `count`, waiting for the first one; nothing is noted of it anywhere."""

    async def following(self, after: bytes, count: int) -> list[Delivery]:
        """Entries after an id, at most `count`, without waiting for one."""

    async def numbers(self, after: bytes) -> Numbers:
        """What the stream tells of the numbers of its entries up to an id, which were read before."""

    async def commit(  # noqa: PLR0917 - one step, and all that belongs to it
        self,
        ledger: Ledger,
        after: bytes,
        entries: int,
        trimmed: int,
        undone: Sequence[bytes],
        changes: Sequence[Change] = (),
    ) -> Sequence[bytes]:
        """Note in one step that the group is done with what was followed, and the ledger with it.

        Args:
            ledger: to be noted; its `last_id` is the end of the range, what is acked is added to its `acked`.
            after: the id that was followed.
            entries: how many were read after it.
            trimmed: how many were deleted from there unread.
            undone: entries of the range that become pending, with one delivery each; the others are acked by this.
            changes: assessments to be kept in the same step, as `keep_risk` does.

        Returns:
            Those that did not become pending, as they were deleted from the stream meanwhile.

        Raises:
            LeaseLost: nothing was noted. GroupMissing: nothing was noted.
        """

    async def noted(self) -> Ledger:
        """The ledger as it was noted last."""

    async def pending(self, after: bytes, idle_seconds: float) -> list[Delivery]:
        """Take over pending entries of the whole group that have been idle so long, in order, after an id; a slice.

        Their `attempts` are those made already: taking over is none.
        """

    async def attempt(self, ids: Sequence[bytes]) -> None:
        """Count one more delivery of pending entries."""

    async def ack(self, ids: Sequence[bytes], ledger: Ledger, expected: int) -> bytes:
        """Ack entries and note the ledger in one step; `acked` is counted there.

        Args:
            ids: the entries.
            ledger: to be noted.
            expected: how many entries this consumer believes to be pending in the group, `ids` among them.

        Returns:
            `1` for each entry that was pending until now, `0` for one that was not.

        Raises:
            LeaseLost: nothing was acked. GroupMissing: nothing was acked.
        """

    async def dead_letter(self, delivery: Delivery, reason: str, ledger: Ledger) -> bool:
        """Copy an entry to the dead-letter stream, then ack it; False when it was not pending any more.

        Raises:
            BurialRefused: the dead-letter stream does not take it. LeaseLost, GroupMissing: nothing was changed.
        """

    async def unread_tail(self, ledger: Ledger) -> Tail | None:
        """The last number given, and the time, when no entry after `ledger.last_id` exists; None while there is one."""

    async def keep_risk(self, news: RiskNews) -> None:
        """Keep assessments and snapshots in one step; an assessment not later than its processor's last one is dropped.

        Raises:
            LeaseLost: nothing was kept.
        """

    async def risk(self) -> RiskKept:
        """What is kept of the risk of processors."""

    async def snapshot(self, processor: str) -> bytes | None:
        """The snapshot that is kept of a processor."""

    async def keep_incidents(self, told: Sequence[Told]) -> None:
        """Keep what became of incidents; a step not later than the last one is dropped.

        Raises:
            LeaseLost: nothing was kept.
        """

    async def incidents(self) -> IncidentsKept:
        """What is kept of incidents."""

    async def leave(self) -> None:
        """Give up lease and name, and close."""
