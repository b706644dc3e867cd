"""PayPal: whose certificate is believed, what is signed, and what its codes mean."""

import asyncio
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from http_client import until
from payflux.event.taxonomy import UNKNOWN
from payflux.webhooks import Unreadable, Unready, Unverified, Webhook
from payflux.webhooks.certificates import Certificates
from payflux.webhooks.processors.paypal import ADDRESS, ADDRESSES, CODE, ID, PINNED, SOURCE, TIME, TRIAL, PayPal
from receiving import NOW, SECRETS, Reading, Receiver, sample, signed

# payments_payment_v2, processor_response.response_code: every one that says that something failed.
CODES = (
    *("0100", "0800", "1300", "1310", "1312", "1317", "1320", "1330", "1335", "1340", "1350", "1360", "1370"),
    *("1380", "1382", "1384", "1390", "1393", "0500", "5100", "5110", "5120", "5130", "5140", "5150", "5160"),
    *("5170", "5180", "5190", "5200", "5210", "5400", "5500", "5800", "5900", "5910", "5920", "6300", "7700"),
    *("7710", "7800", "7900", "8000", "8010", "8020", "8030", "8100", "8110", "8220", "9100", "9500", "9510"),
    *("9520", "9530", "9540", "9600", "5930", "PPMD", "PPCE", "PPNT", "PPCT", "PPTT", "PPCU", "PPQC", "PPVE"),
    *("PPVT", "PPDC", "PPER", "PPIM", "PPH1", "PPSD", "PPAG", "PPLS", "PPCO", "PPAD", "PPAU", "PPUC", "PPUR"),
    *("PPVC", "PPS0", "PPS1", "PPS2", "PPS3", "PPS4", "PPS5", "PPS6", "PPRF", "PPEX", "PPAX", "PPDV", "PPDI"),
    *("PPAR", "PPBG", "PPGR", "PPCR", "PPAI", "PPIF", "PPMC", "PPAE", "PPFV", "PPII", "PPPM", "PPUA", "PPFI"),
    *("PPEF", "PPFR", "PPEL", "PCVV", "PPTV", "PPTE", "PPPI", "PPIT", "PPTF", "PPFE", "PPTR", "PPTI", "PPD3"),
    *("PPPH", "PPAV", "PPC2", "PPLR", "PPNC", "PPRR", "PPSC", "PPSE", "PPUE", "PPUI", "PPUP", "PPRE"),
)


@pytest.fixture
def reading() -> Reading:
    """The adapter."""
    return Reading("paypal")


def denied(**members: Any) -> Any:
    """A payment that was denied, with other members of its resource."""
    body = sample("paypal", "PAYMENT.CAPTURE.DENIED")
    return body | {"resource": body["resource"] | members}


def changed(webhook: Webhook, **headers: bytes) -> Webhook:
    """The same with other headers."""
    names = {"own": ID, "time": TIME, "code": CODE, "address": ADDRESS}
    return replace(webhook, headers={**webhook.headers, **{names[name]: text for name, text in headers.items()}})


def test_id_time_webhook_and_body_are_signed(reading: Reading) -> None:
    """Change any of them, and it is not believed."""
    webhook = signed("paypal", denied(), secret=1)
    reading.adapter.verify(webhook, NOW)
    for other in (
        replace(webhook, body=webhook.body + b" "),
        changed(webhook, own=b"another"),
        changed(webhook, time=b"2026-01-09T12:00:01Z"),
        changed(webhook, code=b"AAAA"),
        changed(webhook, code=b"no base64"),
        SOURCE.sign(webhook.body, "the id of another webhook", NOW),
    ):
        with pytest.raises(Unverified, match="signature_wrong"):
            reading.adapter.verify(other, NOW)
    for header in ("code", "address"):
        with pytest.raises(Unverified, match="signature_missing"):
            reading.adapter.verify(changed(webhook, **{header: b""}), NOW)


def test_redeliveries_are_old_and_the_future_is_refused(reading: Reading) -> None:
    """PayPal repeats for three days what it signed once."""
    webhook = signed("paypal", denied())
    for moved in (3 * 86_400, -299):
        reading.adapter.verify(webhook, NOW + moved)
    for moved in (5 * 86_400, -301):
        with pytest.raises(Unverified, match="timestamp_outside"):
            reading.adapter.verify(webhook, NOW + moved)


@pytest.mark.parametrize(
    ("url", "is_theirs"),
    [
        ("https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-ab66f33d", True),
        ("https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270", True),
        ("http://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-ab66f33d", False),
        ("https://api.paypal.com.evil.com/v1/notifications/certs/CERT-360caa42-fca2a594-ab66f33d", False),
        ("https://evil.com/?https://api.paypal.com/v1/notifications/certs/CERT-360caa42", False),
        ("https://user@api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594", False),
        ("https://api.paypal.com:8443/v1/notifications/certs/CERT-360caa42-fca2a594", False),
        ("https://api.paypal.com/v1/notifications/certs/../../x/CERT-360caa42-fca2a594", False),
        ("https://169.254.169.254/v1/notifications/certs/CERT-360caa42-fca2a594", False),
        ("https://xpaypal.com/v1/notifications/certs/CERT-360caa42-fca2a594", False),
    ],
)
def test_only_addresses_of_paypal_are_asked(url: str, is_theirs: bool) -> None:
    """Whatever stands in the header, which nothing proves."""
    assert (ADDRESSES.fullmatch(url) is not None) is is_theirs


