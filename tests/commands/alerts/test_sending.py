import pytest

from desks import write
from incidents import NOON, incident
from on_call import CHANNEL, ROUTING_KEY, TOKEN, Chat, Pager
from operator_commands import environ, payflux
from servers import Server
from stream_keys import KEYS
from their_server import serving

NOWHERE = "redis://127.0.0.1:1"


@pytest.mark.process
def test_a_test_goes_to_every_receiver_and_back(server: Server) -> None:
    """Marked as one, opened and closed again; what was answered is said and kept; who refuses it stops no other."""
    pager, chat = Pager(), Chat()
    with serving(pager.handle) as duty, serving(chat.handle) as channel:
        given = {
            "PAYFLUX_ALERTS": "slack,pagerduty",
            "PAYFLUX_ALERT_PAGERDUTY_URL": f"{duty}/v2/enqueue",
            "PAYFLUX_ALERT_PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
            "PAYFLUX_ALERT_SLACK_TOKEN": TOKEN,
            "PAYFLUX_ALERT_SLACK_CHANNEL": CHANNEL,
            "PAYFLUX_ALERT_SLACK_API_URL": f"{channel}/api",
        }
        done = payflux(environ(server.url, **given), "alerts", "test")
        assert (done.returncode, done.stderr) == (0, b"")
        assert set(server.client.hkeys(KEYS.alerts_tested)) == {b"slack", b"pagerduty"}
        told = done.stdout.decode().splitlines()
        assert [line.partition(": HTTP")[0] for line in told] == [
            "slack: took the opening",
            "slack: took the end",
            "pagerduty: took the opening",
            "pagerduty: took the end",
        ]
        assert '"status": "success"' in told[2]
        chat.down = True
        done = payflux(environ(NOWHERE, **given), "alerts", "test")
    assert done.returncode == 1
    assert done.stderr.startswith(b"payflux: slack: did not take the opening: HTTP 503: down\n")
    assert b"127.0.0.1:1" in done.stderr  # without Redis too; that it was not kept is said
    assert [what for what, _ in pager.seen] == ["triggered", "resolved"] * 2
    assert {severity for given_ in pager.severities.values() for severity in given_} == {"info"}
    assert chat.texts[0].startswith("TEST: RESOLVED: [high] example")
    assert pager.problems == chat.problems == []


@pytest.mark.process
def test_what_cannot_be_tried_is_refused() -> None:
    """Nobody is named, or somebody else."""
    done = payflux(environ(NOWHERE), "alerts", "test")
    assert (done.returncode, b"PAYFLUX_ALERTS: expected a receiver" in done.stderr) == (2, True)
    hook = {"PAYFLUX_ALERTS": "slack", "PAYFLUX_ALERT_SLACK_WEBHOOK_URL": "http://127.0.0.1:1/secret"}
    done = payflux(environ(NOWHERE, **hook), "alerts", "test", "pagerduty")
    assert (done.returncode, b"pagerduty: expected one of slack" in done.stderr) == (2, True)


@pytest.mark.process
def test_messages_are_shown_and_not_sent(server: Server) -> None:
    """With secrets masked, and with why one would not be told."""
    one = incident()
    write(server, "opened", one)
    given = {
        "PAYFLUX_ALERTS": "slack,pagerduty",
        "PAYFLUX_ALERT_SLACK_WEBHOOK_URL": "http://127.0.0.1:1/services/T/B/not-to-be-seen",
        "PAYFLUX_ALERT_PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
        "PAYFLUX_ALERT_PAGERDUTY_LEAST": "critical",
        "PAYFLUX_RUNBOOK_URL": "https://wiki/RUNBOOK.md",
    }
    muted = ("mute", "stripe", "--for", "1h", "--why", "known")
    assert payflux(environ(server.url), "alerts", *muted).returncode == 0
    shown = payflux(environ(server.url, **given), "alerts", "show", one.id)
    assert shown.returncode == 0
    text = shown.stdout.decode()
    assert "not-to-be-seen" not in text
    assert ROUTING_KEY not in text
    slack, _, pagerduty = text.partition("== pagerduty ==")
    assert "stripe: 62% of payments from GB fail" in slack
    assert "https://wiki/RUNBOOK.md#segment_degradation" in slack
    assert ": known)" in slack
    assert f'"dedup_key": "payflux/{one.id}"' in pagerduty
    assert "is not told of it: see PAYFLUX_ALERT_PAGERDUTY_LEAST" in pagerduty
    gone = payflux(environ(server.url, **given), "alerts", "show", f"nobody-{NOON}")
    assert (gone.returncode, b"there is no such incident" in gone.stderr) == (1, True)
