"""Incidents in Redis: each change once, whoever tells it and however often; read newest first."""

import json
from typing import Any

import hiredis
import pytest

from consumers import entries
from incident_records import SINCE, change, tell
from payflux.redis.address import parse_url
from payflux.redis.risk.incidents import Incidents
from payflux.stream.protocol import LeaseLost
from servers import Server
from stream_keys import KEYS


def reading(server: Server) -> Incidents:
    """A reader that is not connected."""
    return Incidents(parse_url(server.url), KEYS)


def story(server: Server) -> list[str]:
    """The changes in the stream, oldest first."""
    return [json.loads(fields[b"incident"])["change"] for _, fields in entries(server, KEYS.incidents)]


async def test_an_incident_from_its_opening_to_its_end(every_server: Server) -> None:
    """Newer numbers are no news; while it is open it is found as it stands, and afterwards as it ended."""
    assert await tell(every_server, change("opened")) == 1
    assert await tell(every_server, change("updated", second=SINCE + 15)) == 1
    async with reading(every_server) as incidents:
        (one,) = await incidents.open()
        assert (one["updated"], one["state"]) == ("2026-01-01T14:02:15Z", "open")
        assert (
            await tell(every_server, change("worsened", second=SINCE + 20), change("resolved", second=SINCE + 400)) == 2
        )
        assert await incidents.open() == []
        found = await incidents.find(one["id"])
        assert found is not None
        assert (found["state"], found["resolved"]) == ("resolved", "2026-01-01T14:08:40Z")
    assert story(every_server) == ["opened", "worsened", "resolved"]


async def test_a_successor_that_tells_the_same_again_changes_nothing(every_server: Server) -> None:
    """It goes over seconds anew that were told; what comes after them is kept, once."""
    await tell(every_server, change("opened"), change("resolved", second=SINCE + 400))
    again = (change("opened"), change("updated", second=SINCE + 15), change("resolved", second=SINCE + 400))
    assert await tell(every_server, *again) == 0
    assert story(every_server) == ["opened", "resolved"]
    assert every_server.client.hlen(KEYS.incidents_open) == 0
    assert await tell(every_server, *again, change("opened", second=SINCE + 900, number="ddeeff")) == 1
    assert story(every_server) == ["opened", "resolved", "opened"]


async def test_what_is_told_of_one_second_is_kept_together(server: Server) -> None:
    """Two incidents may open at once; what comes later of the same second was told, whomever it concerns."""
    assert await tell(server, change("opened"), change("opened", number="ddeeff")) == 2
    assert await tell(server, change("opened", "adyen")) == 0
    assert await tell(server, change("opened", "adyen", SINCE + 6)) == 1
    async with reading(server) as incidents:
        assert len(await incidents.open()) == 3


async def test_who_does_not_hold_the_lease_keeps_nothing(server: Server) -> None:
    """A stalled former holder does no harm."""
    with pytest.raises(LeaseLost):
        await tell(server, change("opened"), owner="somebody else")
    assert server.client.exists(KEYS.incidents, KEYS.incidents_open, KEYS.incidents_told) == 0


@pytest.mark.parametrize("key", [KEYS.incidents, KEYS.incidents_open, KEYS.incidents_told])
async def test_a_key_of_another_type_keeps_all_or_nothing(key: str, every_server: Server) -> None:
    """Whichever it is, nothing is half kept; once it is away the same changes are kept once."""
    every_server.client.set(key, "mine")
    with pytest.raises(hiredis.ReplyError):
        await tell(every_server, change("opened"))
    every_server.client.delete(key)
    assert every_server.client.exists(KEYS.incidents, KEYS.incidents_open) == 0
    assert await tell(every_server, change("opened")) == 1


async def test_the_stream_of_changes_is_bounded(server: Server) -> None:
    """Old changes are dropped; reading goes on beyond one page all the same, newest first."""
    made = [change("worsened", second=SINCE + number, number=f"{number:06x}") for number in range(1300)]
    await tell(server, *made, maxlen=900)
    async with reading(server) as incidents:
        ids = [one["id"] async for one in incidents.changes()]
    assert 900 <= len(ids) < 1200
    assert ids == [one.incident.id for one in reversed(made)][: len(ids)]


async def test_what_people_say_is_kept_beside_it(server: Server) -> None:
    """The last word counts."""
    said: dict[str, Any] = {"verdict": "true", "note": "card network down"}
    async with reading(server) as incidents:
        assert await incidents.verdicts() == {}
        await incidents.say("stripe-1-aa", {"verdict": "false"})
        await incidents.say("stripe-1-aa", said)
        assert await incidents.verdicts() == {"stripe-1-aa": said}
        assert await incidents.find("stripe-1-aa") is None
