import pytest

from incidents import NOON, incident
from payflux.alerts import Notice, Refused
from payflux.alerts.receivers.webhook import Webhook
from payflux.outgoing.signature import key_of, signed
from their_server import receiving

KEY = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def test_it_is_signed_over_the_very_bytes() -> None:
    """And the same news has the same id, whenever it is sent again."""
    with receiving() as server:
        hook = Webhook(f"{server.url}/x", [KEY], private=True, now=lambda: float(NOON))
        for _ in range(2):
            hook.send(Notice(kind="opened", incident=incident()))
        hook.send(Notice(kind="resolved", incident=incident(resolved=NOON + 9)))
        first, again, ended = server.got
    for got in (first, again, ended):
        expected = signed(got.headers["webhook-id"], NOON, got.body, [KEY])
        assert {name: got.headers[name] for name in expected} == expected
    assert first.headers["webhook-id"] == again.headers["webhook-id"] != ended.headers["webhook-id"]
    assert first.json["type"] == "incident.opened"
    data = first.json["data"]
    assert isinstance(data, dict)
    assert (data["processor"], data["payments_affected"], data["value_at_risk"]) == ("stripe", 265, {"GBP": 4_120_000})


def test_a_private_address_is_refused_unless_it_is_allowed() -> None:
    """For good: no retry makes it public."""
    with receiving() as server:
        with pytest.raises(Refused, match="not a public address"):
            Webhook(server.url, [KEY], private=False).send(Notice(kind="opened", incident=incident()))
        assert not server.got


def test_410_stops_it() -> None:
    """Whoever it belonged to wants nothing any more."""
    with receiving() as server:
        server.answers.append((410, {}, b""))
        with pytest.raises(Refused) as refused:
            Webhook(server.url, [KEY], private=True).send(Notice(kind="opened", incident=incident()))
        assert refused.value.stopped
