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


def test_what_is_not_known_is_not_annotated(run: Run) -> None:
    """Nor does a long story fit."""
    code, _, err = run("annotate", ID, "true")
    assert (code, "there is no such incident" in err) == (1, True)
    code, _, err = run("annotate", ID, "true", "--note", "x" * 1001)
    assert (code, "--note: expected 1000 characters at most" in err) == (2, True)
