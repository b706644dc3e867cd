"""Amounts: exponents of ISO 4217, and the buckets they fall into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.event.rules import AMOUNT_LIMIT
from payflux.webhooks.money import EXPONENTS, bucket_of, exponent_of, is_currency, minor_of_decimal, minor_units


def test_exponents_of_iso_4217() -> None:
    """Yen none, dinars three, the rest two."""
    assert [exponent_of(name) for name in ("JPY", "KWD", "EUR", "CLF", "???")] == [0, 3, 2, 4, 2]
    assert all(is_currency(name) for name in EXPONENTS)
    assert not any(is_currency(text) for text in ("", "EU", "EUR1", "€€€", "E R"))


@pytest.mark.parametrize(
    ("amount", "exponent", "currency", "minor"),
    [
        (1234, -1, "EUR", 1234),
        (1234, 2, "JPY", 12),
        (12, 0, "EUR", 1200),
        (1234, 2, "KWD", 12_340),
        (-1, -1, "EUR", None),
        (AMOUNT_LIMIT, 0, "KWD", None),
    ],
)
def test_amounts_in_minor_units(amount: int, exponent: int, currency: str, minor: int | None) -> None:
    """What no event can hold is none."""
    assert minor_units(amount, exponent, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.50", "EUR", 1250),
        ("1000", "jpy", 1000),
        ("1.234", "KWD", 1234),
        ("-1", "EUR", None),
        ("NaN", "EUR", None),
        ("1e999999", "EUR", None),
        ("Infinity", "EUR", None),
        ("", "EUR", None),
        ("twelve", "EUR", None),
    ],
)
def test_amounts_with_a_decimal_point(text: str, currency: str, minor: int | None) -> None:
    """Exactly, without a float in between."""
    assert minor_of_decimal(text, currency) == minor


@given(st.text(max_size=40), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_any_text_is_an_amount_or_none(text: str, currency: str) -> None:
    """No text is a defect."""
    found = minor_of_decimal(text, currency)
    assert found is None or 0 <= found <= AMOUNT_LIMIT


@pytest.mark.parametrize(
    ("minor", "currency", "bucket"),
    [(0, "EUR", "0-10"), (999, "EUR", "0-10"), (1000, "EUR", "10-50"), (499_999, "USD", "1000-5000"),
     (500_000, "USD", "5000+"), (4999, "JPY", "1000-5000"), (49_999, "KWD", "10-50")],
)  # fmt: skip
def test_a_bucket_holds_its_lower_edge(minor: int, currency: str, bucket: str) -> None:
    """And not its upper one; in major units, higher where the unit buys little."""
    assert bucket_of(minor, currency) == bucket
