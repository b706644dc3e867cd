"""Who tells: one at a time, and the next one goes on where the last one stopped."""

import asyncio

from msgspec.structs import replace

from desks import Here, comes, telling, write
from incidents import NOON, incident
from on_call import ROUTING_KEY, Pager
from payflux.alerts import Kind, Receiver
from payflux.alerts.receivers.pagerduty import KIND, PagerDuty
from servers import Server
from stream_keys import KEYS
from their_server import serving

ONE = incident()
ENDED = replace(ONE, resolved=NOON + 60, updated=NOON + 60)
KEY = f"payflux/{ONE.id}"


def receivers(url: str) -> dict[str, tuple[Kind, Receiver]]:
    """A service of PagerDuty."""
    return {"pagerduty": (KIND, PagerDuty(f"{url}/v2/enqueue", ROUTING_KEY))}


async def test_who_takes_over_goes_on(server: Server) -> None:
    """The second stands by; when the first is gone, without a word, it tells the end and nothing twice."""
    pager = Pager()
    with serving(pager.handle) as url:
        first, second = Here(server, receivers(url), "first"), Here(server, receivers(url), "second")
        task = asyncio.create_task(first.desk.run())
        await comes(lambda: first.logged("alerts_begin"), "the first")
        async with telling(second):
            write(server, "opened", ONE)
            await comes(lambda: server.client.hlen(KEYS.alerts_told), "the opening")
            assert not second.logged("alerts_begin")
            task.cancel()
            await asyncio.wait([task])
            first.store.close()
            write(server, "resolved", ENDED)
            assert server.client.pexpire(KEYS.lease("alerts"), 1)
            await comes(lambda: not server.client.exists(KEYS.alerts_told), "the end")
    assert pager.seen == [("triggered", KEY), ("resolved", KEY)]
    assert pager.severities == {KEY: ["error"]}


async def test_a_stalled_one_stops_when_another_has_the_lease(server: Server) -> None:
    """And stands by again."""
    pager = Pager()
    with serving(pager.handle) as url:
        here = Here(server, receivers(url))
        async with telling(here):
            await comes(lambda: here.waiting, "a turn")
            server.client.set(KEYS.lease("alerts"), "other", px=60_000)
            await comes(lambda: here.logged("alerts_lease_lost") and not here.waiting, "that it stands by")
            write(server, "opened", ONE)
            server.client.delete(KEYS.lease("alerts"))
            await comes(lambda: pager.seen, "the opening")


async def test_redis_may_go_and_come_back(server: Server) -> None:
    """What was told before is not told again."""
    pager = Pager()
    with serving(pager.handle) as url:
        here = Here(server, receivers(url))
        async with telling(here):
            write(server, "opened", ONE)
            await comes(lambda: server.client.hlen(KEYS.alerts_told), "the opening")
            server.client.config_set("appendfsync", "always")
            server.client.set("synced", "1")
            server.kill()
            await comes(lambda: here.logged("alerts_wait"), "that it notices")
            server.start()
            write(server, "resolved", ENDED)
            await comes(lambda: not server.client.exists(KEYS.alerts_told), "the end")
    assert pager.seen == [("triggered", KEY), ("resolved", KEY)]
    assert pager.severities == {KEY: ["error"]}


async def test_a_receiver_that_is_down_for_ten_minutes_is_told_both_ends(server: Server) -> None:
    """Once each; nothing is told before its time, and how long it waits can be seen."""
    pager = Pager()
    pager.down = True
    with serving(pager.handle) as url:
        here = Here(server, receivers(url))
        async with telling(here):
            write(server, "opened", ONE)
            await comes(lambda: here.logged("alert_failed"), "a failure")
            write(server, "resolved", ENDED)
            for minute in range(1, 10):
                failed = here.counted["pagerduty", "failed"]
                here.now = NOON + minute * 60.0
                await comes(lambda failed=failed: here.counted["pagerduty", "failed"] > failed, "a try")  # type: ignore[misc]
            await comes(lambda: here.waiting["pagerduty"] == 540.0, "how long it waits")
            pager.down = False
            here.now = NOON + 600.0
            await comes(lambda: not server.client.exists(KEYS.alerts_told), "the end")
    assert pager.seen == [("triggered", KEY), ("resolved", KEY)]
    assert [line["level"] for line in here.logged("receiver_recovered")] == ["info"]
