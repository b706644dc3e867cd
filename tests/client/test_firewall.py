"""Card numbers stay in the application: they are in no queue, no file and no request of the client."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_node import KEY, exact, nobody, thread_node
from payflux.client import Client
from payflux.client.card_numbers import contains_pan
from payflux.client.firewall import holds_card_number
from payflux.testing import make_event
from servers import until

VISA = "4111111111111111"

HOLDING = [
    {"channel": VISA},
    {"unknown": "4111 1111 1111 1111"},
    {"unknown": {"deep": ["x", {"deeper": "paid with 4111-1111-1111-1111."}]}},
    {"amount_minor": int(VISA)},
    {"unknown": float(VISA)},
    {VISA: 1},
    {"unknown": "%B4111111111111111^DOE/JANE^2512"},
    {"unknown": "4111\u00a01111\u00a01111\u00a01111"},
    {"unknown": "\uff14111111111111111"},
]

HARMLESS = [
    {},
    {"merchant_id_hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"score": 0.4111111111111111},
    {"score": 4.111111111111111e15 + 0.5},
    {"at_ms": 1767960000123},
    {"unknown": "4111111111111112"},
    {"event_id": "41111111-1111-4111-8111-111111111111"},
]


@pytest.mark.parametrize("members", HOLDING, ids=str)
@pytest.mark.parametrize("encoded", [False, True])
def test_a_card_number_is_taken_in_no_member(members: dict[str, object], tmp_path: Path, *, encoded: bool) -> None:
    """Known or not, however deep, as text, number or name, given as a mapping or as JSON with escapes."""
    event = make_event() | members
    with nobody() as url, Client(url, KEY, spool=tmp_path) as client:
        assert not client.send(json.dumps(event).encode() if encoded else event)
        assert client.send(make_event())
        until(lambda: client.counts().spooled == 1, "the good one in the spool")
        assert client.counts().dropped == {"pan_detected": 1}
        assert exact(client.counts())
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert kept.count(b"event_id") == 1
    assert VISA.encode() not in kept.translate(None, b"- ")


@pytest.mark.parametrize("event", [{"channel": VISA}, {"channel": VISA, "event_id": "x"}, {"event_timestamp": VISA}])
def test_it_is_taken_whatever_the_client_would_fill_in(event: dict[str, object]) -> None:
    """Each way on which an event is encoded has the check."""
    with nobody() as url, Client(url, KEY) as client:
        assert not client.send(event)
        assert client.counts().dropped == {"pan_detected": 1}


@pytest.mark.parametrize("escaped", [r'{"a":"\u0034111111111111111"}', r'{"a":1,"a":"4111\u002d1111-1111-1111"}'])
def test_escapes_and_doubled_members_hide_nothing(escaped: str) -> None:
    """JSON says the same in many ways."""
    assert holds_card_number(escaped.encode())


@pytest.mark.parametrize("members", HARMLESS, ids=str)
def test_what_is_no_card_number_is_sent(members: dict[str, object]) -> None:
    """Hashes, ids, times and fractions pass."""
    with thread_node() as node, Client(node.url, KEY) as client:
        assert client.send(make_event() | members)
        assert client.flush(10)
        assert client.counts().accepted == 1


@given(st.one_of(st.text(max_size=40), st.from_regex(r"[45]1[0-9]{2}([- ]?[0-9]{4}){3}", fullmatch=True)))
def test_a_text_is_judged_as_the_node_judges_it(text: str) -> None:
    """Whatever its characters, and however they are escaped."""
    for ascii_only in (True, False):
        body = json.dumps({"a": text}, ensure_ascii=ascii_only).encode(errors="replace")
        decoded = json.loads(body)["a"]
        assert holds_card_number(body) == contains_pan(decoded)
