"""Objects of Stripe's API, as exported by whoever asks it for them: what each says of its state.

Shapes and states: docs.stripe.com/api, and stripe/openapi. An export says how things stand and not how they came to be,
so of a payment that was refunded it tells the payment; its refunds are objects of their own.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from payflux.webhooks.reading import read_json


class State(NamedTuple):
    """How an object stands.

    Attributes:
        event_type: the type of the event that would tell this; empty, or of no event, where none would.
        created: when the object was made, seconds of Unix time.
        livemode: real money.
        body: the object.
    """

    event_type: str
    created: int
    livemode: bool
    body: bytes


class _Object(msgspec.Struct, gc=False):
    object: str = ""
    status: str | None = None
    created: int = 0
    livemode: bool = True  # refunds do not say
    data: msgspec.Raw = msgspec.Raw(b"null")
    last_payment_error: msgspec.Raw = msgspec.Raw(b"null")
    last_setup_error: msgspec.Raw = msgspec.Raw(b"null")


_read = msgspec.json.Decoder(_Object)
_read_list = msgspec.json.Decoder(list[msgspec.Raw])


def states_of(body: bytes) -> Iterator[State] | None:
    """The states that an object tells: its own, or those of a list.

    Args:
        body: one JSON value.

    Returns:
        The states; None when it is an event, or nothing of the API.

    Raises:
        Unreadable: it is no JSON object, or a member has another type; perhaps only when a list is read.
    """
    found = read_json(_read, body)
    if found.object == "list":
        return _listed(found)
    if found.object in ("", "event"):
        return None
    event_type = _STATES[found.object](found) if found.object in _STATES else ""
    return iter([State(event_type, found.created, found.livemode, body)])


def _listed(found: _Object) -> Iterator[State]:
    for one in read_json(_read_list, bytes(found.data)):
        yield from states_of(bytes(one)) or ()


def _of_charge(found: _Object) -> str:
    return f"charge.{found.status}"


def _of_intent(found: _Object) -> str:
    failed = found.status == "requires_payment_method" and bytes(found.last_payment_error) != b"null"
    return "payment_intent.payment_failed" if failed else _INTENTS.get(found.status or "", "")


def _of_setup(found: _Object) -> str:
    failed = found.status == "requires_payment_method" and bytes(found.last_setup_error) != b"null"
    return "setup_intent.setup_failed" if failed else f"setup_intent.{found.status}"


def _of_refund(_: _Object) -> str:
    return "refund.updated"


def _of_dispute(found: _Object) -> str:
    return f"charge.dispute.{'closed' if found.status in _CLOSED else 'created'}"


def _of_warning(_: _Object) -> str:
    return "radar.early_fraud_warning.created"


_INTENTS = {
    "succeeded": "payment_intent.succeeded",
    "requires_capture": "payment_intent.amount_capturable_updated",
    "requires_action": "payment_intent.requires_action",
    "processing": "payment_intent.processing",
    "canceled": "payment_intent.canceled",
}
_CLOSED = ("won", "lost", "warning_closed", "prevented")
_STATES: dict[str, Callable[[_Object], str]] = {
    "charge": _of_charge,
    "payment_intent": _of_intent,
    "setup_intent": _of_setup,
    "refund": _of_refund,
    "dispute": _of_dispute,
    "radar.early_fraud_warning": _of_warning,
}
