"""Lines of Adyen's reports, as exported in CSV: received payment details, payment accounting, settlement details.

Columns and types of records: docs.adyen.com/reporting, the page of each report. What a line tells has the reference of
the webhook that tells the same, so that it becomes the same event. Names and numbers of cards are in columns that
nobody reads.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from payflux.webhooks import Payment, Unreadable, vocabulary
from payflux.webhooks.money import minor_of_decimal

_CARDS = frozenset(
    (
        *("visa", "mc", "amex", "maestro", "discover", "diners", "jcb", "cup", "cartebancaire", "bcmc", "dankort"),
        *("elo", "hipercard", "troy", "electron", "visadankort", "rupay", "eftpos"),
    )
)
_CHANNELS = {"ecommerce": "online", "contauth": "online", "moto": "moto", "pos": "pos"}
_RAW_CODE = re.compile(r"\s*([0-9A-Za-z]{1,3})\s*(?::|$)")
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)")
_FUNDING = re.compile(r"(credit|debit|prepaid)$")

_OFFSETS = {
    **dict.fromkeys(("UTC", "GMT", "WET"), "+00:00"),
    **dict.fromkeys(("BST", "CET", "WEST"), "+01:00"),
    **dict.fromkeys(("CEST", "EET", "SAST"), "+02:00"),
    **dict.fromkeys(("EEST", "MSK", "TRT"), "+03:00"),
    "GST": "+04:00",
    "IST": "+05:30",
    **dict.fromkeys(("SGT", "HKT", "MYT", "AWST"), "+08:00"),
    **dict.fromkeys(("JST", "KST"), "+09:00"),
    "AEST": "+10:00",
    "AEDT": "+11:00",
    "NZST": "+12:00",
    "NZDT": "+13:00",
    "BRT": "-03:00",
    "EDT": "-04:00",
    **dict.fromkeys(("EST", "CDT"), "-05:00"),
    **dict.fromkeys(("CST", "MDT"), "-06:00"),
    **dict.fromkeys(("MST", "PDT"), "-07:00"),
    **dict.fromkeys(("PST", "AKDT"), "-08:00"),
}
"""What the abbreviations in `TimeZone` mean to a company in the middle of where they are used."""


class _Record(NamedTuple):
    """A type of record: what it is here, and the webhook that tells the same: its `eventCode` and `success`."""

    event_type: str
    code: str
    success: bool = True


_RECORDS = {
    "authorised": _Record(vocabulary.PAYMENT_AUTHORIZED, "AUTHORISATION"),
    "authorisedpending": _Record(vocabulary.PAYMENT_PENDING, "PENDING"),
    "refused": _Record(vocabulary.PAYMENT_FAILED, "AUTHORISATION", success=False),
    "error": _Record(vocabulary.PAYMENT_FAILED, "AUTHORISATION", success=False),
    "cancelled": _Record(vocabulary.PAYMENT_CANCELLED, "CANCELLATION"),
    "expired": _Record(vocabulary.PAYMENT_EXPIRED, "EXPIRE"),
    "sentforsettle": _Record(vocabulary.CAPTURE_SUCCEEDED, "CAPTURE"),
    "settled": _Record(vocabulary.CAPTURE_SUCCEEDED, "CAPTURE"),
    "capturefailed": _Record(vocabulary.CAPTURE_FAILED, "CAPTURE_FAILED"),
    "refunded": _Record(vocabulary.PAYMENT_REFUNDED, "REFUND"),
    "refundfailed": _Record(vocabulary.REFUND_FAILED, "REFUND_FAILED"),
    "refundedreversed": _Record(vocabulary.REFUND_FAILED, "REFUNDED_REVERSED"),
    "notificationofchargeback": _Record(vocabulary.DISPUTE_CREATED, "NOTIFICATION_OF_CHARGEBACK"),
    "requestforinformation": _Record(vocabulary.DISPUTE_CREATED, "REQUEST_FOR_INFORMATION"),
    "chargeback": _Record(vocabulary.DISPUTE_CREATED, "CHARGEBACK"),
    "secondchargeback": _Record(vocabulary.DISPUTE_UPDATED, "SECOND_CHARGEBACK"),
    "chargebackreversed": _Record(vocabulary.DISPUTE_CLOSED, "CHARGEBACK_REVERSED"),
}
"""The types of records that say something of a payment; the others are fees, payouts and steps that lead to these."""

_OF_THE_PAYMENT = frozenset(("AUTHORISATION", "PENDING", "EXPIRE"))
"""What has the reference of the payment; everything else has one of its own."""


def method_of(method: str) -> tuple[str, str]:
    """The kind of a method and the network of a card: Adyen calls a card by it, with the wallet it came from."""
    network = method.partition("_")[0].lower()
    return ("card", network) if network in _CARDS else (method, "")


def raw_code_of(text: str) -> str:
    """The network's code at the beginning of a raw response, such as `51 : Insufficient funds`."""
    found = _RAW_CODE.match(text)
    return found[1] if found else ""


