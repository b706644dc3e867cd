"""The words of texts that programs write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.event.words import readings


@pytest.mark.parametrize(
    ("text", "plain", "split"),
    [
        ("payment_timed_out", "payment timed out", "payment timed out"),
        ("PAYMENT.CAPTURE.COMPLETED", "payment capture completed", "payment capture completed"),
        ("threeDSFailed", "threedsfailed", "three ds failed"),
        ("TimeOut", "timeout", "time out"),
        ("", "", ""),
        ("déclinée-2x", "déclinée 2x", "déclinée 2x"),
    ],
)
def test_a_text_is_read_as_it_stands_and_split_at_camel_case(text: str, plain: str, split: str) -> None:
    """Both readings are between blanks, so that a word is looked for whole."""
    assert list(readings(text)) == [f" {plain} ", f" {split} "]


@given(st.text(max_size=50))
def test_no_letter_is_lost_or_made_up(text: str) -> None:
    """Reading only takes signs away, and puts blanks in."""
    kept = "".join(c for c in text.lower() if c.isalnum())
    for reading in readings(text):
        assert "".join(c for c in reading if c.isalnum()) == kept or not text.isascii()
