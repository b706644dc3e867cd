"""The book holds what failed, by any part of the traffic, since any second within the hour."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from payflux.risk.counts import Counts
from payflux.risk.drivers import Driver
from payflux.risk.incidents.book import MOST_VIEWS, Account, Book, view_of, views_of
from payflux.risk.observation import Observation, observation
from risk_traffic import START, few, seen

GB, DE = ("GB", "wallet", "GB", "web"), ("DE", "wallet", "DE", "web")
FAILED = (seen("processor_error", GB), seen("processor_timeout", DE), seen("do_not_honor", GB))
VIEWS = [("", "", True), ("geo", "GB", True), ("category", "do_not_honor", False), ("origin", "soft_declines", True)]

rows = st.lists(
    st.tuples(st.integers(0, 4000), st.sampled_from(FAILED), st.integers(1, 3), st.integers(1, 900)), max_size=60
)


def taken(book: Book, second: int, one: Observation, times: int, minor: int) -> None:
    """Count some failures of one kind, worth so much altogether."""
    counts = Counts()
    counts.add(one, times)
    counts.add_value(one, "EUR", minor)
    book.take(second, counts)


@few
@given(made=rows, since=st.integers(0, 4000))
def test_what_failed_since_a_second_is_a_recount(made: list[tuple[int, Observation, int, int]], since: int) -> None:
    """From the second that the book can reach, which is at most a minute before, numbers and values are exact."""
    book = Book()
    for at, one, times, minor in sorted(made, key=lambda row: row[0]):
        taken(book, START + at, one, times, minor)
    start = book.reach(START + since)
    assert START + since - start < 60 or start >= START
    for view in VIEWS:
        own = [row for row in made if START + row[0] >= start and view in views_of(row[1])]
        worth = Counter({"EUR": sum(minor for _, _, _, minor in own)}) if own else Counter[str]()
        expected = Account(sum(times for _, _, times, _ in own), dict(worth))
        assert book.after(view, book.before(view, start)) == expected


def test_retries_and_successes_are_not_in_it() -> None:
    """Only payments that failed at their first attempt are counted."""
    book, counts = Book(), Counts()
    counts.add(seen("", GB), 5)
    counts.add(observation("failure", "processor_error", GB, True), 3)
    book.take(START, counts)
    assert book.after(("", "", True), Account(0, {})) == Account(0, {})


def test_a_snapshot_holds_all_of_it() -> None:
    """A book restored in the middle counts on as if nothing had happened."""
    one, other = Book(), Book()
    for at in range(0, 400, 7):
        taken(one, START + at, FAILED[at % 3], 2, 100)
        other.restore(one.snapshot())
        one, other = other, Book()
    assert one.after(("", "", True), Account(0, {})).failed == 2 * sum(FAILED[at % 3].counts for at in range(0, 400, 7))


def test_invented_categories_are_forgotten() -> None:
    """Views in which nothing failed for an hour make room, but for those that an incident counts in."""
    book = Book()
    for at in range(2 * MOST_VIEWS):
        taken(book, START + 10 * at, seen(f"invented_{at}", GB), 1, 1)
        book.keep([("category", "invented_0", False)])
    views = set(book.total.failed)
    assert len(views) <= MOST_VIEWS + 20
    assert ("category", "invented_0", False) in views
    assert ("category", "invented_1", False) not in views


def test_every_driver_of_failures_has_a_view() -> None:
    """The view of a driver is one in which the failures lie that it speaks of."""
    numbers = (1, 1, 0.0, START, 1.0, 1.0)
    for name, dimension, value, raises, view in (
        ("high_failure_rate", "", "", True, ("", "", True)),
        ("high_failure_rate", "origin", "declines", False, ("", "", False)),
        ("high_failure_rate", "origin", "soft_declines", True, ("origin", "soft_declines", True)),
        ("timeout_clustering", "category", "processor_timeout", True, ("category", "processor_timeout", True)),
        ("segment_degradation", "geo", "GB", True, ("geo", "GB", True)),
        ("card_testing_suspected", "", "small", False, ("amount", "small", False)),
    ):
        assert view_of(Driver(name, dimension, value, 0.7, "high", raises, *numbers)) == view
