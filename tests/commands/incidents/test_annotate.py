"""`payflux incidents annotate`: whether an incident was one."""

import asyncio
import json

from incident_records import SINCE, change, tell
from operator_commands import Run
from servers import Server

ID = f"stripe-{SINCE + 5}-aabbcc"


def test_the_last_word_is_kept_and_counts(run: Run, server: Server) -> None:
    """It stands in the list, and the precision follows from it."""
    asyncio.run(tell(server, change("opened")))
    assert run("annotate", ID, "true")[:2] == (0, f"{ID}: true\n")
    assert json.loads(run("list", "--json")[1])["precision"] == 1.0
    said = json.loads(run("annotate", ID, "false", "--note", "a test of ours", "--json")[1])
    assert (said["id"], said["verdict"], said["note"]) == (ID, "false", "a test of ours")
    report = json.loads(run("list", "--json")[1])
    assert (report["precision"], report["incidents"][0]["annotation"]["verdict"]) == (0.0, "false")


def test_when_a_processor_throttled_is_kept(run: Run, server: Server) -> None:
    """A time as one writes it, or how long ago; the lead time follows from it."""
    asyncio.run(tell(server, change("opened")))
    said = json.loads(run("annotate", ID, "throttled", "--at", "2026-01-01T14:22:05Z", "--json")[1])
    assert said["throttled_at"] == "2026-01-01T14:22:05Z"
    assert json.loads(run("list", "--json")[1])["lead_time_sec"] == 1200.0
    assert run("annotate", ID, "throttled", "--at", "-5m")[0] == 0
    for verdict, at, wrong in (("throttled", "soon", "expected a time"), ("true", "-5m", "with `throttled` alone")):
        code, _, err = run("annotate", ID, verdict, "--at", at)
        assert (code, wrong in err) == (2, True)


def test_what_is_not_known_is_not_annotated(run: Run) -> None:
    """Nor does a long story fit."""
    code, _, err = run("annotate", ID, "true")
    assert (code, "there is no such incident" in err) == (1, True)
    code, _, err = run("annotate", ID, "true", "--note", "x" * 1001)
    assert (code, "--note: expected 1000 characters at most" in err) == (2, True)
