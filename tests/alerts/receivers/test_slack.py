from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents import driver, incident
from payflux.alerts import Later, Notice, Refused
from payflux.alerts.receivers.slack import Slack
from their_server import receiving


def bodies(notice: Notice, slack: Slack | None = None) -> list[dict[str, Any]]:
    """What is sent of a notice."""
    return [msgspec.json.decode(request.body) for request in (slack or Slack("http://s", "", "", "")).requests(notice)]


def test_an_incoming_webhook_gets_a_message_for_each_news() -> None:
    """Plain text first, blocks beside it."""
    with receiving() as server:
        server.usual = b"ok"
        slack = Slack(f"{server.url}/services/T/B/x", "", "", "")
        assert slack.send(Notice(kind="opened", incident=incident())) == ("HTTP 200: ok", "")
        slack.send(Notice(kind="resolved", incident=incident(resolved=1_767_960_100)))
        opened, resolved = (got.json for got in server.got)
        assert "authorization" not in server.got[0].headers
    assert str(opened["text"]).startswith("[high] stripe: 62% of payments from GB fail")
    assert str(resolved["text"]).startswith("RESOLVED: [high] stripe")
    assert "payflux alerts mute stripe" in str(opened["text"])
    assert "Mute" not in str(resolved["text"])


def test_an_app_keeps_one_message_up_to_date() -> None:
    """What happens later changes it, and is a reply in its thread."""
    with receiving() as server:
        server.usual = b'{"ok":true,"ts":"1700.5"}'
        slack = Slack("", "xoxb-1", "C1", server.url)
        memory = slack.send(Notice(kind="opened", incident=incident())).memory
        assert memory == "1700.5"
        slack.send(Notice(kind="worsened", incident=incident(severity="critical"), memory=memory))
        slack.send(Notice(kind="resolved", incident=incident(resolved=1_767_960_100), memory=memory))
        assert [got.path for got in server.got] == ["/chat.postMessage", *["/chat.update", "/chat.postMessage"] * 2]
        assert {got.headers["authorization"] for got in server.got} == {"Bearer xoxb-1"}
        first, update, reply, *_ = (got.json for got in server.got)
    assert {message["channel"] for message in (first, update, reply)} == {"C1"}
    assert "thread_ts" not in first
    assert update["ts"] == reply["thread_ts"] == "1700.5"
    assert reply["reply_broadcast"] is True


@pytest.mark.parametrize(
    ("answer", "error", "stopped"),
    [
        (b'{"ok":false,"error":"ratelimited"}', Later, False),
        (b'{"ok":false,"error":"invalid_blocks"}', Refused, False),
        (b'{"ok":false,"error":"token_revoked"}', Refused, True),
        (b"<html>", Later, False),
    ],
)
def test_a_200_of_its_api_may_be_a_refusal(answer: bytes, error: type[Exception], stopped: bool) -> None:
    """The answer says so in its body."""
    with receiving() as server:
        server.usual = answer
        with pytest.raises(error) as failed:
            Slack("", "xoxb-1", "C1", server.url).send(Notice(kind="opened", incident=incident()))
        assert getattr(failed.value, "stopped", False) is stopped


@given(st.text(max_size=100), st.integers(1, 300))
def test_its_limits_are_kept(value: str, many: int) -> None:
    """50 blocks, 3,000 characters a section, 10 fields of 2,000, 4,000 of text; nothing in it is markup of ours."""
    odd = incident(value=value, drivers=(driver(value=value),) * 20)
    for notice in (
        Notice(kind="opened", incident=odd, runbook="https://r/" + "x" * 200),
        Notice(kind="summary", incident=odd, others=(odd,) * many),
    ):
        (body,) = bodies(notice)
        assert 0 < len(body["text"]) <= 4000
        assert 0 < len(body["blocks"]) <= 50
        for block in body["blocks"]:
            assert len(block.get("fields", [])) <= 10
            assert all(0 < len(field["text"]) <= 2000 for field in block.get("fields", []))
            assert 0 < len(block.get("text", {"text": "x"})["text"]) <= 3000
            assert "<" not in str(block)


def test_a_summary_lists_the_worst() -> None:
    """And says how many are left."""
    (body,) = bodies(Notice(kind="summary", incident=incident(), others=tuple(map(incident, range(180)))))
    assert body["text"].startswith("180 more incidents: stripe")
