"""What is found, told and remembered between taking the lease and losing it."""

import msgspec
from msgspec.structs import replace

from desks import Here, comes, store_of, telling, write
from incidents import NOON, driver, incident
from on_call import CHANNEL, ROUTING_KEY, TOKEN, Chat, Pager
from payflux.alerts import Kind, Receiver
from payflux.alerts.delivery import Told
from payflux.alerts.receivers.pagerduty import KIND as PAGERDUTY
from payflux.alerts.receivers.pagerduty import PagerDuty
from payflux.alerts.receivers.slack import KIND as SLACK
from payflux.alerts.receivers.slack import Slack
from payflux.alerts.store import field_of
from payflux.risk.incidents.mutes import Mute
from servers import Server
from stream_keys import KEYS
from their_server import serving

ONE = incident()
WORSE = replace(ONE, severity="critical", updated=NOON + 30)
ENDED = replace(WORSE, resolved=NOON + 60, updated=NOON + 60)


def pagerduty(url: str) -> tuple[Kind, Receiver]:
    """A service of PagerDuty."""
    return PAGERDUTY, PagerDuty(f"{url}/v2/enqueue", ROUTING_KEY)


def slack(url: str) -> tuple[Kind, Receiver]:
    """An app in a channel of Slack."""
    return SLACK, Slack("", TOKEN, CHANNEL, f"{url}/api")


async def test_an_incident_is_told_from_its_opening_to_its_end(server: Server) -> None:
    """Once each, as its user sees it; afterwards nothing is kept of it."""
    pager, chat = Pager(), Chat()
    with serving(pager.handle) as duty, serving(chat.handle) as channel:
        here = Here(server, {"pagerduty": pagerduty(duty), "slack": slack(channel)})
        async with telling(here):
            await comes(lambda: server.client.exists(KEYS.incidents), "its group")
            write(server, "opened", ONE)
            await comes(lambda: len(pager.seen) == len(chat.messages) == 1, "the opening")
            write(server, "worsened", WORSE)
            await comes(lambda: len(chat.replies) == len(pager.severities) == 1, "that it is worse")
            write(server, "resolved", ENDED)
            await comes(lambda: not server.client.exists(KEYS.alerts_told), "the end")
    key = f"payflux/{ONE.id}"
    assert pager.seen == [("triggered", key), ("resolved", key)]
    assert pager.severities == {key: ["error", "critical"]}
    assert chat.texts[0].startswith("RESOLVED: [critical] stripe")
    assert [text.partition(":")[0] for text in next(iter(chat.replies.values()))] == ["WORSE", "RESOLVED"]
    assert pager.problems == chat.problems == []
    assert here.counted == {("pagerduty", "sent"): 3, ("slack", "sent"): 3}
    assert server.client.xpending(KEYS.incidents, "alerts")["pending"] == 0


async def test_200_at_once_reach_everybody_as_their_limits_allow(server: Server) -> None:
    """PagerDuty each of them, though it asks for a rest; Slack the worst twenty and a summary of all others."""
    pager, chat = Pager(), Chat()
    pager.left, chat.left = 90, 15
    some = [incident(number, severity="critical" if number % 20 == 0 else "high") for number in range(200)]
    for one in some:
        write(server, "opened", one)
    with serving(pager.handle) as duty, serving(chat.handle) as channel:
        here = Here(server, {"pagerduty": pagerduty(duty), "slack": slack(channel)})
        async with telling(here):
            while not (len(pager.open) == 200 and len(chat.messages) == 21):
                failed = sum(here.counted.get((name, "failed"), 0) for name in ("pagerduty", "slack"))
                here.now += 1.0  # as long as they asked for
                await comes(
                    lambda failed=failed: (  # type: ignore[misc]
                        sum(here.counted.get((name, "failed"), 0) for name in ("pagerduty", "slack")) > failed
                        or (len(pager.open) == 200 and len(chat.messages) == 21)
                    ),
                    "the next limit, or all",
                )
    keys = [key for _, key in pager.seen]
    assert sorted(keys) == sorted(f"payflux/{one.id}" for one in some)
    assert {pager.severities[key][0] for key in keys[:10]} == {"critical"}
    assert chat.texts[20].startswith("180 more incidents: stripe")
    assert pager.problems == chat.problems == []


