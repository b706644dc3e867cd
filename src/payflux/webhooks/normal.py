"""From what an adapter read to the event that is stored: the same schema, words and units for every processor.

Only words, codes and countries that have the form of one pass; identifiers pass as keyed hashes. So what comes out is
what `decode_event` would make of it, and nothing is stored that would be refused from a producer; a test compares. What
could be refused, a time that is none and an amount as long as a card number, goes through it.
"""

import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from payflux.client.card_ranges import SHORTEST
from payflux.errors import InvalidEvent
from payflux.event.decode import PaymentEvent, StoredEvent, decode_event
from payflux.event.rules import LATENCY_LIMIT_MS, RETRY_LIMIT
from payflux.event.taxonomy import UNKNOWN, UNVERIFIED, failure_of
from payflux.event.timestamps import normal_timestamp
from payflux.webhooks import Payment, Unreadable
from payflux.webhooks.identifiers import Hasher, event_uid, spelt
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


class _Owner(NamedTuple):
    """Whose payments they are, which repeats from one to the next, as ids of payments do not.

    Attributes:
        name: as it is stored.
        hashed: hashes what is unique within it.
    """

    name: str
    hashed: Callable[[str], str]


class Normaliser:
    """Makes events of what one processor tells.

    Args:
        processor: its slug.
        hasher: of identifiers.
    """

    def __init__(self, processor: str, hasher: Hasher) -> None:
        self._processor = processor
        named = hasher.within(processor)
        self._owner = lru_cache(_MEMO)(lambda account: _Owner(named(account), hasher.within(processor, account)))

    def event(self, payment: Payment) -> Normal:
        """The event of a payment.

        Raises:
            Unreadable: no event can be made of it, as it says nothing of when, or something that must not be stored.
        """
        usual = _usual(
            self._processor, payment.event_type, payment.live, payment.failure[:_WORD_LIMIT], payment.vouched,
            payment.response_code, payment.advice_code, payment.network, payment.method, payment.funding,
            payment.channel, payment.currency, payment.shopper_country, payment.issuer_country, payment.initiator,
        )  # fmt: skip
        uid = event_uid(self._processor, payment.reference)
        event_id, at = spelt(uid), _timestamp(payment.at)
        amount = None
        if usual.currency and payment.amount is not None:
            amount = minor_units(payment.amount, payment.exponent, usual.currency)
        owner, hashed = self._owner(payment.account or "")
        data = usual.form % (
            at,
            event_id,
            owner,
            hashed(payment.intent),
            min(max(payment.retries, 0), RETRY_LIMIT) if payment.retries else 0,
            "" if amount is None else bucket_of(amount, usual.currency),
            f',"payment_method_fingerprint_hash":"{hashed(payment.instrument)}"' if payment.instrument else "",
            "" if amount is None else f',"amount_minor":{amount:d}',
            _latency(payment.latency_ms),
            f',"processor_event_id":"{hashed(payment.event)}"' if payment.event else "",
        )
        if not at or (amount or 0) >= _LONG_AMOUNT:
            return Normal(_checked(data.encode()), usual.unmapped)
        return Normal(StoredEvent(data.encode(), event_id, uid, self._processor), usual.unmapped)


class _Usual(NamedTuple):
    """What all payments with the same words have in common.

    Attributes:
        form: of the canonical JSON, with room for what is a payment's own: `_OWN` and `_ADDED`, in their order.
        currency: in capitals; empty when it is none.
        unmapped: the name of a failure nobody knows.
    """

    form: str
    currency: str
    unmapped: str


@lru_cache(maxsize=_MEMO)
def _usual(  # noqa: PLR0917 - by position, as they are the key of the memo
    processor: str, event_type: str, live: bool, failure: str, vouched: bool,  # noqa: FBT001
    response_code: str, advice_code: str, network: str, method: str, funding: str,
    channel: str, currency: str, shopper_country: str, issuer_country: str, initiator: str,
) -> _Usual:  # fmt: skip
    outcome = OUTCOMES[event_type]
    named, code = network_of(network), _code(response_code)
    failed = _failure(failure, code, named, vouched=vouched) if outcome == "failure" else _NONE
    event = PaymentEvent(
        event_type=event_type if live else "test",
        event_timestamp="",
        event_id="",
        processor=processor,
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
    return _Usual(_form(event), event.currency or "", failed.unmapped)


_OWN = {
    "event_timestamp": '"%s"',
    "event_id": '"%s"',
    "merchant_id_hash": '"%s"',
    "payment_intent_id_hash": '"%s"',
    "retry_count": "%d",
    "amount_bucket": '"%s"',
}
"""The members that every event has and that are its own: times, hashes and the like, none of which JSON escapes."""

_ADDED = ("payment_method_fingerprint_hash", "amount_minor", "latency_ms", "processor_event_id")
"""Those that it may have."""


def _form(usual: PaymentEvent) -> str:
    """The JSON of an event, written once for all that differ in the members of their own alone."""
    members = []
    for name in PaymentEvent.__struct_fields__:
        value = getattr(usual, name)
        if name in _ADDED:
            members.append("%s")
        elif name in _OWN:
            members.append(f',"{name}":{_OWN[name]}')
        elif value is not UNSET:
            members.append(f',"{name}":{_encode(value).decode()}'.replace("%", "%%"))
    return "{" + "".join(members)[1:] + "}"


def _checked(data: bytes) -> StoredEvent:
    """An event that may be refused."""
    try:
        return decode_event(data)
    except InvalidEvent as error:
        raise Unreadable(f"{error.code}: {error}") from None


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


def _latency(milliseconds: int | None) -> str:
    known = milliseconds is not None and 0 <= milliseconds <= LATENCY_LIMIT_MS
    return f',"latency_ms":{milliseconds:d}' if known else ""


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
