"""Amounts: minor units as ISO 4217 has them, and the bucket an amount falls into."""

from bisect import bisect_right
from decimal import Decimal
from functools import lru_cache

from payflux.event.rules import AMOUNT_LIMIT

_USUAL = 2
EXPONENTS = {
    **dict.fromkeys(
        (
            *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV"),
            *("XAF", "XOF", "XPF"),
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""Decimal places of the currencies that have other than two: ISO 4217, list one, of 2026."""

EDGES = (10, 50, 200, 1000, 5000)
"""Edges of the buckets, in major units of most currencies."""

_SMALL_UNITS = {
    **dict.fromkeys(("JPY", "HUF", "INR", "PHP", "RUB", "THB", "ISK", "TWD", "CZK", "RSD", "KES", "EGP"), 100),
    **dict.fromkeys(("KRW", "CLP", "COP", "NGN", "ARS", "PYG", "UGX", "XAF", "XOF", "XPF", "TZS", "IQD"), 1000),
    **dict.fromkeys(("IDR", "VND", "LBP", "UZS", "GNF"), 10_000),
}
"""Currencies whose unit buys little: their edges lie so many times higher, or all payments would fall into the last."""


def is_currency(text: str) -> bool:
    """Whether a text has the form of a currency code."""
    return len(text) == 3 and text.isascii() and text.isalpha()


def exponent_of(currency: str) -> int:
    """How many decimal places a currency has; two when it is not known."""
    return EXPONENTS.get(currency, _USUAL)


def minor_units(amount: int, exponent: int, currency: str) -> int | None:
    """An amount in minor units of its currency.

    Args:
        amount: in units of ten to the power of minus `exponent`.
        exponent: what the processor counts in; below 0: the minor unit of the currency.
        currency: in capitals.

    Returns:
        The amount as ISO 4217 counts, a fraction of a unit cut off; None when no event can hold it.
    """
    if exponent >= 0 and exponent != (wanted := exponent_of(currency)):
        amount = amount * 10 ** (wanted - exponent) if wanted > exponent else amount // 10 ** (exponent - wanted)
    return amount if 0 <= amount <= AMOUNT_LIMIT else None


def minor_of_decimal(text: str, currency: str) -> int | None:
    """An amount written with a decimal point, such as `12.50`, in minor units; None when it is no such amount."""
    try:
        amount = Decimal(text[:32]).scaleb(exponent_of(currency.upper()))
        return int(amount) if amount.is_finite() and 0 <= amount <= AMOUNT_LIMIT else None
    except (ArithmeticError, ValueError):
        return None


@lru_cache(maxsize=256)
def _edges(currency: str) -> tuple[list[int], list[str]]:
    """The edges of a currency in minor units, and the names of what lies between."""
    scale = _SMALL_UNITS.get(currency, 1)
    major = [edge * scale for edge in EDGES]
    names = [f"{low}-{high}" for low, high in zip([0, *major], major, strict=False)]
    return [edge * 10 ** exponent_of(currency) for edge in major], [*names, f"{major[-1]}+"]


def bucket_of(amount_minor: int, currency: str) -> str:
    """The bucket of an amount, in major units of its currency: `50-200` holds 50 and not 200."""
    edges, names = _edges(currency)
    return names[bisect_right(edges, amount_minor)]