def interaction_of(text: str) -> tuple[str, str]:
    """Channel and initiator that a `shopperInteraction` means."""
    interaction = text.lower()
    return _CHANNELS.get(interaction, ""), "mit" if interaction == "contauth" else "cit" if interaction else ""


def payment_of(row: Mapping[str, str]) -> Payment | None:
    """What a line of a report says of a payment.

    Args:
        row: its columns by name, in any letter case and with any blanks.

    Returns:
        The payment; None when the line is of a type that says nothing of one.

    Raises:
        Unreadable: it does, and lacks what it takes; the text names the column.
    """
    columns = {_name(name): text.strip() for name, text in row.items()}
    accounting = "recordtype" in columns
    told = columns.get("recordtype") or columns.get("type", "")
    record = _RECORDS.get(_name(told))
    if record is None:
        return None
    psp, account = columns.get("pspreference", ""), columns.get("merchantaccount", "")
    if not psp:
        raise Unreadable("Psp Reference: expected one in a line of this type")
    own = columns.get("modificationpspreference") or columns.get("modificationreference") or psp
    currency, amount = _amount(columns)
    method, network = method_of(columns.get("paymentmethod", ""))
    channel, initiator = interaction_of(columns.get("shopperinteraction", ""))
    funding = _FUNDING.search(columns.get("paymentmethodvariant", "").lower())
    reference = psp if record.code in _OF_THE_PAYMENT else own
    return Payment(
        event_type=record.event_type,
        reference=(account, reference, record.code, str(record.success)),
        at=_moment(columns, ("bookingdate", "creationdate") if accounting else ("creationdate", "bookingdate")),
        account=account,
        intent=columns.get("merchantreference") or psp,
        event=reference,
        shopper_country=columns.get("shoppercountry", ""),
        issuer_country=columns.get("issuercountry", ""),
        method=method,
        funding=funding[1] if funding else "",
        network=network,
        channel=channel,
        currency=currency,
        amount=minor_of_decimal(amount, currency) if amount and currency else None,
        initiator=initiator,
        failure=columns.get("refusalreason") or columns.get("acquirerresponse") or told,
        response_code=raw_code_of(columns.get("rawacquirerresponse", "")),
    )


def _name(text: str) -> str:
    """A name without what differs from one version of a report to the next."""
    return "".join(filter(str.isalnum, text)).lower()


def _amount(columns: Mapping[str, str]) -> tuple[str, str]:
    """Currency and amount, in major units."""
    for currency, amounts in (
        ("currency", ("amount",)),
        ("maincurrency", ("mainamount",)),
        ("grosscurrency", ("grosscreditgc", "grossdebitgc")),
        ("paymentcurrency", ("receivedpc", "authorisedpc", "capturedpc")),
    ):
        if columns.get(currency):
            return columns[currency], next((columns[name] for name in amounts if columns.get(name)), "").lstrip("-")
    return "", ""


def _moment(columns: Mapping[str, str], names: tuple[str, ...]) -> str:
    """When it happened, with the offset of the time zone that stands beside it."""
    name = next((one for one in names if columns.get(one)), "")
    found = _DATE.fullmatch(columns.get(name, ""))
    if found is None:
        raise Unreadable("Creation Date, Booking Date: expected one such as 2026-01-09 12:00:00")
    zone = (columns.get(f"{name}timezone") or columns.get("timezone") or "").upper()
    if zone not in _OFFSETS:
        raise Unreadable(f"TimeZone: expected one of {', '.join(_OFFSETS)}")
    return f"{found[1]}T{found[2]}{_OFFSETS[zone]}"
