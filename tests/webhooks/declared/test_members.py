"""Expressions: what they find becomes a payment, and what they do not find is unknown."""

from typing import Any

import jmespath
import pytest

from payflux.webhooks import Payment, Unreadable
from payflux.webhooks.declared.members import MOST_ITEMS, Members, time_of, whole_of, written

BASE = {"event_type": "type", "reference": "id", "at": "at"}


def members(items: str = "", *, major: bool = False, **further: str | tuple[str, ...]) -> Members:
    """Those of a file."""
    given = {**BASE, **further}
    found = {
        name: tuple(jmespath.compile(one) for one in ((text,) if isinstance(text, str) else text))
        for name, text in given.items()
    }
    types = {"failed": "payment_failed", "failed:card": "payment_failed", "paid": "payment_succeeded"}
    place = jmespath.compile(items) if items else None
    return Members(found, types, {"E51": "insufficient_funds"}, place, major=major)


def one(found: Members, **body: Any) -> Payment:
    """The payment of a body."""
    (payment,) = found.payments({"type": "failed", "id": "p1", "at": 1_767_960_000} | body)
    return payment


def test_a_body_becomes_a_payment() -> None:
    """Texts, numbers and reasons, each from where the file says it stands."""
    found = members(amount="money.value", currency="money.code", failure="why", retries="tries", account="shop")
    payment = one(found, money={"value": "1250", "code": "EUR"}, why="E51", tries=2, shop=77)
    assert (payment.amount, payment.currency, payment.failure, payment.retries) == (
        1250,
        "EUR",
        "insufficient_funds",
        2,
    )
    assert (payment.reference, payment.account, payment.live) == (("p1",), "77", True)
    assert one(found, why="E99").failure == "E99"
    assert one(found, money="free").amount is None


@pytest.mark.parametrize(("currency", "amount"), [("EUR", 1250), ("JPY", 12), ("KWD", 12500)])
def test_amounts_in_major_units(currency: str, amount: int) -> None:
    """As many minor units as the currency has."""
    found = members(amount="money", currency="code", major=True)
    assert one(found, money="12.50", code=currency).amount == amount


def test_a_type_may_be_told_by_several_members() -> None:
    """Joined by a colon, without those that find nothing; a type that is not in the table says nothing of payments."""
    found = members(event_type=("type", "kind"))
    assert one(found, kind="card").event_type == one(found, kind=None).event_type == "payment_failed"
    assert list(found.payments({"type": "failed", "kind": "bank", "id": "p1"})) == []


def test_items_are_each_a_payment_and_see_the_body() -> None:
    """One that says nothing is passed over."""
    found = members("events", account="_body.shop")
    items = [{"type": "paid", "id": "1", "at": 1}, {"type": "other"}, {"type": "failed", "id": "2", "at": 1}]
    payments = list(found.payments({"shop": "s", "events": items}))
    assert [(one.event_type, one.reference, one.account) for one in payments] == [
        ("payment_succeeded", ("1",), "s"),
        ("payment_failed", ("2",), "s"),
    ]


@pytest.mark.parametrize(
    "body", [[], "text", 1, None, {"events": "x"}, {"events": [1]}, {"events": [{}] * (MOST_ITEMS + 1)}]
)
def test_another_shape_is_unreadable(body: Any) -> None:
    """In words, with and without a list of items."""
    with pytest.raises(Unreadable):
        list(members("events").payments(body))
    if not isinstance(body, dict):
        with pytest.raises(Unreadable):
            list(members().payments(body))


def test_without_a_reference_it_is_unreadable() -> None:
    """Two events could not be told apart; each part of it is needed."""
    for reference in ("nothing", ("id", "nothing")):
        with pytest.raises(Unreadable, match="reference"):
            one(members(reference=reference))


def test_what_cannot_be_asked_finds_nothing() -> None:
    """A function that is given another type is no defect."""
    payment = one(members(account="join('-', letters)", method="abs(name)"), letters=1, name="x")
    assert (payment.account, payment.method) == ("", "")


@pytest.mark.parametrize(
    ("told", "live"), [(True, True), ("live", True), ("true", True), (None, True), (False, False), ("test", False)]
)
def test_what_is_live(told: object, live: bool) -> None:
    """Anything else than yes is a test; silence is not."""
    assert one(members(live="mode"), mode=told).live is live


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2026-01-09T12:00:00Z", "2026-01-09T12:00:00Z"),
        ("2026-01-09T12:00:00.407", "2026-01-09T12:00:00.407Z"),
        ("2026-01-09T12:00:00+01:00", "2026-01-09T12:00:00+01:00"),
        (1_767_960_000, 1_767_960_000.0),
        ("1767960000", 1_767_960_000.0),
        (1_767_960_000_000, 1_767_960_000.0),
        (True, ""),
        (None, ""),
        (-5, ""),
    ],
)
def test_times(value: object, time: object) -> None:
    """With and without an offset, in seconds and in milliseconds."""
    assert time_of(value) == time


def test_numbers_and_texts() -> None:
    """Each also in the form of the other, and nothing else."""
    values: list[object] = ["5", 5, 5.0, 5.5, "5.0", True, None, []]
    assert list(map(whole_of, values)) == [5, 5, 5, None, None, None, None, None]
    assert list(map(written, values)) == ["5", "5", "", "", "5.0", "", "", ""]
