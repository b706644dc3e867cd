"""From what an adapter read to the event that is stored: the same schema, words and units for every processor.

Only words, codes and countries that have the form of one pass; identifiers pass as keyed hashes. What comes out goes
through `decode_event`, as everything that producers send does, so that a webhook can store nothing that would be
refused from a producer.
"""

import re
import time
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from payflux.errors import InvalidEvent
from payflux.event.decode import PaymentEvent, StoredEvent, decode_event
from payflux.event.rules import LATENCY_LIMIT_MS, RETRY_LIMIT
from payflux.event.taxonomy import UNKNOWN, UNVERIFIED, failure_of
from payflux.webhooks import Payment, Unreadable
from payflux.webhooks.identifiers import Hasher, event_id
from payflux.webhooks.money import bucket_of, is_currency, minor_units
from payflux.webhooks.vocabulary import OUTCOMES

SOURCE = "webhook"
"""The `system_source` of every event that was one."""

UNNAMED = "unnamed"
"""Instead of a word that may be more than a word."""

_RESULTS = {"success": "succeeded", "failure": "failed", "neutral": ""}
_NETWORKS = {
    "mc": "mastercard",
    "american_express": "amex",
    "diners": "diners_club",
    "dinersclub": "diners_club",
    "cup": "unionpay",
    "china_union_pay": "unionpay",
}
_NO_WORD = re.compile(r"[^a-z0-9]+")
_LONG_NUMBER = re.compile(r"[0-9]{5}")
_CODE = re.compile(r"[0-9A-Za-z]{1,6}")
_MEMO = 4096
_WORD_LIMIT = 60
_encode = msgspec.json.Encoder().encode


class Normal(NamedTuple):
    """An event, and the name of a failure nobody knows; empty where it is known, or there is none."""

    event: StoredEvent
    unmapped: str


class _Failure(NamedTuple):
    """What an event says of its failure, and the name of one nobody knows."""

    category: str = ""
    origin: str = ""
    unmapped: str = ""


_NONE = _Failure()


class Normaliser:
    """Makes events of what one processor tells.

    Args:
        processor: its slug.
        hasher: of identifiers.
    """

    def __init__(self, processor: str, hasher: Hasher) -> None:
        self._processor, self._hash = processor, hasher

    def event(self, payment: Payment) -> Normal:
        """The event of a payment.

        Raises:
            Unreadable: no event can be made of it, as it says nothing of when, or something that must not be stored.
        """
        found = self._members(payment)
        try:
            return Normal(decode_event(_encode(found[0])), found[1])
        except InvalidEvent as error:
            raise Unreadable(f"{error.code}: {error}") from None
        except (UnicodeEncodeError, msgspec.EncodeError, RecursionError):  # half a surrogate pair
            raise Unreadable("it holds text that is not valid Unicode") from None

    def _members(self, payment: Payment) -> tuple[PaymentEvent, str]:
        hashed, account = self._hash, payment.account
        outcome = OUTCOMES[payment.event_type]
        network = network_of(payment.network)
        code = _code(payment.response_code)
        failed = outcome == "failure"
        failure = _failure(payment.failure, code, network, payment.vouched) if failed else _NONE
        currency = payment.currency.upper() if is_currency(payment.currency) else ""
        amount = None
        if currency and payment.amount is not None:
            amount = minor_units(payment.amount, payment.exponent, currency)
        event = PaymentEvent(
            event_type=payment.event_type if payment.live else "test",
            event_timestamp=_timestamp(payment.at),
            event_id=event_id(self._processor, payment.reference),
            merchant_id_hash=hashed.owner(self._processor, account),
            payment_intent_id_hash=hashed(self._processor, account, payment.intent),
            processor=self._processor,
            failure_category=failure.category,
            retry_count=min(max(payment.retries, 0), RETRY_LIMIT),
            geo_bucket=_country(payment.shopper_country),
            amount_bucket="" if amount is None else bucket_of(amount, currency),
            system_source=SOURCE,
            payment_method_bucket=_method(payment.method, payment.funding),
            channel=word(payment.channel),
            retry_result=_RESULTS[outcome],
            failure_origin=failure.origin,
            payment_method_fingerprint_hash=hashed(self._processor, account, payment.instrument) or UNSET,
            card_network=network or UNSET,
            network_response_code=code or UNSET,
            network_advice_code=_code(payment.advice_code) or UNSET,
            currency=currency or UNSET,
            amount_minor=UNSET if amount is None else amount,
            initiator="cit" if payment.initiator == "cit" else "mit" if payment.initiator == "mit" else UNSET,
            latency_ms=_latency(payment.latency_ms),
            issuer_country=_country(payment.issuer_country) or UNSET,
            processor_event_id=hashed(self._processor, account, payment.event) or UNSET,
        )
        return event, failure.unmapped


@lru_cache(maxsize=_MEMO)
def _failure(text: str, code: str, network: str, vouched: bool) -> _Failure:  # noqa: FBT001 - a key of the memo
    """What is stored of a failure.

    What the taxonomy says of who caused it is stored too, where storing it changes nothing about whether it counts.
    A reason that is not proved is marked, and does not count: anybody on the way could have put it there.
    """
    named = word(text)
    found = failure_of(named.replace("_", " "), "", code, network)
    known = found.category != UNKNOWN
    category = found.category if known else named if is_name(named) else UNNAMED
    unmapped = "" if known or not named else category
    if not vouched:
        return _Failure(category if named or code else "", UNVERIFIED, unmapped)
    told = known and found.counts_against_processor == (found.origin == "processor")
    return _Failure(category if named or known else "", found.origin if told else "", unmapped)


@lru_cache(maxsize=_MEMO)
def word(text: str) -> str:
    """A text as one word: lower case, everything that is no letter or digit an underscore."""
    return _NO_WORD.sub("_", text[:_WORD_LIMIT].lower()).strip("_")


def is_name(text: str) -> bool:
    """Whether a word can be shown: it begins with a letter, and is no number of something in disguise."""
    return text[:1].isalpha() and _LONG_NUMBER.search(text) is None


@lru_cache(maxsize=_MEMO)
def network_of(text: str) -> str:
    """A card network by its usual name; empty when it is none."""
    name = word(text)
    return _NETWORKS.get(name, name) if is_name(name) else ""


def _code(text: str) -> str:
    return text.upper() if _CODE.fullmatch(text) else ""


def _country(text: str) -> str:
    return text.upper() if len(text) == 2 and text.isascii() and text.isalpha() else ""


@lru_cache(maxsize=_MEMO)
def _method(method: str, funding: str) -> str:
    kind, money = word(method), word(funding)
    if kind == "card" and money in ("credit", "debit", "prepaid"):
        return f"{money}_card"
    return kind if is_name(kind) else ""


def _latency(milliseconds: int | None) -> int | msgspec.UnsetType:
    return UNSET if milliseconds is None or not 0 <= milliseconds <= LATENCY_LIMIT_MS else milliseconds


def _timestamp(at: str | float) -> str:
    """The text of a time; what is none is left as it is, for the rules of an event to refuse."""
    if isinstance(at, str):
        return at
    try:
        return _second(int(at))
    except (ValueError, OverflowError, OSError):
        return ""


@lru_cache(maxsize=16)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
