import msgspec
import pytest
from msgspec.structs import replace

from desks import store_of, write
from incidents import NOON, incident
from payflux.alerts.delivery import Told
from payflux.alerts.store import AlertStore, Trouble, field_of
from payflux.errors import StreamUnavailable
from payflux.risk.incidents.mutes import Mute
from payflux.stream.protocol import LeaseLost
from servers import Server
from stream_keys import KEYS

ENDED = incident(resolved=NOON + 60, updated=NOON + 60)


async def ids(store: AlertStore) -> list[str]:
    """The changes that are new, by the ids of their incidents."""
    return [read.incident.id for read in await store.changes(0.01) if read.incident]


async def test_one_tells_at_a_time(every_server: Server) -> None:
    """Another one may when the first has left, and what a stalled one notes is not kept."""
    one, other = store_of(every_server), store_of(every_server, "other")
    assert [await one.hold(), await other.hold(), await one.hold()] == [True, False, True]
    with pytest.raises(LeaseLost):
        await other.note({"slack x": b"{}"})
    assert not every_server.client.exists(KEYS.alerts_told)
    await one.leave()
    assert await other.hold()
    await other.leave()
    assert not every_server.client.exists(KEYS.lease("alerts"))


async def test_changes_are_read_from_the_first_start_on(every_server: Server) -> None:
    """What ended before is nobody's alert; what is open is known without a change."""
    write(every_server, "opened", incident(1))
    write(every_server, "resolved", replace(ENDED, id="before"))
    store = store_of(every_server)
    assert await store.hold()
    assert await ids(store) == []
    assert [one.id for one in await store.open()] == [incident(1).id]
    write(every_server, "opened", incident(2))
    assert await ids(store) == [incident(2).id]
    await store.leave()


async def test_a_change_is_read_again_until_it_is_done_with(every_server: Server) -> None:
    """By whoever takes over, in order; what was told is noted in the same step."""
    first = store_of(every_server)
    assert await first.hold()
    await first.changes(0.01)
    for number in range(1, 4):
        write(every_server, "opened", incident(number))
    reads = await first.changes(0.01)
    told = Told(severity="high", at=1.5, memory="1700.1")
    note = {
        field_of("slack", "x"): msgspec.json.encode(told),
        "pagerduty": msgspec.json.encode(Trouble(1.0, "HTTP 500")),
    }
    await first.note(note, [reads[1].id])
    first.close()
    every_server.client.delete(KEYS.lease("alerts"))
    second = store_of(every_server, "other")
    assert await second.hold()
    assert [read.incident.id for read in await second.unfinished() if read.incident] == [
        incident(1).id,
        incident(3).id,
    ]
    memory = await second.memory()
    assert memory.told == {"slack": {"x": told}}
    assert memory.troubles == {"pagerduty": Trouble(1.0, "HTTP 500")}
    await second.note({field_of("slack", "x"): b""}, [])
    assert (await second.memory()).told == {}
    await second.leave()


async def test_an_incident_is_found_as_it_stands(server: Server) -> None:
    """The last change of it; what nobody knows is not there."""
    write(server, "opened", incident(1))
    write(server, "opened", incident(2))
    write(server, "resolved", replace(incident(2), resolved=NOON + 60, updated=NOON + 60))
    store = store_of(server, "")
    found = await store.find([incident(1).id, incident(2).id, "nobody"])
    assert {one: known.resolved for one, known in found.items()} == {incident(1).id: 0, incident(2).id: NOON + 60}
    store.close()


async def test_mutes_are_kept_until_they_are_taken_back(server: Server) -> None:
    """What somebody else wrote there is none."""
    store, mute = store_of(server, ""), Mute(id="a1", processor="stripe", until=NOON, why="migration")
    await store.mute(mute)
    server.client.hset(KEYS.mutes, "odd", "{}")
    assert await store.mutes() == {"a1": mute}
    assert [await store.unmute("a1"), await store.unmute("a1")] == [1, 0]
    store.close()


@pytest.mark.parametrize("key", [KEYS.incidents, KEYS.incidents_open, KEYS.alerts_told, KEYS.mutes, KEYS.alerts_tested])
async def test_a_key_of_another_type_is_said(key: str, server: Server) -> None:
    """And nothing is read past it."""
    server.client.set(key, "mine")
    store = store_of(server)
    assert await store.hold()
    asked = {
        KEYS.incidents: lambda: store.changes(0.01),
        KEYS.incidents_open: store.open,
        KEYS.alerts_told: store.memory,
        KEYS.mutes: store.mutes,
        KEYS.alerts_tested: store.tested,
    }
    with pytest.raises(StreamUnavailable):
        await asked[key]()
    await store.leave()


async def test_what_is_no_record_is_read_as_nothing(server: Server) -> None:
    """It is done with like every change."""
    store = store_of(server)
    assert await store.hold()
    await store.changes(0.01)
    server.client.xadd(KEYS.incidents, {"incident": "{}"})
    server.client.xadd(KEYS.incidents, {"odd": "x"})
    assert [read.incident for read in await store.changes(0.01)] == [None, None]
    await store.leave()
