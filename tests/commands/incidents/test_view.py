"""`payflux incidents list` and `show`: incidents as they stand, in rows, in words and as JSON."""

import asyncio
import json
import time
from typing import Any

import msgspec

from incident_records import SINCE, change, tell
from operator_commands import Run, environ, on_a_terminal
from payflux.commands.incidents.view import precision
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
    """In words and as JSON, while it holds and the incident is open."""
    two(server)
    mute = Mute(id="a1", processor="*", until=int(time.time()) + 600, why="planned migration")
    server.client.hset(KEYS.mutes, "a1", msgspec.json.encode(mute))
    assert ": planned migration" in run("show", OPEN)[1]
    found = json.loads(run("list", "--json")[1])["incidents"]
    assert [[mute["id"] for mute in one["mutes"]] for one in found] == [["a1"], []]


def test_an_incident_in_words(run: Run, server: Server) -> None:
    """What, where, since when, how bad, observed against expected, and what to do."""
    two(server)
    code, out, _ = run("show", OPEN)
    assert code == 0
    assert out.startswith("adyen: 62% of payments from GB fail (9% expected) since 14:02 UTC, about 310 payments")
    for words in (
        "open, critical",
        "geo=GB",
        "62       100       9.0",
        "it clears when",
        "RUNBOOK.md#segment_degradation",
    ):
        assert words in out
    shown = run("show", ENDED)[1]
    assert "resolved at 2026-01-01T14:08:40Z" in shown
    assert "it clears when" not in shown


def test_as_json_it_is_the_record(run: Run, server: Server) -> None:
    """With what somebody said of it."""
    two(server)
    run("annotate", OPEN, "true", "--note", "their status page says so")
    record = json.loads(run("show", OPEN, "--json")[1])
    assert (record["id"], record["state"], record["value_at_risk"]) == (OPEN, "open", {"GBP": 4_120_000})
    assert record["annotation"]["note"] == "their status page says so"
    assert "annotated true at" in run("show", OPEN)[1]


def test_one_that_is_not_known_is_said(run: Run) -> None:
    """With where to look, and exit code 1; nothing at all is no error of the list."""
    code, _, err = run("show", "stripe-1-aa")
    assert (code, "there is no such incident" in err) == (1, True)
    assert run("list")[:2] == (0, "")


def test_precision_is_that_of_what_was_annotated() -> None:
    """Throttled was something; what nobody judged does not count."""
    verdicts: list[Any] = ["true", "throttled", "false", "true"]
    records = [{"annotation": {"verdict": verdict}} for verdict in verdicts]
    assert precision([*records, {"annotation": None}]) == 0.75
    assert precision([{"annotation": None}]) is None


def test_a_terminal_shows_a_table(server: Server) -> None:
    """With headings; what a producer wrote steers no terminal."""
    asyncio.run(tell(server, change("opened", "evil\x1b[2J")))
    code, shown = on_a_terminal(environ(server.url), "incidents", "list")
    assert code == 0
    assert "severity" in shown
    assert "\x1b[2J" not in shown
