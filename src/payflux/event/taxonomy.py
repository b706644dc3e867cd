"""Why a payment failed: its category, what a retry could do, who caused it, whether it counts against the processor.

Three things say so, and the first that does is believed: words in `failure_category`, the network's response code,
vague words in `failure_category` (`declined`). `failure_words.tsv` and `response_codes.tsv` hold the words and the
codes, each row with its source.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Literal, NamedTuple

from payflux.event.outcome import MEMO_SIZE
from payflux.event.words import readings

Origin = Literal["issuer", "network", "processor", "merchant", "customer", "unknown"]
Retry = Literal["never", "after_change", "with_authentication", "later", "now"]

UNKNOWN = "unknown"
UNVERIFIED = "unverified"
"""The `failure_origin` of a reason that nothing proves: it is shown, and never counts against the processor."""


class Category(NamedTuple):
    """What failures of one category have in common.

    Attributes:
        retry: never; after a change of data, card or set-up; with authentication of the customer; later; now.
        origin: who causes them, unless the event says otherwise.
        counts: they count against the processor, unless the event says otherwise.
        meaning: for people.
    """

    retry: Retry
    origin: Origin
    counts: bool
    meaning: str


CATEGORIES = {
    "insufficient_funds": Category("later", "issuer", False, "Not enough money in the account."),
    "limit_exceeded": Category("later", "issuer", False, "A limit of amount or number is used up."),
    "do_not_honor": Category("later", "issuer", False, "The issuer declines without a reason."),
    "issuer_unavailable": Category("later", "issuer", False, "The issuer cannot be reached."),
    "processor_technical": Category("now", "processor", True, "Something broke at the processor or on the way to it."),
    "timeout": Category("now", "processor", True, "No answer in time; retry with the same idempotency key."),
    "authentication_required": Category(
        "with_authentication", "issuer", False, "The issuer wants the customer to authenticate (3-D Secure, PIN)."
    ),
    "authentication_failed": Category("after_change", "customer", False, "The customer did not pass authentication."),
    "fraud_suspected": Category("never", "issuer", False, "The issuer, the processor or a rule suspects fraud."),
    "lost_or_stolen": Category("never", "issuer", False, "The card was reported lost or stolen, or is to be kept."),
    "account_closed_or_invalid": Category("never", "issuer", False, "There is no such card or account, or no more."),
    "expired_or_bad_data": Category("after_change", "customer", False, "Expiry date, CVC, PIN or address are wrong."),
    "not_permitted": Category("never", "issuer", False, "The card, the account or the country does not allow it."),
    "mandate_revoked": Category("never", "customer", False, "The customer stopped this payment or all further ones."),
    "merchant_configuration": Category(
        "after_change", "merchant", False, "The merchant's account is not set up for it."
    ),
    "invalid_request": Category("after_change", "merchant", False, "The request is wrong, or came twice."),
    "retry_blocked": Category(
        "never", "processor", False, "The processor blocked another retry of a declined payment."
    ),
    "rate_limited": Category("later", "merchant", False, "Too many requests."),
    "customer_cancelled": Category("never", "customer", False, "The customer went away or said no."),
    UNKNOWN: Category("later", "unknown", True, "Nobody can tell; it counts, and is listed by name."),
}
"""Every category of failures."""

ORIGINS: dict[str, Origin] = {
    **dict.fromkeys(("issuer", "bank", "issuing bank", "card issuer", "issuer bank"), "issuer"),
    **dict.fromkeys(("network", "card network", "scheme", "card scheme"), "network"),
    **dict.fromkeys(("processor", "psp", "gateway", "acquirer", "provider", "payment processor"), "processor"),
    **dict.fromkeys(("merchant", "seller", "business"), "merchant"),
    **dict.fromkeys(("customer", "cardholder", "shopper", "payer", "buyer", "consumer", "user"), "customer"),
    UNVERIFIED: "unknown",
}
"""Who caused a failure, by the whole `failure_origin`."""

NETWORKS = {
    **dict.fromkeys(("visa", "electron", "visa electron"), "visa"),
    **dict.fromkeys(("mastercard", "master card", "mc", "maestro"), "mastercard"),
    **dict.fromkeys(("amex", "american express"), "amex"),
}
"""Networks whose codes differ from those of everybody, by the whole `card_network`."""

EVERYBODY = "*"


class Failure(NamedTuple):
    """What is known of one failure.

    Attributes:
        category: a key of `CATEGORIES`.
        retry: what a retry could do.
        origin: who caused it.
        counts_against_processor: it says something of the processor's health.
    """

    category: str
    retry: Retry
    origin: Origin
    counts_against_processor: bool


class _Word(NamedTuple):
    """What a phrase means, its place in the file, and whether a response code knows better."""

    category: str
    place: int
    vague: bool


def _rows(name: str) -> Iterator[list[str]]:
    """The rows of a table, without comments and without the source of each."""
    for line in files("payflux.event").joinpath(name).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")[:-1]


_WORDS = {
    phrase: _Word(category.removeprefix("~"), place, category.startswith("~"))
    for place, (phrase, category) in enumerate(_rows("failure_words.tsv"))
}
_CODES = {(network, code): category for network, code, category in _rows("response_codes.tsv")}
_LONGEST = max(phrase.count(" ") + 1 for phrase in _WORDS)
_PREFIXED = re.compile(r"[23]0([0-9A-Z]{3})")  # Checkout.com puts the scheme's code behind two digits of its own


@lru_cache(maxsize=MEMO_SIZE)
def failure_of(
    failure_category: str, failure_origin: str = "", network_response_code: str = "", card_network: str = ""
) -> Failure:
    """Say what kind of failure a failed payment is.

    Args:
        failure_category: why it failed, as the producer says it, in any letter case and however its words are joined.
        failure_origin: who caused it; what is none of `ORIGINS` decides nothing.
        network_response_code: field 39 of ISO 8583 as the network sent it; two or three characters.
        card_network: the network that sent it; the same code means different things to different networks.

    Returns:
        The failure. Where `failure_origin` says who caused it, it decides whether the failure counts against the
        processor, whatever the category; else the category decides.
    """
    category = _category(failure_category, network_response_code, card_network)
    usual = CATEGORIES[category]
    told = ORIGINS.get(_plain(failure_origin))
    if told is None:
        return Failure(category, usual.retry, usual.origin, usual.counts)
    return Failure(category, usual.retry, told, told == "processor")


def is_recognised(failure_category: str) -> bool:
    """Whether the words of a `failure_category` say what kind of failure it is, without any code beside them."""
    return _by_words(failure_category) is not None


def _category(text: str, code: str, network: str) -> str:
    word = _by_words(text)
    if word is not None and not word.vague:
        return word.category
    by_code = _by_code(code, network)
    return by_code or (word.category if word is not None else UNKNOWN)


def _by_words(text: str) -> _Word | None:
    """What the longest known phrase in a text means; of several as long the one that stands first in the file."""
    phrases = [reading.split() for reading in readings(text)]
    if alone := _WORDS.get(f"={' '.join(phrases[0])}"):
        return alone
    for length in range(_LONGEST, 0, -1):
        known = [
            _WORDS[phrase]
            for words in phrases
            for start in range(len(words) - length + 1)
            if (phrase := " ".join(words[start : start + length])) in _WORDS
        ]
        if known:
            return min(known, key=lambda word: word.place)
    return None


def _by_code(code: str, network: str) -> str | None:
    code = code.strip().upper()
    if found := _PREFIXED.fullmatch(code):
        code = found[1].removeprefix("0")
    code = code.zfill(2) if code else code
    own = NETWORKS.get(_plain(network))
    return _CODES.get((own, code) if own else (EVERYBODY, code)) or _CODES.get((EVERYBODY, code))


def _plain(text: str) -> str:
    return next(readings(text)).strip()
