"""A snapshot goes on as if nothing had happened."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from payflux.risk.judge import Limits
from payflux.risk.snapshot import restore, snapshot
from risk_traffic import LEARNED, Memory, counted, few, minutes, resumed, seconds, seeds


@few
@given(seed=seeds, at=st.integers(0, 59))
def test_a_snapshot_goes_on_as_if_nothing_had_happened(memory: Memory, seed: int, at: int) -> None:
    """Restored from bytes at any second, also within a trouble, a watch says the same from then on."""
    one, other = resumed(memory), resumed(memory)
    for number, (second, attempts) in enumerate(zip(seconds(LEARNED, 60), minutes(seed), strict=True)):
        assert one.tick(second, counted(attempts, 300)) == other.tick(second, counted(attempts, 300))
        if number == at:
            other = restore("stripe", Limits(), msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot(other))))
    assert snapshot(one) == snapshot(other)