async def test_mutes_hold_over_a_restart_and_let_through_when_they_end(server: Server) -> None:
    """One of each kind; what they hold comes then, and nothing else waits. Each change is a line of the log."""
    pager, asking = Pager(), store_of(server, "")
    mute = Mute(id="a1", processor="stripe", until=NOON + 600, why="planned migration", by="me")
    held = [
        incident(1),
        incident(2, id="adyen-1-a", processor="adyen", drivers=(driver("latency_increase", "", ""),)),
        incident(3, id="paypal-1-a", processor="paypal", value="BR"),
    ]
    others = [replace(held[1], id="adyen-2-a", drivers=(driver(),)), replace(held[2], id="paypal-2-a", value="GB")]
    with serving(pager.handle) as duty:
        await asking.mute(mute)
        await asking.mute(replace(mute, id="a2", processor="adyen", driver="latency_increase"))
        await asking.mute(replace(mute, id="a3", processor="*", dimension="geo", value="BR"))
        for one in (*held, *others):
            write(server, "opened", one)
        for owner in ("one", "other"):
            here = Here(server, {"pagerduty": pagerduty(duty)}, owner)
            async with telling(here):
                await comes(lambda here=here: "pagerduty" in here.waiting, "a turn")  # type: ignore[misc]
                await comes(lambda: len(pager.seen) == 2, "those that nothing holds")
                assert pager.open == {f"payflux/{one.id}" for one in others}
                if owner == "other":
                    await asking.mute(replace(mute, id="b2", processor="adyen"))
                    await comes(lambda here=here: here.logged("alerts_muted"), "the second mute")  # type: ignore[misc]
                    await asking.unmute("b2")
                    await comes(lambda here=here: here.logged("alerts_unmuted"), "that it is gone")  # type: ignore[misc]
                    here.now = NOON + 600.0
                    await comes(lambda: len(pager.seen) == 5, "the messages")
    assert pager.open == {f"payflux/{one.id}" for one in (*held, *others)}
    assert here.logged("alerts_muted")[0]["why"] == "planned migration"
    asking.close()


async def test_an_end_that_redis_lost_is_looked_for(server: Server) -> None:
    """Who was told of the opening is told of an end that was read in vain; or it is said that none is known."""
    pager, known, unknown = Pager(), incident(1), incident(2)
    told = msgspec.json.encode(Told(severity="high"))
    server.client.hset(KEYS.alerts_told, field_of("pagerduty", known.id), told)
    server.client.hset(KEYS.alerts_told, field_of("pagerduty", unknown.id), told)
    pager.open = {f"payflux/{known.id}", f"payflux/{unknown.id}"}
    write(server, "resolved", replace(known, resolved=NOON + 9, updated=NOON + 9))
    with serving(pager.handle) as duty:
        here = Here(server, {"pagerduty": pagerduty(duty)})
        async with telling(here):
            await comes(lambda: not server.client.exists(KEYS.alerts_told), "that nothing is left")
    assert pager.seen == [("resolved", f"payflux/{known.id}")]
    assert [line["incident"] for line in here.logged("incident_unknown")] == [unknown.id]


async def test_an_open_incident_that_vanishes_is_said(server: Server) -> None:
    """Somebody emptied Redis: nobody can tell its end."""
    pager = Pager()
    write(server, "opened", ONE)
    with serving(pager.handle) as duty:
        here = Here(server, {"pagerduty": pagerduty(duty)})
        async with telling(here):
            await comes(lambda: pager.seen, "the opening")
            server.client.flushall()
            await comes(lambda: here.logged("incident_unknown"), "that it is gone")
            write(server, "opened", incident(7))
            await comes(lambda: len(pager.seen) == 2, "what comes next")
