"""The stream behaves as a model of it, whatever is done to it."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from consumers import Node, entries, ids_of, pending_ids
from payflux.event.decode import StoredEvent
from payflux.stream.deliveries import Delivery
from payflux.stream.protocol import LeaseLost
from real_parts import binary_or_skip
from servers import Server
from stream_keys import DEAD_LETTERS, LEASE, STATE
from streams import append, appending, event

# a model of the stream


@pytest.fixture(scope="module", params=["redis-6.2", "redis-7", "valkey-9"])
def modelled(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server for all examples of the model."""
    with tempfile.TemporaryDirectory(prefix="pf-") as directory:
        server = Server(binary_or_skip(request.param), Path(directory))
        yield server
        server.stop()


class StreamModel(RuleBasedStateMachine):
    """Appends, reads, acks, crashes and take-overs in any order, against lists that say what must be so."""

    server: Server  # set by the test

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.server.client.flushall()
        self.sent: list[StoredEvent] = []
        self.in_hand: dict[bytes, Delivery] = {}  # of the consumer that lives
        self.acked: set[bytes] = set()
        self.dead: set[bytes] = set()
        self.delivered: set[bytes] = set()
        self.crashes = 0

    def do(self, coroutine: Any) -> Any:
        """Run one step."""
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 20))

    @initialize()
    def start(self) -> None:
        """Two appenders and a consumer."""

        async def begin() -> None:
            self.stack = AsyncExitStack()
            self.appenders = [await self.stack.enter_async_context(appending(self.server)) for _ in range(2)]
            self.node = await Node(self.server, "0").begin()

        self.do(begin())

    @rule(count=st.integers(1, 6), old=st.integers(0, 3), which=st.integers(0, 1))
    def append(self, count: int, old: int, which: int) -> None:
        """New events, with some that are there already between them."""
        new = [event(len(self.sent) + n) for n in range(count)]
        batch = [*self.sent[:old], *new, *new[:1]]
        wanted = b"0" * min(old, len(self.sent)) + b"1" * count + b"0"
        assert self.do(append(self.appenders[which], batch)) == (wanted, "")
        self.sent += new

    @rule(count=st.integers(1, 5))
    def read(self, count: int) -> None:
        """New entries for the consumer: none that was ever delivered before."""
        found = self.do(self.node.reader.read(count, 0.001))
        assert self.delivered.isdisjoint(ids_of(found))
        assert len(found) == min(count, len(self.sent) - len(self.delivered))
        self.delivered.update(ids_of(found))
        self.in_hand |= {delivery.id: delivery for delivery in found}

    @rule(count=st.integers(1, 5), picks=st.data())
    def follow(self, count: int, picks: st.DataObject) -> None:
        """Entries after the group's place are what a read would give; done in one step, but some become pending."""
        after = self.do(self.node.reader.position())
        found = self.do(self.node.reader.follow(after, count, 0.001))
        assert len(found) == min(count, len(self.sent) - len(self.delivered))
        assert found == self.do(self.node.reader.follow(after, count, 0.001))  # looking changes nothing
        if not found:
            return
        undone = picks.draw(st.lists(st.sampled_from(ids_of(found)), unique=True))
        self.node.ledger.last_id, self.node.ledger.last_seq = found[-1].id, found[-1].seq
        self.do(self.node.reader.commit(self.node.ledger, after, len(found), 0, undone))
        assert self.do(self.node.reader.noted()).last_id == found[-1].id
        self.delivered.update(ids_of(found))
        self.acked.update(set(ids_of(found)) - set(undone))
        self.in_hand |= {delivery.id: delivery for delivery in found if delivery.id in undone}

    @precondition(lambda self: self.in_hand)
    @rule(picks=st.data())
    def ack(self, picks: st.DataObject) -> None:
        """Some of what is in hand, and perhaps something acked before."""
        ids = picks.draw(st.lists(st.sampled_from(sorted(self.in_hand)), min_size=1, unique=True))
        again = picks.draw(st.lists(st.sampled_from(sorted(self.acked)), max_size=2, unique=True)) if self.acked else []
        flags = self.do(self.node.reader.ack([*ids, *again], self.node.ledger, len(self.in_hand) + len(again)))
        assert flags == b"1" * len(ids) + b"0" * len(again)
        for entry_id in ids:
            del self.in_hand[entry_id]
        self.acked.update(ids)

    @precondition(lambda self: self.in_hand)
    @rule()
    def bury(self) -> None:
        """The oldest in hand becomes a dead letter."""
        entry_id = min(self.in_hand, key=lambda i: tuple(map(int, i.split(b"-"))))
        assert self.do(self.node.reader.dead_letter(self.in_hand.pop(entry_id), "invalid", self.node.ledger)) is True
        self.dead.add(entry_id)

    @rule(polite=st.booleans())
    def crash(self, polite: bool) -> None:
        """The consumer dies, or leaves; another one gets exactly what was in hand."""
        if polite:
            self.do(self.node.reader.leave())
        else:
            self.server.client.delete(LEASE)  # its time is up
            with pytest.raises(LeaseLost):
                self.do(self.node.reader.ack(sorted(self.in_hand), self.node.ledger, len(self.in_hand)))
            self.do(self.node.reader.leave())
        self.crashes += 1
        self.node = Node(self.server, str(self.crashes))
        self.do(self.node.begin())
        taken = self.do(self.node.reader.pending(b"0-0", 0))
        assert {d.id: (d.seq, d.data) for d in taken} == {d.id: (d.seq, d.data) for d in self.in_hand.values()}
        assert [d.seq for d in taken] == sorted(d.seq for d in taken)
        self.in_hand = {delivery.id: delivery for delivery in taken}

    @rule()
    def flush_scripts(self) -> None:
        """Redis forgets all scripts."""
        self.server.client.script_flush()

    @invariant()
    def nothing_is_lost_doubled_or_returns(self) -> None:
        """Each event has one entry, in order and numbered without gap; what is pending is what is in hand."""
        found = entries(self.server)
        assert [fields for _, fields in found] == [
            {b"data": one.data, b"seq": b"%d" % seq} for seq, one in enumerate(self.sent, 1)
        ]
        assert {entry_id for entry_id, _ in found} >= self.acked | self.dead | set(self.in_hand)
        assert self.delivered == self.acked | self.dead | set(self.in_hand)
        if hasattr(self, "node"):
            assert set(pending_ids(self.server)) == set(self.in_hand)
            dead = {fields[b"original_id"] for _, fields in entries(self.server, DEAD_LETTERS)}
            assert dead == self.dead
            assert int(self.server.client.hget(STATE, "seq") or 0) == len(self.sent)

    def teardown(self) -> None:
        """End what was started."""
        if hasattr(self, "node"):
            self.do(self.node.reader.leave())
            self.do(self.stack.aclose())
        self.loop.close()


def test_the_stream_behaves_as_its_model(modelled: Server) -> None:
    """Nothing appended is lost, nothing acked returns, no number is doubled or skipped."""
    StreamModel.server = modelled
    phases = (Phase.reuse, Phase.generate)  # shrinking would take minutes with a real server
    few = settings(max_examples=5, stateful_step_count=25, deadline=None, phases=phases)
    run_state_machine_as_test(StreamModel, settings=few)
