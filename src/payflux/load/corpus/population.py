"""Who pays, with what, through whom, and how often that fails on a good day.

No figure in here is anybody's: shares, decline rates and latencies are chosen to be plausible, so that a demonstration,
a load test or a detector sees the shapes it will meet.
"""

from math import exp, log
from statistics import NormalDist
from typing import NamedTuple

from payflux.load.corpus.chance import slots


class Processor(NamedTuple):
    """A processor.

    Attributes:
        rate: events a second on average, retries included.
        declines: its normal share of declined first attempts.
        geos: the countries it is used in.
        seasonal: its traffic has days, weeks and slow noise; else it is steady.
    """

    rate: float
    declines: float
    geos: tuple[str, ...]
    seasonal: bool = False


class Geo(NamedTuple):
    """A country's share of the payments, what it pays in, its hours ahead of UTC, and its odds of a decline, twice.

    `odds` are those of a shopper who is there, `issuer_odds` those of a card that was issued there; 1 is average.
    """

    weight: float
    currency: str
    hours: int
    odds: float
    issuer_odds: float


class Decline(NamedTuple):
    """A failure category: its weight among declines, and among those of recurring payments, and what it is like.

    `origin` says who causes it, `code` is the network's response code, `retryable` whether trying again can help.
    """

    weight: float
    recurring: float
    origin: str
    code: str
    retryable: bool


class Kind(NamedTuple):
    """A share of the payments, and its odds of a decline; 1 is average."""

    weight: float
    odds: float


class Channel(NamedTuple):
    """How payments come in: weight, odds, who sends them, who started them, and how failures are tried again.

    Attributes:
        weight: its part in the payments.
        odds: of a decline; 1 is average.
        source: the `system_source` of its events.
        initiator: `cit` or `mit`.
        retries: how many of 65,536 failed attempts are tried again.
        delays: after how many milliseconds, 1,024 quantiles.
    """

    weight: float
    odds: float
    source: str
    initiator: str
    retries: int
    delays: tuple[int, ...]


QUANTILES = 1024


def _exponential(least: float, mean: float) -> tuple[int, ...]:
    """Quantiles of a waiting time, in milliseconds: `least` seconds and `mean` more on average."""
    return tuple(round(1000 * (least - mean * log(1 - (i + 0.5) / QUANTILES))) for i in range(QUANTILES))


def _lognormal(middle: float, spread: float, most: float) -> tuple[int, ...]:
    """Quantiles of something that is never negative and sometimes large, in whole numbers."""
    usual = NormalDist(log(middle), spread)
    return tuple(round(min(exp(usual.inv_cdf((i + 0.5) / QUANTILES)), most)) for i in range(QUANTILES))


DEMO = {
    "stripe": Processor(6.8, 0.095, ("US", "GB", "DE", "FR", "CA")),
    "adyen": Processor(4.8, 0.090, ("NL", "DE", "GB", "FR", "ES")),
    "paypal": Processor(2.8, 0.085, ("US", "GB", "DE", "AU", "MX")),
    "braintree": Processor(2.0, 0.110, ("US", "CA", "AU", "GB")),
    "checkout": Processor(2.0, 0.105, ("GB", "FR", "ES", "IN", "PL")),
    "worldpay": Processor(1.6, 0.125, ("GB", "US", "NL", "BR")),
}
"""What a demonstration shows: 20 events/s, each processor in its main countries."""

GEOS = {
    "US": Geo(34, "USD", -6, 1.00, 1.00),
    "GB": Geo(14, "GBP", 0, 0.85, 0.90),
    "DE": Geo(11, "EUR", 1, 0.80, 0.85),
    "FR": Geo(9, "EUR", 1, 0.95, 1.00),
    "NL": Geo(7, "EUR", 1, 0.75, 0.80),
    "CA": Geo(6, "CAD", -5, 0.95, 0.95),
    "AU": Geo(5, "AUD", 10, 0.95, 0.90),
    "BR": Geo(4, "BRL", -3, 1.45, 1.35),
    "IN": Geo(4, "INR", 5, 1.40, 1.40),
    "ES": Geo(3, "EUR", 1, 1.00, 1.05),
    "PL": Geo(2, "PLN", 1, 0.95, 0.95),
    "MX": Geo(1, "MXN", -6, 1.40, 1.30),
}
FAR_GEOS = (
    *("AR", "BD", "BG", "CL", "CO", "EG", "GE", "GH", "HU", "ID", "KE", "KZ", "LT", "LV", "MA", "MY"),
    *("NG", "PE", "PH", "PK", "RO", "RS", "TH", "TR", "UA", "UY", "VN", "ZA"),
)
COUNTRIES = (*GEOS, *FAR_GEOS)
CORPUS = {
    f"p{name}": Processor(rate, declines, tuple(GEOS), seasonal=True)
    for name, rate, declines in (
        *(("0_05", 0.05, 0.10), ("0_5", 0.5, 0.11), ("5", 5.0, 0.10)),
        *(("20", 20.0, 0.09), ("50", 50.0, 0.10), ("200", 200.0, 0.095)),
    )
}
"""What detectors are measured with, named after their events a second."""

