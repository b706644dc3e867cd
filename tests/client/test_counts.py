"""What became of events: each is in one place, and what nodes say of them is counted."""

from payflux.client.counts import CODES, Fates, Places


def in_places(places: Places) -> int:
    """Events that are in memory, in the spool, or dropped."""
    return places.queued + places.spooled + sum(places.dropped.values())


def test_an_event_is_in_one_place() -> None:
    """Given, spooled, damaged there, settled from both places, and dropped at the end."""
    places = Places()
    for _ in range(10):
        places.take()
    places.refuse("too_large")
    places.recover(4)
    assert in_places(places) == places.sent + places.recovered == 15
    places.spool(6)
    places.damage(1)
    assert in_places(places) == 15
    places.settle(2, from_memory=True)
    places.settle(5, from_memory=False)
    assert (places.queued, places.spooled, in_places(places)) == (2, 4, 8)
    places.end()
    places.end()
    assert places.dropped == {"too_large": 1, "spool_damaged": 1, "unsent": 2}
    assert places.queued == 0


def test_what_nodes_say_is_counted_by_code() -> None:
    """However many codes somebody invents, and whatever stands in them: so many are told apart."""
    fates = Fates()
    fates.add(3, 2, ["invalid_event", "invalid_event", "Not a code", "x" * 41], 1)
    assert (fates.accepted, fates.duplicate, fates.retried) == (3, 2, 1)
    assert fates.rejected == {"invalid_event": 2, "other": 2}
    for number in range(2 * CODES):
        fates.add(0, 0, [f"code_{number}"], 0)
    assert len(fates.rejected) == CODES
    assert sum(fates.rejected.values()) == 4 + 2 * CODES
