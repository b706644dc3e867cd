"""`payflux incidents show`: one incident, or why a processor's risk is what it is."""

import asyncio
import json
import time
from typing import Any

import msgspec

from incident_records import SINCE, change, tell
from operator_commands import Run
from payflux.risk.assessment import RiskAssessment
from payflux.risk.drivers import Driver
from payflux.risk.incidents.mutes import Mute
from servers import Server
from stream_keys import KEYS

OPEN, ENDED = f"adyen-{SINCE + 5}-aabbcc", f"stripe-{SINCE + 5}-aabbcc"
GB = Driver("segment_degradation", "geo", "GB", 0.42, "elevated", True, 62, 100, 9.0, SINCE, 16.0, 24.0)


def two(server: Server) -> None:
    """One incident that is open, and one that is over."""
    asyncio.run(tell(server, change("opened"), change("opened", "adyen"), change("resolved", second=SINCE + 400)))


def say(server: Server, second: int, score: float) -> None:
    """What the node says of stripe from a second on."""
    drivers = (msgspec.structs.replace(GB, severity=score),) if score else ()
    said = msgspec.json.encode(RiskAssessment(second, "stripe", score, "elevated", drivers, learned=True))
    fields: dict[Any, Any] = {"processor": "stripe", "second": second, "assessment": said}
    server.client.xadd(KEYS.assessments, fields, id=f"{second * 1000}-0")
    server.client.hset(KEYS.risk, "stripe", b"%d " % second + said)


def test_an_incident_in_words(run: Run, server: Server) -> None:
    """What, where, since when, how bad, how sure, observed against expected, and what to do; in 80 columns."""
    two(server)
    mute = Mute(id="a1", processor="*", until=int(time.time()) + 600, why="planned migration")
    server.client.hset(KEYS.mutes, "a1", msgspec.json.encode(mute))
    code, out, _ = run("show", OPEN)
    assert code == 0
    assert out.startswith("adyen: 62% of payments from GB fail (9% expected) since 14:02 UTC, about 310\npayments")
    wanted = (
        "open, critical",
        "geo=GB",
        "62     100      9.0",
        "it clears when",
        "html#segment_degradation",
        "24.0 nats",
    )
    assert [words for words in (*wanted, ": planned migration") if words not in out] == []
    assert max(map(len, out.splitlines())) <= 80
    shown = run("show", ENDED)[1]
    assert "resolved at 2026-01-01T14:08:40Z" in shown
    assert "it clears when" not in shown


def test_as_json_it_is_the_record(run: Run, server: Server) -> None:
    """With what somebody said of it, and the half hour."""
    two(server)
    run("annotate", OPEN, "true", "--note", "their status page says so")
    record = json.loads(run("show", OPEN, "--json")[1])
    assert (record["id"], record["state"], record["value_at_risk"]) == (OPEN, "open", {"GBP": 4_120_000})
    assert record["annotation"]["note"] == "their status page says so"
    assert record["half_hour"]["step_sec"] * len(record["half_hour"]["values"]) == 1800
    assert "annotated true at" in run("show", OPEN)[1]


def test_why_a_processor_is_where_it_is(run: Run, server: Server) -> None:
    """The score, the driver that decides with its numbers, the open incidents, and the half hour before."""
    two(server)
    now = int(time.time())
    for second, score in ((now - 7200, 0.1), (now - 600, 0.9), (now - 300, 0.42)):
        say(server, second, score)
    server.client.hset(KEYS.ledger("payment_consumers"), "last_id", f"{now * 1000}-0")
    code, out, _ = run("show", "--processor", "stripe")
    assert code == 0
    assert out.startswith("stripe: 0.42, elevated, since ")
    wanted = ("0.42 because of segment_degradation in geo=GB: 62 of 100", "how bad it is decides", "are scored", "█")
    assert [words for words in wanted if words not in " ".join(out.split())] == []
    assert max(map(len, out.splitlines())) <= 80
    told = json.loads(run("show", "--processor", "stripe", "--json")[1])
    assert (told["score"], told["drivers"][0]["value"], told["open_incidents"]) == (0.42, "GB", [])
    assert [told["half_hour"]["values"][at] for at in (0, 45, -1)] == [0.1, 0.9, 0.42]


def test_what_is_open_at_the_processor_is_named(run: Run, server: Server) -> None:
    """With its summary; and a processor at rest is told to be."""
    two(server)
    said = msgspec.json.encode(RiskAssessment(5, "adyen", learned=True))
    server.client.hset(KEYS.risk, "adyen", b"5 " + said)
    shown = run("show", "--processor", "adyen")[1]
    assert "Nothing is out of the ordinary." in shown
    assert f"open: {OPEN}" in shown


def test_what_is_not_known_is_said(run: Run) -> None:
    """With where to look, and exit code 1; and one of the two must be asked for."""
    code, _, err = run("show", "stripe-1-aa")
    assert (code, "there is no such incident" in err) == (1, True)
    code, _, err = run("show", "--processor", "nobody")
    assert (code, "nobody: nothing was said of such a processor" in err) == (1, True)
    for words in ((), ("stripe-1-aa", "--processor", "stripe")):
        code, _, err = run("show", *words)
        assert (code, "expected the ID of an incident, or --processor" in err) == (2, True)
