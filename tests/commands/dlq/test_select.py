"""`payflux dlq`: dead letters are shown as they are, come back exactly once, and go only when told to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operator_commands import Run, bury, canonical
from payflux.commands.dlq.select import objection
from servers import Server


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ((), [1, 2, 3, 4]),
        (("--reason", "a"), [1, 3]),
        (("--reason", "a", "--reason", "b"), [1, 2, 3, 4]),
        (("--reason", "c"), []),
        (("--id", "1767957852000-0"), [2]),
        (("--id", "3-1", "--id", "4-1"), [3, 4]),
        (("--from", "2026-01-09T11:24:12Z"), [2, 3, 4]),
        (("--from", "2026-01-09T12:24:12+01:00", "--to", "2026-01-09t11:24:13.000z"), [2, 3]),
        (("--to", "1767957852000-0", "--reason", "a"), [1]),
        (("--from", "1767957853000"), [3, 4]),
    ],
)
def test_filters(filters: tuple[str, ...], kept: list[int], run: Run, server: Server) -> None:
    """Reason, id or original id, and the time of burial, both ends included."""
    for number in (1, 2, 3, 4):
        bury(server, b"x", "a" if number % 2 else "b", f"{number}-1", f"{1767957850000 + number * 1000}-0")
    report = json.loads(run("list", "--json", *filters)[1])
    assert [int(one["original_id"][0]) for one in report["entries"]] == kept


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Nd"]), max_size=100), st.integers(0, 2**20)
)
def test_only_canonical_events_are_not_objected_to(text: str, place: int) -> None:
    """Any stored event may go back; cut short anywhere, or with a blank anywhere outside its strings, it may not."""
    data = canonical(merchant_id_hash=text)
    assert objection(data) == ""
    assert objection(data[: place % len(data)])
    gaps = [at for at in range(len(data)) if data[at : at + 2] in {b',"', b'":'} and b"\\" not in data]
    assert not gaps or objection(data[: gaps[-1] + 1] + b" " + data[gaps[-1] + 1 :])


@pytest.mark.parametrize("command", [("list",), ("show", "1-1"), ("requeue", "--yes"), ("purge", "--all", "--yes")])
def test_trouble_with_redis_is_one_line(command: tuple[str, ...], run: Run, server: Server) -> None:
    """Exit code 1 with what to do, and nothing on stdout; first a key of another type, then no server at all."""
    server.client.set("events_stream_dlq", "x")
    code, out, err = run(*command)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "RENAME it" in err
    server.kill()
    code, out, err = run(*command)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "is it running" in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("list", "--from", "yesterday"), "--from yesterday: expected a time such as"),
        (("list", "--to", "2026-01-09T12:00:00"), "--to 2026-01-09T12:00:00"),
        (("purge", "--from", "9-0", "--to", "8-0"), "the beginning before the end"),
        (("requeue", "--id", "1-1", "--from", "99999999999999999999-0"), "--from 9999"),
        (("list", "--limit", "-1"), "--limit -1"),
        (("show", "1-1", "--raw", "--json"), "--raw and --json"),
    ],
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], problem: str, run: Run) -> None:
    """Exit code 2, with what was expected."""
    code, _, err = run(*arguments)
    assert code == 2
    assert problem in err
