"""Random sequences of faults: what was accepted comes out once or is counted as lost once, and soon."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from consumer_parts import good
from consumers import entries
from faulty import NodeInTest, State, clock_ahead
from real_parts import binary_or_skip
from servers import Server
from stream_keys import STATE, STREAM
from streams import wait_for

Result = TypeVar("Result")
RESUME_SECONDS = 5.0
FEW = 3


@pytest.fixture(params=["redis-6.2", "redis-7", "valkey-9"])
def modelled(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each server in turn."""
    with tempfile.TemporaryDirectory(prefix="pf-") as path:
        server = Server(binary_or_skip(request.param), Path(path))
        yield server
        server.stop()


class Faults(RuleBasedStateMachine):
    """A node whose events are sent in small batches, and all that may happen to it and its server."""

    server: ClassVar[Server]
    export_first: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        self.server.client.flushall()
        self.loop = asyncio.new_event_loop()
        self.accepted: list[str] = []
        self.foreign = 0
        self.saved: State | None = None

    def do(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run one step."""
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 30))

    @initialize()
    def start(self) -> None:
        """A node at work."""

        async def begin() -> None:
            self.node = NodeInTest(self.server, export_first=self.export_first)
            self.node.start()

        self.do(begin())
        self.send(1)
        self.do(wait_for(lambda: self.node.processed))  # a node that has noted nothing knows nothing of what is lost

    @rule(count=st.integers(1, 8))
    def send(self, count: int) -> None:
        """New events, which come out soon."""
        self.accepted += self.do(self.node.send(count))
        self.settle()

    @rule(count=st.integers(1, 8))
    def send_unread(self, count: int) -> None:
        """New events, which nobody reads yet; then they are trimmed, or taken back, or come out."""
        self.do(self.node.reader.hold())
        self.accepted += self.do(self.node.send(count))

    @rule()
    def save(self) -> None:
        """The state that the server may come back with."""
        self.pass_reported()
        self.saved = State(self.server)

    @precondition(lambda self: self.saved)
    @rule(ahead=st.booleans(), unread=st.integers(0, 3), killed=st.booleans())
    def roll_back(self, ahead: bool, unread: int, killed: bool) -> None:
        """The server comes back with it; perhaps with its clock behind, with events unread, and the consumer killed."""
        assert self.saved is not None
        if ahead:
            clock_ahead(self.server)
        if unread:
            self.send_unread(unread)
        if killed:
            self.do(self.node.kill())
        self.saved.restore()
        self.saved = None
        if killed:
            self.do(self._start())
        self.send(1)

    @rule(killed=st.booleans())
    def flush(self, killed: bool) -> None:
        """Everything is gone."""
        self.pass_reported()
        if killed:
            self.do(self.node.kill())
        self.server.client.flushall()
        self.saved = None
        if killed:
            self.do(self._start())
        self.send(1)

    @rule()
    def kill(self) -> None:
        """The consumer dies and has a successor."""
        self.do(self.node.kill())
        self.do(self._start())
        self.settle()

    @rule(count=st.integers(1, 5))
    def trim(self, count: int) -> None:
        """Events are trimmed unread."""
        self.send_unread(count)
        self.server.client.xtrim(STREAM, maxlen=0, approximate=False)
        self.send(1)

    @rule(number=st.sampled_from([1, 5, 5_000_000]))
    def intrude(self, number: int) -> None:
        """Somebody writes an entry with a number that is not the stream's."""
        if number > self.given() or ((self.node.consumer._ledger.noted().last_seq or 0) >= number):
            self.server.client.xadd(STREAM, {"data": good().data, "seq": number})
            self.send(1)

    def pass_reported(self) -> None:
        """Before the numbers are beyond those of the last loss, a smaller one looks like the same told again."""
        self.settle()
        while self.node.consumer._ledger.handled.reported >= self.given():
            self.send(8)

    def given(self) -> int:
        """The last number given."""
        return int(self.server.client.hget(STATE, "seq") or 0)

    async def _start(self) -> None:
        self.node.start()

    def settle(self) -> None:
        """Export goes on, and in five seconds each accepted event has a line or is counted."""
        self.node.reader.gate.set()

        async def wait() -> None:
            async with asyncio.timeout(RESUME_SECONDS):
                while not self.accounted():  # noqa: ASYNC110 - a thread of its own writes the lines
                    await asyncio.sleep(0.002)

        try:
            self.do(wait())
        except TimeoutError:
            missing = [at for at, one in enumerate(self.accepted) if one not in set(self.node.lines)]
            raise AssertionError((missing, self.node.lost(), entries(self.server)[-5:])) from None
        assert max(Counter(self.node.lines).values()) == 1

    def accounted(self) -> bool:
        """Whether each accepted event has a line or is counted as lost."""
        missing = len(set(self.accepted) - set(self.node.lines))
        return missing == sum(self.node.lost().values())

    def teardown(self) -> None:
        """End what was started."""
        if hasattr(self, "node"):
            self.do(self.node.end())
        self.loop.close()


@pytest.mark.parametrize("export_first", [False, True])
def test_every_history_of_faults_is_accounted_for(modelled: Server, export_first: bool) -> None:
    """Whatever happened: each accepted event has one line or is counted once, within five seconds.

    A few histories, always the same; `make faults` draws many at random.
    """
    Faults.server, Faults.export_first = modelled, export_first
    at_random = settings.get_current_profile_name() == "faults"
    histories = settings(
        max_examples=settings.get_profile("faults").max_examples if at_random else FEW,
        derandomize=not at_random,
        stateful_step_count=10,
        phases=(Phase.generate,),  # shrinking would take minutes with a real server
    )
    run_state_machine_as_test(Faults, settings=histories)
