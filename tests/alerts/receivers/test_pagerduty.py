import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents import NOON, driver, incident
from payflux.alerts import Later, Notice, Refused
from payflux.alerts.receivers.pagerduty import PagerDuty
from their_server import receiving


def test_one_incident_there_for_each_of_ours() -> None:
    """Triggered, triggered again when it worsens, resolved: by the same key."""
    with receiving() as server:
        server.usual = b'{"status":"success"}'
        duty = PagerDuty(f"{server.url}/v2/enqueue", "R0UT1NG")
        one = incident()
        for kind in ("opened", "worsened", "resolved"):
            duty.send(Notice(kind=kind, incident=one, runbook="https://runbook/x"))
        opened, worsened, resolved = (got.json for got in server.got)
        assert {got.path for got in server.got} == {"/v2/enqueue"}
    assert [event["event_action"] for event in (opened, worsened, resolved)] == ["trigger", "trigger", "resolve"]
    assert {event["dedup_key"] for event in (opened, worsened, resolved)} == {f"payflux/{one.id}"}
    assert {event["routing_key"] for event in (opened, worsened, resolved)} == {"R0UT1NG"}
    assert "payload" not in resolved
    payload = msgspec.convert(opened["payload"], dict[str, object])
    assert payload["severity"] == "error"
    assert payload["source"] == "stripe"
    assert opened["links"] == [{"href": "https://runbook/x", "text": "What to do"}]


@given(st.text(max_size=100), st.text(max_size=40))
def test_its_limits_are_kept(value: str, name: str) -> None:
    """Whatever a segment is called: the summary, the key, the whole."""
    odd = incident(id="x" * 300, value=value, drivers=(driver(name, "geo", value),) * 20, samples=("i" * 36,) * 5)
    (request,) = PagerDuty("http://p", "k").requests(Notice(kind="opened", incident=odd))
    event = msgspec.json.decode(request.body)
    assert 0 < len(event["payload"]["summary"]) <= 1024
    assert len(event["dedup_key"]) <= 255
    assert len(request.body) <= 512 * 1024
    assert event["payload"]["severity"] in {"critical", "error", "warning", "info"}


@pytest.mark.parametrize(("status", "error"), [(400, Refused), (429, Later), (500, Later), (403, Refused)])
def test_what_its_answers_mean(status: int, error: type[Exception]) -> None:
    """An event it calls invalid is invalid for ever; too many, or a failure of its own, passes."""
    with receiving() as server:
        server.answers.append((status, {"Retry-After": "3"}, b'{"message":"no"}'))
        with pytest.raises(error, match=r'HTTP .*"no"') as failed:
            PagerDuty(server.url, "k").send(Notice(kind="opened", incident=incident()))
        assert getattr(failed.value, "after", 3.0) == 3.0


def test_a_test_says_that_it_is_one() -> None:
    """Nobody is woken by it."""
    (request,) = PagerDuty("http://p", "k").requests(Notice(kind="opened", incident=incident(NOON), test=True))
    event = msgspec.json.decode(request.body)
    assert event["payload"]["summary"].startswith("TEST: ")
    assert event["payload"]["severity"] == "info"
