"""Webhooks: what an adapter of a payment processor is, and what PayFlux has to know of it.

A new one is one file in `processors/` that ends with its `Source`, and one line in `payflux.webhooks.registry`; or, by
whoever runs a node, a file of TOML (`declared/`) or a module of their own.
Everything else follows from the two: `payflux.webhooks.endpoint` gives it a path, a rate, metrics and answers,
`payflux.webhooks.normal` makes events of what it reads; settings, refusals, OpenAPI and the documentation read its
`Source`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from payflux.errors import PayfluxError
from payflux.settings import Setting, Values

DAY = 86_400
ISO = -1
"""The exponent of an amount in minor units as ISO 4217 has them."""

Doubt = Literal["signature_missing", "signature_wrong", "timestamp_outside"]
"""Why a webhook is not believed."""


class Unverified(PayfluxError):
    """It is not proved that the processor sent this; nothing of it may be used. `code` is a `Doubt`."""

    def __init__(self, code: Doubt) -> None:
        super().__init__(code)
        self.code = code


class Unreadable(PayfluxError):
    """The processor sent this, and it cannot be read; the text says why and never holds a value."""

    code = "invalid_webhook"


class Unready(PayfluxError):
    """What it takes to verify a webhook is not there yet.

    Args:
        then: calls back, in the same event loop, when it is there or known not to be; None: the processor has to send
            it again.
    """

    code = "verification_unavailable"

    def __init__(self, then: Callable[[Callable[[], None]], None] | None) -> None:
        super().__init__(self.code)
        self.then = then


class Webhook(msgspec.Struct, frozen=True, gc=False):
    """One request of a processor.

    Attributes:
        body: decoded, and otherwise byte for byte as it was signed.
        headers: by lower-case name.
    """

    body: bytes
    headers: Mapping[bytes, bytes]


class Payment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an adapter read about one payment; raw, so it is neither stored nor logged. Empty means unknown.

    Attributes:
        event_type: in words of `payflux.webhooks.vocabulary`, whatever the processor calls it.
        reference: what stays the same however often, and under however many ids, the processor tells this.
        at: when it happened: RFC 3339, or seconds of Unix time.
        live: real money; what is not is stored as `test` and never scored.
        account: whose it is, where an endpoint serves several.
        intent: what all attempts at one payment have in common.
        instrument: what identifies the card or account over payments.
        event: the processor's id of this message.
        retries: attempts before this one.
        shopper_country, issuer_country: ISO 3166.
        method: `card`, with `funding` credit, debit or prepaid where known; or another kind of payment method.
        channel: `web`, `pos`, `moto` and the like.
        network: of the card.
        currency: ISO 4217, in any letter case.
        amount: in units of ten to the power of minus `exponent`; `ISO` means the currency's own minor unit.
        initiator: `cit` or `mit`.
        latency_ms: how long the processor took.
        failure: why it failed, in the processor's word; compared as words of `failure_category` are.
        response_code, advice_code: as the network sent them.
        vouched: the reason is as well proved as the rest.
    """

    event_type: str
    reference: tuple[str, ...]
    at: str | float
    live: bool = True
    account: str = ""
    intent: str = ""
    instrument: str = ""
    event: str = ""
    retries: int = 0
    shopper_country: str = ""
    issuer_country: str = ""
    method: str = ""
    funding: str = ""
    channel: str = ""
    network: str = ""
    currency: str = ""
    amount: int | None = None
    exponent: int = ISO
    initiator: str = ""
    latency_ms: int | None = None
    failure: str = ""
    response_code: str = ""
    advice_code: str = ""
    vouched: bool = True


class WebhookAdapter(Protocol):
    """What one processor sends, understood."""

    def verify(self, webhook: Webhook, now: float) -> None:
        """Make sure that the processor sent this, all of it.

        Args:
            webhook: as it came.
            now: Unix time in seconds.

        Raises:
            Unverified: it is not proved.
            Unready: that cannot be told yet.
            Unreadable: what is to be proved cannot be found in it.
        """

    def read(self, webhook: Webhook) -> Iterable[Payment]:
        """What a verified webhook says; nothing when it is of a kind that says nothing of payments.

        Raises:
            Unreadable: it is of a kind that does, and does not say it.
        """


@dataclass(frozen=True)
class Opening:
    """What an adapter is made of.

    Attributes:
        values: the settings of the node, those of the adapter among them.
        secrets: the live ones; any of them may have signed.
    """

    values: Values
    secrets: tuple[str, ...]


class Prove(Protocol):
    """Answers a GET that asks for a proof of the secrets."""

    def __call__(self, query: str, secrets: tuple[str, ...]) -> bytes | None:
        """The proof; None when the query asks for none."""


def _nothing(_: Values) -> tuple[()]:
    return ()


def _no_export(_: bytes) -> None:
    return None


def _any_secret(_: str) -> bool:
    return True


@dataclass(frozen=True)
class Source:
    """All that is known of the webhooks of a processor.

    Attributes:
        make: makes its adapter.
        help: what they carry, in half a sentence for the documentation.
        secret: what a secret of it is, completing "expected …".
        is_secret: whether a text can be one.
        sign: signs a body as the processor does, with a secret at a time; for tests and `payflux webhooks send`.
        days: how long the processor may send the same again, so that it is remembered longer.
        signed_by: where the signature stands, for the documentation.
        accepted: what the processor wants to read when all is stored: status, body.
        settings: those of its own beside its secrets.
        refuse: what is wrong with them when it is to be used; a line for each problem, naming variable and reason.
        challenge: answers a GET that asks for a proof; None: the processor asks for none.
        unsigned: nothing proves its webhooks, so it needs no secrets.
        exported: reads what is no webhook and tells of payments all the same: an object or a list of the processor's
            API, a line of a report as an object of texts; None when it is a webhook.
        columns: those that a report has at least; empty where no report is known.
        trial: variables that make a node believe what `sign` has signed, beside the secret, where it needs any.
    """

    make: Callable[[Opening], WebhookAdapter]
    help: str
    secret: str
    sign: Callable[[bytes, str, float], Webhook]
    signed_by: str
    days: int
    is_secret: Callable[[str], bool] = _any_secret
    accepted: tuple[int, bytes] = (200, b'{"status":"accepted"}')
    settings: tuple[Setting[Any], ...] = ()
    refuse: Callable[[Values], Iterable[str]] = _nothing
    challenge: "Prove | None" = None
    unsigned: bool = False
    exported: "Callable[[bytes], Iterable[Payment] | None]" = _no_export
    columns: tuple[str, ...] = ()
    trial: tuple[tuple[str, str], ...] = ()