async def test_a_webhook_waits_for_its_certificate() -> None:
    """It is fetched once, beside the requests; what could not be fetched is 503, and comes again."""
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return TRIAL.read_bytes()

    adapter = PayPal(SECRETS["paypal"], (), Certificates(ADDRESSES, "", fetch))
    receiver = Receiver("paypal", adapter=adapter)
    webhook = signed("paypal", denied())
    answers = receiver.begin(webhook)
    receiver.stream.work()
    assert answers == []

    def answered() -> bool:
        receiver.stream.work()
        return bool(answers)

    await until(answered)
    assert [answer.status for answer in answers] == [200]
    assert receiver.send(webhook).status == 200
    assert len(asked) == 1
    nothing = Certificates(ADDRESSES, "", lambda _: b"")
    with pytest.raises(Unready) as caught:
        nothing.at(webhook.headers[ADDRESS].decode(), NOW)
    done = asyncio.Event()
    assert caught.value.then is not None
    caught.value.then(done.set)
    await done.wait()
    other = Receiver("paypal", adapter=PayPal(SECRETS["paypal"], (), nothing))
    assert other.refusal(webhook) == (503, "verification_unavailable")
    assert other.counted() == {"unavailable": 1}


def test_a_denied_payment_becomes_everything_that_is_known_of_it(reading: Reading) -> None:
    """Amounts are decimals, codes PayPal's own."""
    event = reading.event(denied(payment_source={"card": {"brand": "VISA", "type": "CREDIT"}}))
    assert {name: text for name, text in event.items() if not name.endswith(("_hash", "_id"))} == {
        "event_type": "payment_failed",
        "event_timestamp": "2026-01-09T12:00:00Z",
        "processor": "paypal",
        "failure_category": "insufficient_funds",
        "retry_count": 0,
        "geo_bucket": "",
        "amount_bucket": "10-50",
        "system_source": "webhook",
        "payment_method_bucket": "credit_card",
        "channel": "online",
        "retry_result": "failed",
        "failure_origin": "issuer",
        "card_network": "visa",
        "network_response_code": "5120",
        "network_advice_code": "02",
        "currency": "EUR",
        "amount_minor": 4995,
    }


@pytest.mark.parametrize("code", CODES)
def test_published_codes_are_mapped(reading: Reading, code: str) -> None:
    """Each to a category."""
    (normal,) = reading.normals(denied(processor_response={"response_code": code}))
    assert json.loads(normal.event.data)["failure_category"] not in ("", UNKNOWN)
    assert normal.unmapped == ""


def test_the_sandbox_is_stored_and_never_scored(reading: Reading) -> None:
    """By its links, and by who has signed."""
    links = [{"href": "https://api.sandbox.paypal.com/v1/notifications/webhooks-events/WH-1", "rel": "self"}]
    assert reading.event(denied() | {"links": links})["event_type"] == "test"
    (payment,) = reading.adapter.read(
        Webhook(
            json.dumps(denied()).encode(), {ADDRESS: b"https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1"}
        )
    )
    assert not payment.live


def test_the_same_is_told_once_and_what_happens_again_again(reading: Reading) -> None:
    """Under another id of message it is the same; a subscription that fails a second time is another event."""
    failed = sample("paypal", "BILLING.SUBSCRIPTION.PAYMENT.FAILED")
    again = json.loads(json.dumps(failed).replace("2026-01-09", "2026-02-09"))
    ids = [reading.event(body)["event_id"] for body in (failed, failed | {"id": "WH-other"}, again)]
    assert ids[0] == ids[1] != ids[2]


def test_what_is_unreadable(reading: Reading) -> None:
    """A payment without an id; what is no payment may lack one."""
    with pytest.raises(Unreadable, match="has an id"):
        reading.payments({"event_type": "PAYMENT.CAPTURE.DENIED", "resource": {}})
    assert reading.payments({"event_type": "CATALOG.PRODUCT.CREATED"}) == []


def test_pinned_certificates(tmp_path: Path) -> None:
    """A file of them, or what is wrong with it."""
    assert len(PINNED.parse(str(TRIAL)) or ()) == 1
    file = tmp_path / "certificates.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for path, expected in ((str(file), "certificates in PEM"), (str(tmp_path / "no"), "can be read")):
        with pytest.raises(ValueError, match=expected):
            PINNED.parse(path)
    file.write_text("")
    with pytest.raises(ValueError, match="certificates in PEM"):
        PINNED.parse(str(file))


def test_the_body_is_signed_by_its_sum(reading: Reading) -> None:
    """As PayPal does: CRC-32 without a sign."""
    webhook = signed("paypal", denied())
    assert zlib.crc32(webhook.body) >= 0
    reading.adapter.verify(webhook, NOW)
    assert not SOURCE.is_secret("https://example.com/v1/webhooks/paypal")