PROCESSORS = DEMO | CORPUS
METHODS = {
    "credit_card": Kind(48, 1.0),
    "debit_card": Kind(27, 1.15),
    "wallet": Kind(16, 0.7),
    "bank_transfer": Kind(6, 0.9),
    "bnpl": Kind(3, 1.5),
}
CARDS = ("credit_card", "debit_card")
NETWORKS = ("visa", "mastercard", "amex")
NETWORK_OF = tuple(slots((55, 36, 9), 16))
CHANNELS = {
    "web": Channel(52, 1.0, "checkout_api", "cit", 16_384, _exponential(4, 25)),
    "mobile": Channel(33, 0.9, "mobile_sdk", "cit", 22_938, _exponential(2, 8)),
    "recurring": Channel(
        *(15, 1.3, "subscription_billing", "mit", 19_661),
        tuple(3_600_000 + 10_547 * i for i in range(QUANTILES)),  # one to four hours
    ),
}
RECURRING = tuple(CHANNELS).index("recurring")
DECLINES = {
    "insufficient_funds": Decline(40, 62, "customer", "51", retryable=True),
    "do_not_honor": Decline(24, 14, "issuer", "05", retryable=True),
    "expired_card": Decline(8, 14, "customer", "54", retryable=False),
    "authentication_failed": Decline(8, 0, "customer", "", retryable=True),
    "processor_timeout": Decline(6, 3, "processor", "", retryable=True),
    "invalid_card": Decline(6, 4, "issuer", "14", retryable=False),
    "processor_error": Decline(5, 3, "processor", "96", retryable=True),
    "invalid_request": Decline(3, 0, "merchant", "13", retryable=False),
    "issuer_unavailable": Decline(2, 1, "issuer", "91", retryable=True),
}
CATEGORIES = ("", *DECLINES)
"""By number, as attempts have them; 0 is none: the attempt succeeds."""

RETRYABLE = (False, *(decline.retryable for decline in DECLINES.values()))
TIMEOUT = CATEGORIES.index("processor_timeout")
INVALID_CARD = CATEGORIES.index("invalid_card")
RETRY_LIMIT, STORM_LIMIT, RESEND_LIMIT = 3, 10, 6
RETRY_ODDS = 0.45 / 0.55
"""A retry fails in 45 of 100 cases, whatever is tried again."""

FIRST_ATTEMPTS = 0.972
"""Share of first attempts in normal traffic; the rest are retries, which come on top of them."""

MERCHANTS = 300
MERCHANT_OF = tuple(slots([1 / rank for rank in range(1, MERCHANTS + 1)], 4096))  # Zipf
SAME_COUNTRY = 2500
"""How many of 4,096 shoppers pay with a card of the country they are in."""

AMOUNTS = _lognormal(4500, 1.2, 2_000_000)
"""In minor units of the currency, 1,024 quantiles."""

SMALL_AMOUNTS = tuple(50 + i // 4 for i in range(QUANTILES))
AMOUNT_EDGES = (1000, 5000, 20_000, 100_000, 500_000)
AMOUNT_BUCKETS = ("0-10", "10-50", "50-200", "200-1000", "1000-5000", "5000+")
LATENCIES = _lognormal(420, 0.5, 9_000)
"""In milliseconds, 1,024 quantiles."""

TIMEOUT_LATENCIES = tuple(10_000 + 20_000 * i // QUANTILES for i in range(QUANTILES))
