"""From what an adapter read to the event that is stored: the same schema, words and units for every processor.

Only words, codes and countries that have the form of one pass; identifiers pass as keyed hashes. So what comes out is
what `decode_event` would make of it, and nothing is stored that would be refused from a producer; a test compares. What
could be refused, a time that is none and an amount as long as a card number, goes through it.
"""

import re
import time
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from payflux.client.card_ranges import SHORTEST
from payflux.errors import InvalidEvent
from payflux.event.decode import PaymentEvent, StoredEvent, decode_event
from payflux.event.rules import LATENCY_LIMIT_MS, RETRY_LIMIT
from payflux.event.taxonomy import UNKNOWN, UNVERIFIED, failure_of
from payflux.event.timestamps import normal_timestamp
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
_LONG_AMOUNT = 10**11
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
        usual = _usual(
            payment.event_type, payment.live, payment.failure[:_WORD_LIMIT], payment.vouched, payment.response_code,
            payment.advice_code, payment.network, payment.method, payment.funding, payment.channel, payment.currency,
            payment.shopper_country, payment.issuer_country, payment.initiator,
        )  # fmt: skip
        event = self._event(payment, usual.event)
        if not event.event_timestamp or (payment.amount or 0) >= _LONG_AMOUNT:
            return Normal(_checked(event), usual.unmapped)
        uid = bytes.fromhex(event.event_id.replace("-", ""))
        return Normal(StoredEvent(_encode(event), event.event_id, uid, self._processor), usual.unmapped)

    def _event(self, payment: Payment, usual: PaymentEvent) -> PaymentEvent:
        """What many have in common, with what is this payment's own."""
        processor, hashed, account = self._processor, self._hash, payment.account
        amount = None
        if usual.currency is not UNSET and payment.amount is not None:
            amount = minor_units(payment.amount, payment.exponent, usual.currency)
        return replace(
            usual,
            event_timestamp=_timestamp(payment.at),
            event_id=event_id(processor, payment.reference),
            merchant_id_hash=hashed.owner(processor, account),
            payment_intent_id_hash=hashed(processor, account, payment.intent),
            processor=processor,
            retry_count=min(max(payment.retries, 0), RETRY_LIMIT),
            amount_bucket="" if amount is None else bucket_of(amount, payment.currency.upper()),
            payment_method_fingerprint_hash=hashed(processor, account, payment.instrument) or UNSET,
            amount_minor=UNSET if amount is None else amount,
            latency_ms=_latency(payment.latency_ms),
            processor_event_id=hashed(processor, account, payment.event) or UNSET,
        )


class _Usual(NamedTuple):
    """What all payments with the same words have in common, and the name of a failure nobody knows."""

    event: PaymentEvent
    unmapped: str


@lru_cache(maxsize=_MEMO)
def _usual(  # noqa: PLR0917 - by position, as they are the key of the memo
    event_type: str, live: bool, failure: str, vouched: bool, response_code: str, advice_code: str,  # noqa: FBT001
    network: str,
    method: str, funding: str, channel: str, currency: str, shopper_country: str, issuer_country: str, initiator: str,
) -> _Usual:  # fmt: skip
    outcome = OUTCOMES[event_type]
    named, code = network_of(network), _code(response_code)
    failed = _failure(failure, code, named, vouched=vouched) if outcome == "failure" else _NONE
    event = PaymentEvent(
        event_type=event_type if live else "test",
        event_timestamp="",
        event_id="",
        processor="",
        failure_category=failed.category,
        geo_bucket=_country(shopper_country),
        system_source=SOURCE,
        payment_method_bucket=_method(method, funding),
        channel=_name(channel),
        retry_result=_RESULTS[outcome],
        failure_origin=failed.origin,
        card_network=named or UNSET,
        network_response_code=code or UNSET,
        network_advice_code=_code(advice_code) or UNSET,
        currency=currency.upper() if is_currency(currency) else UNSET,
        initiator="cit" if initiator == "cit" else "mit" if initiator == "mit" else UNSET,
        issuer_country=_country(issuer_country) or UNSET,
    )
    return _Usual(event, failed.unmapped)


def _checked(event: PaymentEvent) -> StoredEvent:
    """An event that may be refused."""
    try:
        return decode_event(_encode(event))
    except InvalidEvent as error:
        raise Unreadable(f"{error.code}: {error}") from None
    except (UnicodeEncodeError, msgspec.EncodeError, RecursionError):  # half a surrogate pair
        raise Unreadable("it holds text that is not valid Unicode") from None


def _failure(text: str, code: str, network: str, *, vouched: bool) -> _Failure:
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


def word(text: str) -> str:
    """A text as one word: lower case, everything that is no letter or digit an underscore."""
    return _NO_WORD.sub("_", text[:_WORD_LIMIT].lower()).strip("_")


def is_name(text: str) -> bool:
    """Whether a word can be shown: it begins with a letter, and no number of something is in it, whole or in groups."""
    return text[:1].isalpha() and _LONG_NUMBER.search(text) is None and sum(map(str.isdigit, text)) < SHORTEST


def network_of(text: str) -> str:
    """A card network by its usual name; empty when it is none."""
    name = word(text)
    return _NETWORKS.get(name, name) if is_name(name) else ""


def _name(text: str) -> str:
    found = word(text)
    return found if is_name(found) else ""


def _code(text: str) -> str:
    return text.upper() if _CODE.fullmatch(text) else ""


def _country(text: str) -> str:
    return text.upper() if len(text) == 2 and text.isascii() and text.isalpha() else ""


def _method(method: str, funding: str) -> str:
    kind, money = word(method), word(funding)
    if kind == "card" and money in ("credit", "debit", "prepaid"):
        return f"{money}_card"
    return kind if is_name(kind) else ""


def _latency(milliseconds: int | None) -> int | msgspec.UnsetType:
    return UNSET if milliseconds is None or not 0 <= milliseconds <= LATENCY_LIMIT_MS else milliseconds


def _timestamp(at: str | float) -> str:
    """A time as it is stored; empty when it is none."""
    if isinstance(at, str):
        return normal_timestamp(at) or ""
    try:
        return _second(int(at))
    except (ValueError, OverflowError, OSError):
        return ""


@lru_cache(maxsize=16)
def _second(at: int) -> str:
    return normal_timestamp(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))) or ""
