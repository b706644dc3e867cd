"""The webhook exporter: what it sends, and what each answer means."""

import gzip
import json
from collections.abc import Iterator
from math import inf

import pytest

from needs import module
from payflux.errors import ExportFailed
from payflux.exporters import GroupOpening
from payflux.exporters.webhook import DESTINATION, MOST_REFUSED, SECRETS, WebhookExporter
from payflux.settings import Values, load
from their_server import Receiving, receiving

SECRET, OTHER = "whsec_" + "A" * 32, "whsec_" + "B" * 32
LINES = [b'{"event_id":"%d","stream_message_id":"17-%d","seq":%d}\n' % (n, n, n) for n in range(4)]
REFUSED: tuple[int, dict[str, str], bytes] = (422, {}, b"odd")


@pytest.fixture
def theirs() -> Iterator[Receiving]:
    """A server that takes batches."""
    with receiving() as server:
        yield server


def given(**environ: str) -> Values:
    """The settings, as if they stood in the environment."""
    return load(DESTINATION.settings, {f"PAYFLUX_EXPORT_WEBHOOK_{name}": text for name, text in environ.items()})


def exporter(theirs: Receiving, **environ: str) -> WebhookExporter:
    """One that sends there."""
    values = given(URL=f"{theirs.url}/in?a=b", **({"PRIVATE": "true"} | environ))
    return WebhookExporter(GroupOpening(values, "webhook", 5.0))


def test_a_batch_is_one_signed_request(theirs: Receiving) -> None:
    """Lines as they are, compressed; an id that the same batch has again, and a signature of each live secret."""
    sending = exporter(theirs, SECRETS=f"{SECRET},{OTHER}", HEADERS="Authorization: Splunk 1, X-Two: 2")
    assert sending.deliver(LINES) == {}
    sending.close()
    (one,) = theirs.got
    assert one.path == "/in?a=b"
    assert gzip.decompress(one.body) == b"".join(LINES)
    assert one.headers["webhook-id"] == "17-0_17-3"
    assert (one.headers["content-type"], one.headers["content-encoding"]) == ("application/x-ndjson", "gzip")
    assert (one.headers["authorization"], one.headers["x-two"]) == ("Splunk 1", "2")
    assert len(one.headers["webhook-signature"].split()) == 2


def test_a_batch_may_be_one_json_array(theirs: Receiving) -> None:
    """Plain where it is told so; somebody else's library verifies each signature; without a secret there is none."""
    module("standardwebhooks")
    from standardwebhooks import Webhook  # noqa: PLC0415 - not everywhere

    assert exporter(theirs, FORMAT="json", GZIP="false", SECRETS=f"{SECRET},{OTHER}").deliver(LINES) == {}
    assert exporter(theirs, FORMAT="json", GZIP="false").deliver(LINES) == {}
    signed, one = theirs.got
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(signed.body, signed.headers) == [json.loads(line) for line in LINES]
    assert one.body == signed.body
    assert one.headers["content-type"] == "application/json"
    assert "webhook-id" not in one.headers
    assert "content-encoding" not in one.headers


def test_what_is_refused_is_found_and_the_others_arrive(theirs: Receiving) -> None:
    """By sending halves: in order, and each that is taken once."""
    theirs.answers.extend([REFUSED, REFUSED, (200, {}, b""), (400, {}, b"no such merchant")])
    assert exporter(theirs, GZIP="false").deliver(LINES) == {1: "HTTP 400: no such merchant"}
    assert [one.body.count(b"\n") for one in theirs.got] == [4, 2, 1, 1, 2]


def test_where_everything_is_refused_it_is_given_up(theirs: Receiving) -> None:
    """Not every single line of a large batch is tried."""
    theirs.answers.extend([REFUSED] * 1000)
    with pytest.raises(ExportFailed) as caught:
        exporter(theirs, GZIP="false").deliver(LINES * 50)
    assert caught.value.code == "all_refused"
    assert len(theirs.got) < 2 * MOST_REFUSED + 10


@pytest.mark.parametrize(
    ("status", "headers", "code", "wait"),
    [
        (429, {"Retry-After": "7"}, "busy", 7.0),
        (503, {}, "busy", 0.0),
        (302, {"Location": "/elsewhere"}, "denied", 0.0),
        (401, {}, "denied", 0.0),
        (404, {}, "denied", 0.0),
        (410, {}, "gone", inf),
    ],
)
def test_an_answer_that_says_nothing_of_the_lines_is_a_failure(
    theirs: Receiving, status: int, headers: dict[str, str], code: str, wait: float
) -> None:
    """One request, no redirect is followed, and the same lines are to come again, after what is asked for."""
    theirs.answers.append((status, headers, b""))
    with pytest.raises(ExportFailed) as caught:
        exporter(theirs).deliver(LINES)
    assert (caught.value.code, caught.value.wait, len(theirs.got)) == (code, wait, 1)


def test_private_addresses_are_refused_unless_they_are_allowed(theirs: Receiving) -> None:
    """Nothing is sent there."""
    with pytest.raises(ExportFailed) as caught:
        exporter(theirs, PRIVATE="false").deliver(LINES)
    assert (caught.value.code, theirs.got) == ("denied", [])


def test_a_destination_that_is_not_there_is_unreachable() -> None:
    """It may be, later."""
    values = given(URL="http://127.0.0.1:1/", PRIVATE="true")
    with pytest.raises(ExportFailed) as caught:
        WebhookExporter(GroupOpening(values, "webhook", 5.0)).deliver(LINES)
    assert caught.value.code == "unreachable"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("URL", "ftp://host", "a URL such as https://host/path"),
        ("SECRETS", "short", "base64 of 24 to 64 bytes"),
        ("SECRETS", f"{SECRET},{OTHER},{SECRET}", "two while they are rotated"),
        ("HEADERS", "no colon", "name: value"),
        ("HEADERS", "X: a\rb", "name: value"),
        ("FORMAT", "xml", "one of ndjson, json"),
    ],
)
def test_wrong_settings_are_refused(name: str, text: str, expected: str) -> None:
    """With what was expected."""
    (setting,) = [one for one in DESTINATION.settings if one.name == f"PAYFLUX_EXPORT_WEBHOOK_{name}"]
    with pytest.raises(ValueError, match=expected):
        setting.parse(text)
    assert SECRETS.secret


def test_the_check_looks_at_signature_and_address() -> None:
    """It warns of batches that are not signed, or go in the clear, and names the host without what is secret."""
    for environ, verdict in (
        ({"URL": "https://user:pass@host/secret"}, "warn"),
        ({"URL": "http://host/secret", "SECRETS": SECRET}, "warn"),
        ({"URL": "https://host/secret", "SECRETS": SECRET}, "pass"),
    ):
        (finding,) = DESTINATION.look(given(**environ))
        assert finding.verdict == verdict
        assert "host" in finding.reason
        assert "secret" not in finding.reason
        assert "pass" not in finding.reason
