"""`payflux incidents list`: incidents as they stand, in rows and as JSON, and what follows from what people said."""

import asyncio
import json
import re
import time
from typing import Any

import msgspec

from incident_records import SINCE, change, tell
from operator_commands import Run, environ, on_a_terminal
from payflux.commands.incidents.listing import lead_time, precision
from payflux.risk.incidents.mutes import Mute
from servers import Server
from stream_keys import KEYS

OPEN, ENDED = f"adyen-{SINCE + 5}-aabbcc", f"stripe-{SINCE + 5}-aabbcc"


def two(server: Server) -> None:
    """One incident that is open, and one that is over."""
    ended = (change("opened"), change("resolved", second=SINCE + 400))
    asyncio.run(tell(server, ended[0], change("opened", "adyen"), ended[1]))


def ids(report: str) -> list[str]:
    """The ids in the JSON of a list."""
    return [one["id"] for one in json.loads(report)["incidents"]]


def test_the_list_has_the_open_ones_first(run: Run, server: Server) -> None:
    """Rows for a pipe; filters by state and processor."""
    two(server)
    code, out, _ = run("list")
    rows = [line.split("\t") for line in out.splitlines()]
    assert (code, [row[:3] for row in rows]) == (0, [[OPEN, "open", "critical"], [ENDED, "resolved", "critical"]])
    assert rows[0][3:] == ["2026-01-01T14:02:00Z", "adyen", "segment_degradation", "geo=GB", "310", "-"]
    assert ids(run("list", "--open", "--json")[1]) == [OPEN]
    assert ids(run("list", "--processor", "stripe", "--json")[1]) == [ENDED]


def test_what_changed_of_late(run: Run, server: Server) -> None:
    """What lies further back is left out; a time that is none is named."""
    two(server)
    asyncio.run(tell(server, change("opened", "worldpay", int(time.time()) - 60)))
    assert ids(run("list", "--last", "1h", "--json")[1]) == [f"worldpay-{SINCE + 5}-aabbcc"]
    code, _, err = run("list", "--last", "yesterday")
    assert (code, "--last yesterday: expected a time" in err) == (2, True)


def test_a_mute_stands_in_the_incident(run: Run, server: Server) -> None:
    """While it holds and the incident is open."""
    two(server)
    mute = Mute(id="a1", processor="*", until=int(time.time()) + 600, why="planned migration")
    server.client.hset(KEYS.mutes, "a1", msgspec.json.encode(mute))
    found = json.loads(run("list", "--json")[1])["incidents"]
    assert [[mute["id"] for mute in one["mutes"]] for one in found] == [["a1"], []]


def test_nothing_is_no_error(run: Run) -> None:
    """A pipe gets no line."""
    assert run("list")[:2] == (0, "")


def test_precision_is_that_of_what_was_annotated() -> None:
    """Throttled was something; what nobody judged does not count."""
    verdicts: list[Any] = ["true", "throttled", "false", "true"]
    records = [{"annotation": {"verdict": verdict}} for verdict in verdicts]
    assert precision([*records, {"annotation": None}]) == 0.75
    assert precision([{"annotation": None}]) is None


def test_lead_time_is_the_median_of_what_was_throttled() -> None:
    """From when it was noticed to when the processor throttled; nothing else has one."""
    opened = "2026-01-01T14:00:00Z"
    times = ("2026-01-01T14:10:00Z", "2026-01-01T14:30:00Z", "2026-01-01T13:59:00Z")
    said: list[Any] = [{"verdict": "throttled", "throttled_at": at} for at in times]
    records = [{"opened": opened, "annotation": one} for one in (*said, {"verdict": "true"}, None)]
    assert lead_time(records) == 600.0
    assert lead_time(records[3:]) is None


def test_a_terminal_of_80_columns_shows_a_table(server: Server) -> None:
    """With headings, whole ids and what was said; what a producer wrote steers no terminal."""
    two(server)
    asyncio.run(tell(server, change("opened", "evil\x1b[2J")))
    said = {"verdict": "throttled", "note": "", "at": "", "throttled_at": "2026-01-01T14:12:05Z"}
    server.client.hset(KEYS.incidents_verdicts, ENDED, msgspec.json.encode(said))
    code, shown = on_a_terminal(environ(server.url), "incidents", "list", columns=80)
    assert code == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= 80
    assert [word for word in ("severity", "since", OPEN, ENDED, "geo=GB") if word not in shown] == []
    assert any("resolved 14:08, throttled" in line for line in lines)
    assert lines[-2:] == [
        "precision 100%, of 1 annotated",
        "lead time 10.0 min before the processor throttled (median)",
    ]
    assert "\x1b[2J" not in shown
