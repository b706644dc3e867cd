"""The book of one processor: which payments failed at their first attempt, where, and what they were worth.

An incident begins when its evidence does, which is before anybody notices it. So failures are kept by the part of the
traffic they lie in: for two minutes by ten seconds, for an hour by minutes.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from payflux.risk.counts import Counts
from payflux.risk.drivers import Driver
from payflux.risk.evidence.side_streams import SOFTLY
from payflux.risk.observation import DIMENSIONS, MEMO_SIZE, Observation, observation

View = tuple[str, str, bool]
"""A part of the failures: a dimension, a value of it, and whether they count against the processor."""

FINE_SEC, FINE_FOR_SEC = 10, 120
COARSE_SEC, COARSE_FOR_SEC = 60, 3600
MOST_VIEWS = 512
MOST_SEEN = 1024
"""Views, and different failures of ten seconds, that are told apart; further ones are not kept."""

FAILING = frozenset(
    {
        *("high_failure_rate", "failure_clustering", "timeout_clustering", "auth_failure_cluster"),
        *("segment_degradation", "card_testing_suspected"),
    }
)
"""The drivers that speak of failed payments."""

SMALL = ("amount", "small")
"""Dimension and value of the smallest amounts."""


class Account(NamedTuple):
    """What failed in a view: how many payments at their first attempt, and their value in minor units by currency."""

    failed: int
    values: dict[str, int]


class Page:
    """What failed within a stretch of time.

    Attributes:
        start: its first second.
        seen: the failures; only of the latest pages.
        worth: minor units by failure and currency; only of the page at hand.
        failed: payments by view; of all pages but the one at hand.
        values: minor units by view and currency, of the same.
    """

    __slots__ = ("failed", "seen", "start", "values", "worth")

    def __init__(self, start: int) -> None:
        self.start = start
        self.seen: Counter[Observation] = Counter()
        self.worth: Counter[tuple[Observation, str]] = Counter()
        self.failed: Counter[View] = Counter()
        self.values: Counter[tuple[View, str]] = Counter()

    def take(self, counts: Counts) -> None:
        """Count a second."""
        seen = self.seen
        for one, times in counts.events.items():
            if one.failed and not one.retried and (one in seen or len(seen) < MOST_SEEN):
                seen[one] += times
        for (one, currency), minor in counts.values.items():
            if one in seen:
                self.worth[one, currency] += minor

    def fold(self) -> "Page":
        """The same by view."""
        page = Page(self.start)
        for one, times in self.seen.items():
            for view in views_of(one):
                page.failed[view] += times
        for (one, currency), minor in self.worth.items():
            for view in views_of(one):
                page.values[view, currency] += minor
        page.seen = self.seen
        return page

    def add(self, other: "Page") -> None:
        """Add what another page holds by view."""
        self.failed.update(other.failed)
        self.values.update(other.values)


class Book:
    """What failed of late, and altogether.

    Attributes:
        open: the page at hand.
        fine: pages of ten seconds before it, the oldest first.
        coarse: pages of a minute before those.
        total: everything but the page at hand, in all views that are still known.
    """

    def __init__(self) -> None:
        self.open = Page(0)
        self.fine: deque[Page] = deque()
        self.coarse: deque[Page] = deque()
        self.total = Page(0)

    def take(self, second: int, counts: Counts) -> None:
        """Count a second.

        Args:
            second: stream time, not before the last one.
            counts: what happened in it.
        """
        start = second - second % FINE_SEC
        if self.open.start < start:
            self._turn(start)
        self.open.take(counts)

    def _turn(self, start: int) -> None:
        if self.open.seen:
            page = self.open.fold()
            self.fine.append(page)
            self.total.add(page)
        self.open = Page(start)
        while self.fine and self.fine[0].start < start - FINE_FOR_SEC:
            page = self.fine.popleft()
            minute = page.start - page.start % COARSE_SEC
            if not self.coarse or self.coarse[-1].start < minute:
                self.coarse.append(Page(minute))
            self.coarse[-1].add(page)
        while self.coarse and self.coarse[0].start < start - COARSE_FOR_SEC:
            self.coarse.popleft()

    def keep(self, views: Iterable[View]) -> None:
        """Forget views nothing failed in for an hour, if there are many, but for some that are still asked for."""
        total = self.total
        if len(total.failed) > MOST_VIEWS:
            known = set(views).union(*(page.failed for page in (*self.coarse, *self.fine)))
            total.failed = Counter({view: times for view, times in total.failed.items() if view in known})
            total.values = Counter({key: minor for key, minor in total.values.items() if key[0] in known})

    def latest(self) -> Counter[Observation]:
        """The latest failures, as many different ones as are worth comparing."""
        found: Counter[Observation] = Counter()
        for page in (self.open, *reversed(self.fine)):
            if len(found) < MOST_SEEN:
                found.update(page.seen)
        return found

    def reach(self, since: int) -> int:
        """The second from which on can be counted what happened since one: up to a minute before, and an hour ago."""
        known = self.open.start - COARSE_FOR_SEC
        since = max(since, known - known % COARSE_SEC)
        starts = [page.start for page in self.coarse if page.start + COARSE_SEC > since]
        starts += [page.start for page in (*self.fine, self.open) if page.start + FINE_SEC > since]
        return min(starts[0], since) if starts else since

    def before(self, view: View, since: int) -> Account:
        """What had failed in a view before a second that `reach` gave."""
        page = self.open.fold()
        failed, values = self.total.failed[view] + page.failed[view], self._values(view, self.total)
        values.update(self._values(view, page))
        for later in (*self.coarse, *self.fine, page):
            if later.start >= since:
                failed -= later.failed[view]
                values.subtract(self._values(view, later))
        return Account(failed, dict(values))

    def after(self, view: View, before: Account) -> Account:
        """What failed in a view since the moment at which it was as `before` says."""
        page = self.open.fold()
        values = self._values(view, self.total) + self._values(view, page)
        values.subtract(before.values)
        failed = self.total.failed[view] + page.failed[view] - before.failed
        return Account(failed, {currency: minor for currency, minor in values.items() if minor > 0})

    @staticmethod
    def _values(view: View, page: Page) -> Counter[str]:
        return Counter({currency: minor for (one, currency), minor in page.values.items() if one == view})

    def snapshot(self) -> list[Any]:
        """All of it as plain data."""
        return [[_plain(page) for page in pages] for pages in ([self.open], self.fine, self.coarse, [self.total])]

    def restore(self, data: list[Any]) -> None:
        """Go on from a snapshot."""
        opened, fine, coarse, total = ([_page(page) for page in pages] for pages in data)
        self.open, self.fine, self.coarse, self.total = opened[0], deque(fine), deque(coarse), total[0]


@lru_cache(maxsize=MEMO_SIZE)
def views_of(seen: Observation) -> tuple[View, ...]:
    """The views a failure lies in."""
    counts = seen.counts
    views = [("", "", counts), ("category", seen.category, counts)]
    views += [(name, value, counts) for name, value in zip(DIMENSIONS, seen.values, strict=True) if value]
    if seen.soft:
        views.append(("origin", SOFTLY, True))
    if seen.small:
        views.append((*SMALL, False))
    return tuple(views)


def view_of(driver: Driver) -> View:
    """The view in which the failures lie that a driver speaks of."""
    if driver.name == "card_testing_suspected":
        return (*SMALL, False)
    if driver.name in {"segment_degradation", "failure_clustering", "timeout_clustering", "auth_failure_cluster"}:
        return driver.dimension, driver.value, driver.raises
    return ("origin", SOFTLY, True) if driver.value == SOFTLY else ("", "", driver.raises)


def _plain(page: Page) -> list[Any]:
    failed = [[*view, times] for view, times in page.failed.items()]
    values = [[*view, currency, minor] for (view, currency), minor in page.values.items()]
    seen = {one: at for at, one in enumerate(page.seen)}
    worth = [[seen[one], currency, minor] for (one, currency), minor in page.worth.items()]
    return [page.start, failed, values, [[*_told(one), times] for one, times in page.seen.items()], worth]


def _told(seen: Observation) -> list[Any]:
    return [seen.category, seen.values, seen.small, seen.counts, seen.soft]


def _page(data: list[Any]) -> Page:
    page = Page(data[0])
    page.failed.update({(name, value, counts): times for name, value, counts, times in data[1]})
    page.values.update({((name, value, counts), cur): minor for name, value, counts, cur, minor in data[2]})
    seen = list(_observations(data[3]))
    for one, times in seen:
        page.seen[one] += times
    for at, currency, minor in data[4]:
        page.worth[seen[at][0], currency] += minor
    return page


def _observations(rows: list[Any]) -> Iterator[tuple[Observation, int]]:
    for category, values, small, counts, soft, times in rows:
        known = msgspec.convert(values, tuple[str, str, str, str])
        yield observation("failure", category, known, False, small, counts, soft), times
