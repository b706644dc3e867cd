"""What everybody reads of risk and incidents: as it stands, whatever happened to Redis meanwhile."""

from collections.abc import AsyncIterator

import pytest

from incident_records import SINCE, change, tell
from payflux.errors import StreamUnavailable
from payflux.redis.address import parse_url
from payflux.redis.risk.view import RiskView
from servers import Server
from stream_keys import KEYS


@pytest.fixture
async def view(server: Server) -> AsyncIterator[RiskView]:
    """Of the server."""
    made = RiskView(parse_url(server.url), KEYS)
    yield made
    made.close()


def standing(view: RiskView) -> dict[str, str]:
    """How each incident stands."""
    return {name: one["state"] for name, one in view.incidents.items()}


async def test_it_follows_what_changes(server: Server, view: RiskView) -> None:
    """Newer numbers of an open incident, its end, and what people say of it."""
    await view.refresh()
    assert view.incidents == view.assessments == {}
    await tell(server, change("opened"), change("updated", second=SINCE + 15))
    await view.refresh()
    ((name, one),) = view.incidents.items()
    assert (one["state"], one["updated"], one["annotation"]) == ("open", "2026-01-01T14:02:15Z", None)
    await tell(server, change("opened", "adyen", SINCE + 16), change("resolved", second=SINCE + 30))
    server.client.hset(KEYS.incidents_verdicts, name, '{"verdict":"true"}')
    server.client.hset(KEYS.risk, "stripe", '7 {"second":7,"processor":"stripe"}')
    await view.refresh()
    assert sorted(standing(view).values()) == ["open", "resolved"]
    assert standing(view)[name] == "resolved"
    assert view.incidents[name]["annotation"] == {"verdict": "true"}
    assert view.assessments == {"stripe": {"second": 7, "processor": "stripe"}}


async def test_an_older_state_of_redis_is_read_anew(server: Server, view: RiskView) -> None:
    """What is gone there is gone here."""
    await tell(server, change("opened"))
    await view.refresh()
    server.client.flushall()
    await tell(server, change("opened", "adyen"))
    server.client.xtrim(KEYS.incidents, maxlen=0)
    await view.refresh()
    assert list(standing(view)) == [f"adyen-{SINCE + 5}-aabbcc"]


async def test_garbage_is_passed_over(server: Server, view: RiskView) -> None:
    """Anybody may have written there; a key of another type is told."""
    server.client.xadd(KEYS.incidents, {"incident": "garbage"})
    server.client.xadd(KEYS.incidents, {"other": "1"})
    server.client.hset(KEYS.risk, "stripe", "garbage")
    await tell(server, change("opened"))
    await view.refresh()
    assert len(view.incidents) == 1
    server.client.delete(KEYS.incidents)
    server.client.set(KEYS.incidents, "mine")
    with pytest.raises(StreamUnavailable) as raised:
        await view.refresh()
    assert raised.value.code == "redis_wrong_type"
