"""What is read from the stream: ids in their order, and a delivery that was tried once more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.stream.deliveries import Delivery, at_ms, entry_key, just_before

PARTS = st.integers(0, 2**64 - 1)


@given(PARTS, PARTS, PARTS, PARTS)
def test_ids_are_ordered_as_numbers(one: int, counter: int, other: int, another: int) -> None:
    """Not as texts: 9-0 comes before 10-0."""
    ordered = entry_key(b"%d-%d" % (one, counter)) < entry_key(b"%d-%d" % (other, another))
    assert ordered == ((one, counter) < (other, another))


@given(PARTS, PARTS)
def test_an_id_tells_when(milliseconds: int, counter: int) -> None:
    """By the clock of the stream."""
    entry_id = b"%d-%d" % (milliseconds, counter)
    assert at_ms(entry_id) == Delivery(entry_id, 1, b"{}").at_ms == entry_key(entry_id)[0] == milliseconds


@pytest.mark.parametrize(
    ("entry_id", "before"),
    [(b"5-2", b"5-1"), (b"5-1", b"5-0"), (b"5-0", b"4-18446744073709551615"), (b"5", b"4-%d" % (2**64 - 1))],
)
def test_nothing_lies_between_an_id_and_the_one_just_before(entry_id: bytes, before: bytes) -> None:
    """The counter is one less, or as high as it can be in the millisecond before."""
    assert just_before(entry_id) == before


def test_a_further_try_is_the_same_delivery() -> None:
    """But for the number of attempts."""
    first = Delivery(b"5-1", 7, b"{}", lost_to=3)
    assert first.tried().tried() == Delivery(b"5-1", 7, b"{}", 3, lost_to=3)
    assert first.attempts == 1
