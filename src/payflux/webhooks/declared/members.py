"""What the expressions of an adapter's file find in a body, as a `Payment`.

Expressions are JMESPath (jmespath.org) and are asked of an item; where the file says where the list of items is, the
whole body is to be found at `_body`. Headers cannot be asked: most schemes prove nothing of them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from jmespath.exceptions import JMESPathError

from payflux.webhooks import Payment, Unreadable
from payflux.webhooks.declared.schemes import LATE
from payflux.webhooks.money import minor_of_decimal

BODY = "_body"
MOST_ITEMS = 1000
"""As many as a batch of producers may have."""

TEXTS = (
    *("account", "intent", "instrument", "event", "shopper_country", "issuer_country", "method", "funding", "channel"),
    *("network", "currency", "initiator", "failure", "response_code", "advice_code"),
)
NUMBERS = ("retries", "latency_ms")
REQUIRED = ("event_type", "reference", "at")
MEMBERS = (*REQUIRED, "live", "amount", *TEXTS, *NUMBERS)
"""Every member of `[members]`, named as those of `Payment`."""

_NO_OFFSET = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,}")
_WHOLE = re.compile(r"-?[0-9]{1,18}")


class Expression(Protocol):
    """What JMESPath compiles an expression to."""

    def search(self, value: Any) -> Any:
        """What it finds."""


@dataclass(frozen=True)
class Members:
    """What stands where.

    Attributes:
        found: by member, its expressions; several for what is told by more than one value.
        event_types: the types of `vocabulary`, by what the processor says.
        failures: categories, by what the processor says.
        items: where the list of items is; None: the body is the only one.
        major: amounts are decimals in major units.
    """

    found: Mapping[str, tuple[Expression, ...]]
    event_types: Mapping[str, str]
    failures: Mapping[str, str]
    items: Expression | None = None
    major: bool = False

    def payments(self, body: Any) -> Iterator[Payment]:
        """A payment for each item whose type is known.

        Raises:
            Unreadable: it is of another shape, or does not tell what and when.
        """
        for item in self._items(body):
            if (event_type := self.event_types.get(self._joined("event_type", item))) is not None:
                yield self._payment(item, event_type)

    def _items(self, body: Any) -> list[dict[str, Any]]:
        if self.items is None:
            items = [body]
        else:
            items = ask(self.items, body)
            if not isinstance(items, list) or len(items) > MOST_ITEMS:
                raise Unreadable(f"`items` finds no list of at most {MOST_ITEMS:,}")
        if not all(isinstance(item, dict) for item in items):
            raise Unreadable("an item is no object")
        return items if self.items is None else [{**item, BODY: body} for item in items]

    def _payment(self, item: dict[str, Any], event_type: str) -> Payment:
        one = partial(self._one, item=item)
        reference = tuple(written(ask(expression, item)) for expression in self.found["reference"])
        if not all(reference):
            raise Unreadable("`reference` finds nothing, so one event cannot be told from another")
        texts: dict[str, Any] = {name: written(one(name)) for name in TEXTS}
        texts["failure"] = self.failures.get(texts["failure"], texts["failure"])
        amount, currency = one("amount"), texts["currency"]
        live = one("live")
        return Payment(
            event_type=event_type,
            reference=reference,
            at=time_of(one("at")),
            live=live is None or live is True or live in ("true", "live"),
            amount=minor_of_decimal(str(amount), currency) if self.major else whole_of(amount),
            retries=whole_of(one("retries")) or 0,
            latency_ms=whole_of(one("latency_ms")),
            **texts,
        )

    def _one(self, name: str, item: dict[str, Any]) -> Any:
        """The first thing that the expressions of a member find."""
        found = (ask(expression, item) for expression in self.found.get(name, ()))
        return next((value for value in found if value not in (None, "")), None)

    def _joined(self, name: str, item: dict[str, Any]) -> str:
        """All that they find, with a colon between."""
        return ":".join(filter(None, (written(ask(expression, item)) for expression in self.found[name])))


def ask(expression: Expression, value: Any) -> Any:
    """What an expression finds; where it cannot be asked, as of a number for its letters, nothing."""
    try:
        return expression.search(value)
    except (JMESPathError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError):
        return None


def written(value: object) -> str:
    """A text or a number as text; anything else is empty."""
    return value if isinstance(value, str) else str(value) if type(value) is int else ""


def whole_of(value: object) -> int | None:
    """A whole number, also where it is written as text; None for anything else."""
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if type(value) is int else None


def time_of(value: object) -> str | float:
    """A time as `Payment.at` has it: without an offset it is UTC, and so large a number counts milliseconds."""
    if isinstance(value, str):
        if _WHOLE.fullmatch(value):
            return time_of(int(value))
        return value + "Z" if _NO_OFFSET.fullmatch(value) else value
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else -1.0
    return "" if number < 0 else number / 1000 if number > LATE else number
