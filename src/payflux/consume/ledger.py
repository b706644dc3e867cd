"""How far a consumer got: its place in the stream, what it has not acked behind it, and what was lost on the way.

It knows entries by their ids and numbers alone; what stands in them is none of its business.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from payflux.consume.audit import Losses, SeqAudit
from payflux.consume.doubt import InDoubt, Run
from payflux.exporters import Exported
from payflux.exporters.fanout import FanOut
from payflux.log import log
from payflux.stream.deliveries import Delivery, Ledger, Numbers, entry_key
from payflux.telemetry.handled import Handled
from payflux.telemetry.metrics import STREAM_LOST, Metrics


class Step(NamedTuple):
    """What the ack of a batch changes.

    Attributes:
        audit: the numbers of the entries after it.
        acked: entries that are acked with it.
        undone: entries of it that are not.
        lines: the numbers of those that lines were made of.
    """

    audit: SeqAudit
    acked: Sequence[bytes]
    undone: Sequence[bytes]
    lines: tuple[Run, ...] = ()


class ConsumerLedger:
    """What a consumer keeps of its way through the stream, and the counts that follow from it.

    Args:
        fan_out: tells how many lines are published and settled.
        metrics: of this consumer.
        token: what tells this node from every other one.
        former_settled: lines of its ledger a former process of this node was done with; None when there was none.

    Attributes:
        handled: what the consumers of this node were done with lately.
    """

    def __init__(self, fan_out: FanOut, metrics: Metrics, token: str, former_settled: int | None = None) -> None:
        self._fan_out, self._metrics, self._token = fan_out, metrics, token
        self._former_settled = former_settled
        self._audit = SeqAudit()
        self._in_doubt = InDoubt(fan_out)
        self._base = 0  # lines published before the ledger began, less those acked without one
        self.handled = Handled(metrics.slab)
        if former_settled is not None:
            self.handled.restart(former_settled + int(metrics.notes.base))
            self._base = -former_settled  # should we die before the lease is ours, our successor has to know it too
        self._unacked: dict[bytes, None] = {}
        self._lost_safe: dict[bytes, int] = {}  # done once the batch is acked that tells of their loss
        self._note_base()

    @property
    def last_id(self) -> bytes:
        """The newest entry seen."""
        return self._audit.last_id

    @property
    def begun(self) -> bool:
        """Whether it is known where to begin: somebody noted how far the group is, or it is new."""
        return self._audit.last_seq is not None

    @property
    def unacked(self) -> Mapping[bytes, None]:
        """Entries up to the newest one seen that are not acked yet."""
        return self._unacked

    def is_behind(self, entry_id: bytes) -> bool:
        """Whether an entry is newer than the newest one seen."""
        return entry_key(entry_id) > entry_key(self._audit.last_id)

    def follows(self, entry_id: bytes, seq: int) -> bool:
        """Whether no event is missing between the newest entry seen and this one; true of what is no newer."""
        last = self._audit.last_seq
        return not self.is_behind(entry_id) or last is None or seq <= last + 1

    def behind(self, noted: Ledger) -> bool:
        """Whether the ledger in Redis is of an older state than we have seen: entries we handled may be gone."""
        newest = max(self.last_id, self.handled.newest or self.last_id, key=entry_key)
        return entry_key(noted.last_id) < entry_key(newest)

    def horizon(self, remembered: Mapping[bytes, int]) -> tuple[tuple[tuple[int, int], int], tuple[int, int]]:
        """How far back entries are remembered one by one, and how far anything was handled.

        Args:
            remembered: the entries, the oldest first, with their numbers.

        Returns:
            Id and number such that every entry below both was handled before those; and the id of the newest handled.
        """
        milliseconds, counter = entry_key(self.last_id)
        first = (milliseconds, counter + 1), (self._audit.last_seq or 0) + 1
        for entry_id, seq in remembered.items():
            first = entry_key(entry_id), seq
            break
        known = (self.last_id, self.handled.newest or self.last_id, *self.handled.safe)
        return first, max(map(entry_key, known))

    def lacks(self, newest: int) -> bool:
        """Whether numbers up to here were given that we have not seen."""
        last = self._audit.last_seq
        return last is not None and newest > last

    def after(self, seqs: Sequence[int], newest: bytes) -> SeqAudit | None:
        """The numbers of the entries as they will be known when some more, all of them newer, are acked.

        Args:
            seqs: of these entries in stream order, none of which tells of a loss; there may be none.
            newest: the last of these entries.

        Returns:
            None when they do not simply go on: then it takes `after_gap`.
        """
        audit = self._audit.counted()
        return audit if not seqs or audit.goes_on(seqs, newest) else None

    def after_gap(self, deliveries: Sequence[Delivery], numbers: Numbers) -> SeqAudit:
        """The same, when the stream was asked what can be ours of their numbers."""
        audit = self._audit.counted()
        self._lost_safe = self._lost_when_safe(deliveries) if self.handled.safe else {}
        audit.account_for(self._lost_safe.values())
        audit.see_all(deliveries, numbers)
        return audit

    def _lost_when_safe(self, deliveries: Sequence[Delivery]) -> dict[bytes, int]:
        """Entries that were exported and not acked when Redis lost them, with their numbers: no line of theirs is lost.

        What was exported after an entry that tells of the loss is of the state that tells it.
        """
        there = {delivery.id for delivery in deliveries}
        lost: dict[bytes, int] = {}
        for told in [delivery for delivery in deliveries if delivery.lost_to]:
            for at, seq in self.handled.safe.items():
                if at == told.id:
                    break
                if at not in there and told.seq <= seq <= told.lost_to:
                    lost[at] = seq
        return lost

    def noted(self) -> Ledger:
        """The ledger as it should be noted now."""
        return self._noted(self._audit, self._unacked, self._in_doubt.noted())

    def noted_after(self, step: Step) -> Ledger:
        """The ledger as it should be noted in the step that acks a batch."""
        return self._noted(step.audit, self._unacked_after(step), self._in_doubt.noted(step.lines))

    def _noted(self, audit: SeqAudit, unacked: Mapping[bytes, None], in_doubt: bytes) -> Ledger:
        return Ledger(
            self._token,
            settled=max(0, self._fan_out.settled - self._base),
            last_id=audit.last_id,
            last_seq=audit.last_seq or 0,
            unacked=tuple(sorted(unacked, key=entry_key)) if unacked else (),
            in_doubt=in_doubt,
        )

    def _unacked_after(self, step: Step) -> dict[bytes, None]:
        if not self._unacked and not step.undone:
            return {}
        acked = set(step.acked)
        return {entry_id: None for entry_id in (*self._unacked, *step.undone) if entry_id not in acked}

    # changes

    def begin(self, before: Ledger, *, fresh: bool, former: Ledger | None = None, life: int = 0) -> None:
        """Go on from another's ledger: count what its holder acked and did not export.

        Args:
            before: the ledger.
            fresh: this process has not held the lease before.
            former: the ledger as it was seen while another held the lease, when it is of an older state now.
            life: of the ledger that begins.
        """
        ours = fresh and before.owner == self._token and self._former_settled is not None
        if not self._is_past(before) and (ours or (former is None and not self.behind(before))):
            settled = max(before.settled, self._former_settled or 0) if ours else before.settled
            gone = self._in_doubt.gone(before.acked - settled, before.in_doubt)
            self._count_lost("crash", gone, former=before.owner)
        last = former or before
        if last.owner != self._token and entry_key(last.last_id) > entry_key(self.handled.newest or b"0-0"):
            self.handled.keep({}, {})  # another went on from there
        if last.owner:
            self._audit = SeqAudit(
                last.last_seq, last.last_id, reported=self.handled.reported, parted=self.handled.parted
            )
            self._unacked = dict.fromkeys(before.unacked)
        elif fresh:
            self._audit = SeqAudit(last_seq=None)  # nobody noted how far the group is
        self._count_from(0, life, former=before.life)

    def _is_past(self, before: Ledger) -> bool:
        """Whether its holder had a successor before, who counted it: Redis came back with what had been long ago."""
        known = self.handled
        return 0 < before.life != known.life and (before.owner == self._token or before.life == known.former)

    def _count_from(self, acked: int, life: int, former: int) -> None:
        """Go on with a ledger that has so many acked; what is safe already will be acked without being published."""
        self._base = self._fan_out.published - len(self.handled.safe) - acked
        self.handled.begin(life, former)
        self._note_base()

    def recognise(self, lines: Iterable[Exported]) -> None:
        """Lines that stand at the destination of entries to come: who exported them died before noting it.

        Args:
            lines: the newest ones there, newest first.
        """
        done, safe, end = self.handled.all(), dict(self.handled.safe), entry_key(self.last_id)
        for one in reversed([*lines]):
            entry_id = one.stream_message_id.encode()
            if entry_id not in done and (one.key > end or entry_id in self._unacked):
                safe.setdefault(entry_id, one.seq)
        found = len(safe) - len(self.handled.safe)
        if found:
            self.handled.keep(done, safe)
            self._base -= found  # they are acked without being published
            self._note_base()

    def rolled_back(self, place: Ledger, handled: Mapping[bytes, int], safe: Mapping[bytes, int]) -> None:
        """Redis has an older state.

        Args:
            place: its ledger, but with the newest entry that it and we know as the place.
            handled: the entries that it and we know, with their numbers.
            safe: those of its entries that are exported and perhaps not acked.
        """
        handled_to = max(self._audit.last_seq or 0, self.handled.highest)
        self._audit = self._audit.rolled_back(place.last_seq, place.last_id, handled_to)
        self._unacked = dict.fromkeys(place.unacked)
        self.handled.keep(handled, safe)
        self._count_from(place.acked, place.life, self.handled.former)
        self._remember_reported()
        log("warning", "redis_rolled_back", last_id=place.last_id.decode(), last_seq=place.last_seq, seen=handled_to)

    def recount(self, noted: Ledger) -> None:
        """Redis may have come back with what an earlier process of this node had noted, at the same place as ours.

        Its count of acked events is the one a successor will be told, so that ours begins where that one stands.

        Args:
            noted: the ledger in Redis; no ack of ours is in doubt.
        """
        same = noted.owner == self._token and noted.last_id == self.last_id
        if same and noted.life != self.handled.life:
            self._count_from(noted.acked, noted.life, self.handled.former)

    def place(self, last_id: bytes, *, anew: bool, last_seq: int = 0) -> None:
        """Where the stream says the group is, or was made anew: perhaps in another stream, or an older state of it.

        Args:
            last_id: the entry before the first it is to be given.
            anew: it was made.
            last_seq: the number of that entry, for a group that does not begin with the first one.
        """
        another = last_id != self._audit.last_id
        self._audit = replace(self._audit, last_id=last_id)
        if anew and (last_seq or not self.begun):
            self._audit = replace(self._audit, last_seq=last_seq)
        if anew and another:
            self._unacked = {}

    def acked(self, step: Step, *, lines: int, silent: int, gone: int) -> None:
        """The ack of a batch has happened.

        Args:
            step: what it changes.
            lines: how many lines of it are ours to export.
            silent: how many entries we acked that get no line.
            gone: how many of those were deleted while they were pending.
        """
        self._count_losses(step.audit.losses(), gone)
        self._in_doubt.add(step.lines, lines)
        self._audit, self._unacked = step.audit.counted(), self._unacked_after(step)
        if self._lost_safe:
            self.handled.ack_safe(self._lost_safe)
            self._lost_safe = {}
        self._remember_reported()
        self._base -= silent
        self._note_base()

    def buried(self, entry_id: bytes) -> None:
        """It was dead-lettered, and acked with that."""
        self._unacked.pop(entry_id, None)

    def keep_pending(self, ids: Collection[bytes], position: bytes) -> None:
        """These alone are pending up to the group's place: what else is not acked has vanished with its entry."""
        end = entry_key(position)
        self._unacked = {one: None for one in self._unacked if one in ids or entry_key(one) > end}

    def passed(self, position: bytes) -> None:
        """The group was given everything up to here, and what is not pending of it is done."""
        self._audit = replace(self._audit, last_id=max(self.last_id, position, key=entry_key))

    def ended(self, newest: int, numbers: Numbers) -> None:
        """No entry follows the newest one seen: what was numbered up to here was deleted unread."""
        audit = self._audit.counted()
        audit.ended(newest, numbers)
        self._count_losses(audit.losses())
        self._audit = audit.counted()

    # counts

    def _count_losses(self, losses: Losses, gone: int = 0) -> None:
        """Count events that will never be read, and `gone` entries that were deleted while they were pending."""
        self._count_lost("trimmed", losses.trimmed + gone)
        self._count_lost("reset", losses.reset)

    def _count_lost(self, reason: str, events: int, **more: str) -> None:
        if events > 0:
            self._metrics.add(STREAM_LOST, reason, n=events)
            log("error", "events_lost", reason=reason, events=events, **more)

    def _remember_reported(self) -> None:
        self.handled.report(self._audit.reported, self._audit.parted)

    def _note_base(self) -> None:
        """For a successor in this node: what it needs to tell our lines of this ledger from earlier ones."""
        self._metrics.notes.begin_ledger(self._base)
