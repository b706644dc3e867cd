"""Where two states of a stream part: what both have, what is new in the one that is there, and what is not done."""

import msgspec
import pytest

from consumer_parts import Parts
from payflux.consume.ledger import Step
from payflux.consume.parting import Parting
from payflux.stream.deliveries import Delivery, Ledger, Numbers
from payflux.testing import MemoryStream

DONE = [b"%d-0" % at for at in range(10, 20)]
"""Entries that were handled, numbered from 1."""


class Rolled(MemoryStream):
    """A stream that has another state than the consumer has seen."""

    def __init__(self, state: list[Delivery], noted: Ledger) -> None:
        super().__init__()
        self.state, self.as_noted = state, noted
        self.noted_anew: list[Ledger] = []

    async def noted(self) -> Ledger:
        """The ledger of that state."""
        return msgspec.structs.replace(self.as_noted)

    async def following(self, after: bytes, count: int) -> list[Delivery]:
        """Its entries."""
        return [one for one in self.state if int(one.id[:-2]) > int(after.split(b"-")[0])][:count]

    async def ack(self, ids: object, ledger: Ledger, expected: int) -> bytes:
        """What is noted anew."""
        del ids, expected
        self.noted_anew.append(ledger)
        return b""


def entry(at: int, seq: int, lost_to: int = 0) -> Delivery:
    """An entry of a state."""
    return Delivery(b"%d-0" % at, seq, b"{}", lost_to=lost_to)


def begun(state: list[Delivery], noted: Ledger) -> Parts[Rolled]:
    """A consumer that has handled `DONE`, before Redis came back like this."""
    one = Parts(Rolled(state, noted))
    one.ledger.begin(Ledger("one"), fresh=True)
    one.ledger.handled.note(1, DONE, DONE[-1])
    one.ledger.handled.acked()
    audit = one.ledger.after_gap([entry(19, 10)], Numbers(10, [], None, b""))
    one.ledger.acked(Step(audit, (), ()), lines=0, silent=0, gone=0)
    return one


SAME = [entry(10 + at, 1 + at) for at in range(6)]


@pytest.mark.parametrize(
    ("state", "place", "unacked"),
    [
        (SAME, (b"15-0", 6), ()),
        ([*SAME, entry(16, 7, lost_to=10), entry(17, 8)], (b"15-0", 6), ()),  # ids as before, and another event
        ([*SAME, entry(16, 8)], (b"15-0", 6), ()),
        ([*SAME, entry(30, 7, lost_to=10)], (b"15-0", 6), ()),
        ([*SAME[:5], entry(17, 8)], (b"17-0", 8), ()),
        ([*SAME[:4], entry(14, 99), *SAME[5:]], (b"15-0", 6), (b"14-0",)),  # never handled, and before what was
        ([entry(12, 1, lost_to=10)], (b"11-0", 2), ()),
        ([], (b"11-0", 2), ()),
    ],
)
async def test_the_place_to_go_on_from(state: list[Delivery], place: tuple[bytes, int], unacked: tuple[bytes]) -> None:
    """Behind the last entry that both have; what lies before it and was not handled is to be done."""
    one = begun(state, Ledger("one", acked=2, last_id=b"11-0", last_seq=2))
    assert await Parting(one.stream, one.ledger).find()
    assert (one.ledger.last_id, one.ledger.noted().last_seq) == place
    assert tuple(one.ledger.unacked) == unacked
    assert [(noted.last_id, noted.last_seq) for noted in one.stream.noted_anew] == [place]
    assert one.ledger.handled.newest == place[0]
    assert one.ledger.handled.reported == 10
    one.stream.as_noted = one.stream.noted_anew[0]
    assert not await Parting(one.stream, one.ledger).find()


async def test_nothing_happened() -> None:
    """The ledger is as far as we are, or further, when an ack of ours had no reply."""
    for last_id in (b"19-0", b"25-0"):
        one = begun([], Ledger("one", last_id=last_id, last_seq=10))
        assert not await Parting(one.stream, one.ledger).find()
        assert one.ledger.last_id == b"19-0"
        assert one.stream.noted_anew == []


async def test_what_is_safe_stays_so_where_it_is_still_there() -> None:
    """It is to be acked, and not written again; what is in no state any more is forgotten."""
    one = begun([*SAME, entry(16, 7)], Ledger("one", last_id=b"11-0", last_seq=2))
    one.ledger.handled.keep(dict(zip(DONE[:6], range(1, 7), strict=True)), {DONE[6]: 7, DONE[7]: 8})
    assert await Parting(one.stream, one.ledger).find()
    assert one.ledger.last_id == DONE[5]
    assert one.ledger.handled.safe == {DONE[6]: 7}
