from msgspec.structs import replace

from incidents import NOON, incident
from payflux.alerts.standing import Standing


def test_an_incident_is_open_until_a_change_says_otherwise() -> None:
    """Its changes are done with at once while it is open, and when everybody was told once it is over."""
    standing, one = Standing(), incident()
    standing.see_open([one])
    assert standing.see_change(b"1-1", one)
    ended = replace(one, resolved=NOON + 60)
    assert not standing.see_change(b"2-1", ended)
    assert standing.ended() == [ended]
    assert standing.drop(one.id) == [b"2-1"]
    assert standing.incidents == {}


def test_newer_numbers_take_the_place_of_older_ones() -> None:
    """In whatever order they are read; nothing opens what is over."""
    standing, one = Standing(), incident()
    newer, ended = replace(one, updated=one.updated + 15), replace(one, resolved=NOON + 60)
    standing.see_open([newer])
    standing.see_change(b"1-1", one)
    assert standing.incidents == {one.id: newer}
    standing.see_change(b"2-1", ended)
    standing.see_open([newer])
    assert standing.incidents == {one.id: ended}


def test_what_is_open_nowhere_and_has_not_ended_has_vanished() -> None:
    """Unless the change with its end is read behind."""
    standing, one, other = Standing(), incident(1), incident(2)
    standing.see_open([one, other])
    assert standing.vanished == set()
    standing.see_open([])
    assert standing.vanished == {one.id, other.id}
    standing.see_change(b"1-1", replace(one, resolved=NOON + 60, updated=NOON + 60))
    assert standing.vanished == {other.id}
