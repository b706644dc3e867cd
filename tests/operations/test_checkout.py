"""Checkout: what Stripe is asked for, and what is answered and logged when it gives a session and when it does not."""

import asyncio
import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nodes
from payflux.errors import InvalidEvent, SettingsError
from payflux.http.messages import Request, Response
from payflux.http.router import Router
from payflux.ingest.gatekeeper import Gatekeeper
from payflux.ingest.token_bucket import BUCKETS, TokenBucket
from payflux.operations import checkout
from payflux.operations.checkout import Checkout, Offer, StripeSessions, email_of, masked
from payflux.settings import load
from payflux.telemetry.metrics import AUTH_DENIED, INGEST_REJECTED, Metrics, create_slab
from payflux.telemetry.results import REJECT_REASONS
from real_parts import MakeNode
from servers import until
from stripe_server import KEY as STRIPE_KEY
from stripe_server import PAGE, StripeServer, stripe_server

KEY = "key-0123456789"
JSON = {b"authorization": f"Bearer {KEY}".encode(), b"content-type": b"application/json"}
OpenSession = Callable[[str | None], str]
EMAIL = "alice.buyer@example.com"


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    """A server in Stripe's place."""
    with stripe_server() as server:
        yield server


class Shop:
    """Checkout in this process, behind a router."""

    def __init__(
        self, url: str, deadline: float = 10.0, burst: int = 100, open_session: OpenSession | None = None
    ) -> None:
        slab = create_slab(["ingest-0"], **{BUCKETS: 8})
        self.metrics = Metrics(slab, "ingest-0")
        gatekeeper = Gatekeeper([KEY], TokenBucket(1, burst, slab, alone=True))
        offer = Offer(STRIPE_KEY, url, "Early Access", 1234, "https://shop.example")
        open_session = open_session or StripeSessions(offer, seconds=5.0).open
        handler = Checkout(gatekeeper, self.metrics, open_session, deadline)
        self.router = Router({"/checkout": {"POST": handler}})

    async def post(self, body: bytes = b"", headers: dict[bytes, bytes] = JSON) -> Response:
        """The answer to one request."""
        request = Request("POST", "/checkout", "", headers, body, len(body))
        refusal = self.router.admit(request)
        if refusal is not None:
            return refusal
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.router.handle(request, answer.set_result)
        return await asyncio.wait_for(answer, 20)


def code(response: Response) -> tuple[int, str]:
    return response.status, json.loads(response.body)["code"]


async def test_a_session_is_asked_for_as_configured(stripe: StripeServer) -> None:
    """One call, form-encoded, with product, price, addresses and e-mail; its page is the answer."""
    response = await Shop(stripe.url).post(json.dumps({"email": EMAIL, "more": 1}).encode())
    assert (response.status, json.loads(response.body)) == (200, {"url": PAGE})
    [call] = stripe.calls
    assert call.path == "/v1/checkout/sessions"
    assert call.headers["Authorization"] == f"Bearer {STRIPE_KEY}"
    assert call.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert call.form == {
        "mode": "payment",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "1234",
        "line_items[0][price_data][product_data][name]": "Early Access",
        "success_url": "https://shop.example/success.html",
        "cancel_url": "https://shop.example/",
        "customer_email": EMAIL,
    }


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {b"authorization": JSON[b"authorization"]}),
        (b"", JSON),
        (b"{}", JSON),
        (b'{"other":true}', JSON | {b"content-type": b"Application/JSON; charset=utf-8"}),
    ],
)
async def test_the_email_is_optional(stripe: StripeServer, body: bytes, headers: dict[bytes, bytes]) -> None:
    """Without one Stripe is told of none, and an empty body needs no content type."""
    response = await Shop(stripe.url).post(body, headers)
    assert response.status == 200
    assert "customer_email" not in stripe.calls[0].form


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b" ", "invalid_json"),
        (b'{"email":"a@b.example","email":"c@d.example"}', "duplicate_member"),
        (b'{"email":null}', "invalid_email"),
        (b'{"email":7}', "invalid_email"),
        (b'{"email":""}', "invalid_email"),
        (b'{"email":"secret"}', "invalid_email"),
        (b'{"email":"secret@localhost"}', "invalid_email"),
        (b'{"email":"secret@example.com\\n"}', "invalid_email"),
        (b'{"email":"secret secret@example.com"}', "invalid_email"),
        (b'{"email":"secret@4111-1111-1111-1111.example"}', "invalid_email"),
        (b'{"email":"secret@' + b"a." * 130 + b'example"}', "invalid_email"),
    ],
)
async def test_a_bad_body_is_400_and_not_repeated(stripe: StripeServer, body: bytes, expected: str) -> None:
    """Each is named by its code, Stripe hears of none, and no answer holds what was sent."""
    response = await Shop(stripe.url).post(body)
    assert code(response) == (400, expected)
    assert b"secret" not in response.body
    assert stripe.calls == []


async def test_checks_come_in_the_order_of_the_contract(stripe: StripeServer) -> None:
    """Path, method, key, size, type, encoding, rate, JSON: of two faults the earlier one is answered."""
    shop = Shop(stripe.url, burst=1)
    assert (await shop.post(b"x", {})).status == 401
    assert (await shop.post(b"x" * 1_048_577, JSON | {b"content-type": b"text/plain"})).status == 413
    bad = JSON | {b"content-type": b"text/plain", b"content-encoding": b"gzip"}
    assert code(await shop.post(b"x", bad)) == (415, "unsupported_media_type")
    assert code(await shop.post(b"x", JSON | {b"content-encoding": b"gzip"})) == (415, "unsupported_encoding")
    assert (await shop.post(b"x")).status == 400
    limited = await shop.post(b"x")
    assert limited.status == 429
    assert b"Retry-After: 1\r\n" in limited.head
    wrong = shop.router.admit(Request("GET", "/checkout"))
    assert wrong is not None
    assert (wrong.status, b"Allow: POST\r\n" in wrong.head) == (405, True)


async def test_refused_keys_are_counted_and_refused_checkouts_are_no_events(stripe: StripeServer) -> None:
    """`auth_denied_total` tells of them; `ingest_rejected_total` stays about events."""
    shop = Shop(stripe.url)
    await shop.post(b"", {})
    await shop.post(b"x")
    assert shop.metrics.values[shop.metrics.slot(AUTH_DENIED, "missing")] == 1
    assert all(shop.metrics.values[shop.metrics.slot(INGEST_REJECTED, reason)] == 0 for reason in REJECT_REASONS)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"type": "invalid_request_error", "message": "No such thing: private", "code": "url_invalid"}),
        (401, {"type": "invalid_request_error", "message": "Invalid API Key: private"}),
        (402, {"type": "card_error", "message": "private"}),
        (429, {"type": "rate_limit_error", "message": "private"}),
        (500, {"type": "api_error", "message": "private"}),
    ],
)
async def test_errors_of_stripe_are_502_without_detail(
    stripe: StripeServer, capfd: pytest.CaptureFixture[str], status: int, error: dict[str, str]
) -> None:
    """Every error is `stripe_error` after a single call; the log tells kind and request, not message and address."""
    stripe.refuse(status, **error)
    response = await Shop(stripe.url).post(json.dumps({"email": EMAIL}).encode())
    assert code(response) == (502, "stripe_error")
    assert len(stripe.calls) == 1
    [line] = [json.loads(text) for text in capfd.readouterr().err.splitlines()]
    assert (line["msg"], line["code"], line["status"]) == ("checkout_failed", "stripe_error", status)
    assert (line["request_id"], line["email"]) == ("req_1", "a***@example.com")
    for secret in ("private", STRIPE_KEY, "alice"):
        assert secret not in response.body.decode() + json.dumps(line)


@pytest.mark.parametrize("body", [b"<html>", b'{"id":"cs_1","object":"checkout.session","url":null}'])
async def test_answers_that_are_no_session_are_502(stripe: StripeServer, body: bytes) -> None:
    """What is not JSON and what has no address count as Stripe's error too."""
    stripe.body = body
    assert code(await Shop(stripe.url).post()) == (502, "stripe_error")


async def test_an_unreachable_stripe_is_503_with_retry_after() -> None:
    """Nobody listens there."""
    with stripe_server() as gone:
        url = gone.url
    response = await Shop(url).post()
    assert code(response) == (503, "stripe_unreachable")
    assert b"Retry-After: 5\r\n" in response.head


async def test_a_slow_stripe_is_503_at_the_deadline_and_blocks_nothing(stripe: StripeServer) -> None:
    """While all threads and more requests wait, others are answered; in the end all are, and the next one works."""
    stripe.open.clear()
    shop = Shop(stripe.url, deadline=1.0)
    waiting = [asyncio.ensure_future(shop.post()) for _ in range(checkout.THREADS + 2)]
    assert code(await shop.post(b"x")) == (400, "invalid_json")
    assert not any(request.done() for request in waiting)
    assert {code(response) for response in await asyncio.gather(*waiting)} == {(503, "stripe_unreachable")}
    assert len(stripe.calls) <= checkout.THREADS
    stripe.open.set()
    assert (await shop.post()).status == 200


async def test_a_defect_costs_one_request(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever nobody thought of is answered with 500, and logged by its kind alone."""

    def broken(email: str | None) -> str:
        raise RuntimeError(email)

    response = await Shop("", open_session=broken).post(json.dumps({"email": EMAIL}).encode())
    assert code(response) == (500, "internal_error")
    line = json.loads(capfd.readouterr().err)
    assert (line["code"], line["error"]) == ("internal_error", "RuntimeError")
    assert EMAIL not in json.dumps(line)


def test_emails_are_masked() -> None:
    """The first letter and the domain are left."""
    assert masked(EMAIL) == "a***@example.com"


@given(st.emails(domains=st.sampled_from(["example.com", "mail.example.co.uk", "a-b.example"])))
def test_emails_in_use_are_accepted(address: str) -> None:
    """What is an address by RFC 5322, in its usual form, is one here, as long as the name is not too long."""
    assert email_of(json.dumps({"email": address}).encode()) == address


@given(st.text(max_size=40))
def test_what_is_accepted_has_one_at_and_no_blank(text: str) -> None:
    """Nothing gets through that could end a line or begin another field."""
    try:
        address = email_of(json.dumps({"email": text + "@example.com"}).encode())
    except InvalidEvent:
        return
    assert address is not None
    assert address.isascii()
    assert address.isprintable()
    assert address.count("@") == 1
    assert " " not in address


def problems(**environ: str) -> list[str]:
    try:
        load(checkout.SETTINGS, {"STRIPE_API_KEY": STRIPE_KEY} | environ, (checkout.check_checkout,))
    except SettingsError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PAYFLUX_CHECKOUT_ENABLED": "false", "STRIPE_API_KEY": ""},
        {"STRIPE_API_BASE": "http://127.0.0.1:12111"},
        {"STRIPE_API_BASE": "http://[::1]:12111/"},
        {"SITE_URL": "http://shop.example/de", "PRICE_CENTS": "50", "PRODUCT_NAME": "Prüfung 1"},
    ],
)
def test_good_settings(environ: dict[str, str]) -> None:
    """The defaults with a key, checkout off without one, and everything set."""
    assert problems(**environ) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIPE_API_KEY", ""),
        ("STRIPE_API_KEY", "pk_test_0123456789"),
        ("STRIPE_API_KEY", "sk_test_\u00fc"),
        ("STRIPE_API_BASE", "http://api.example"),
        ("STRIPE_API_BASE", "ftp://localhost"),
        ("PRICE_CENTS", "49"),
        ("PRICE_CENTS", "9.90"),
        ("PRODUCT_NAME", "x" * 251),
        ("SITE_URL", "shop.example"),
        ("SITE_URL", "https://"),
        ("SITE_URL", "https://shop.example:x"),
        ("SITE_URL", "https://shop.example/?a=b"),
        ("SITE_URL", "https://user@shop.example"),
    ],
)
def test_bad_settings(name: str, value: str) -> None:
    """One line for it, which begins with the variable's name and never holds the key."""
    [line] = problems(**{name: value})
    assert line.startswith(name)
    assert name != "STRIPE_API_KEY" or not value or value not in line


def test_checkout_without_a_key_says_how_to_switch_it_off() -> None:
    """The seed's first line gives a key; whoever sells nothing is told the switch."""
    [line] = problems(STRIPE_API_KEY="")
    assert line.startswith("STRIPE_API_KEY: expected while checkout is on (default); PAYFLUX_CHECKOUT_ENABLED=false")
    assert problems(STRIPE_API_KEY="", PAYFLUX_CHECKOUT_ENABLED="false") == []


@pytest.mark.process
def test_a_node_sells(make_node: MakeNode, stripe: StripeServer, directory: Path) -> None:
    """A real node opens sessions over one connection; without a key it does not, and switched off it has no path."""
    node = make_node(
        {
            "PAYFLUX_CHECKOUT_ENABLED": "true",
            "STRIPE_API_KEY": STRIPE_KEY,
            "STRIPE_API_BASE": stripe.url,
            "PRICE_CENTS": "4200",
            "SITE_URL": "https://shop.example/",
        }
    )
    key = {"Authorization": f"Bearer {nodes.KEY}"}
    body = json.dumps({"email": EMAIL}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    for _ in range(3):
        connection.request("POST", "/checkout", body, key | {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())) == (200, {"url": PAGE})
    connection.close()
    assert node.request("POST", "/checkout", b"", key)[0] == 200
    assert node.request("POST", "/checkout", body)[0] == 401
    assert [call.form["line_items[0][price_data][unit_amount]"] for call in stripe.calls] == ["4200"] * 4
    assert stripe.calls[0].form["success_url"] == "https://shop.example/success.html"
    assert stripe.calls[0].form["line_items[0][price_data][product_data][name]"] == "PayFlux Early Access"
    until(lambda: len(node.logged("checkout_opened")) == 4, "the log")
    assert "alice" not in node.log_file.read_text()
    assert STRIPE_KEY not in node.log_file.read_text()
    assert not list(directory.rglob("telemetry_id"))
    off = make_node()
    assert off.request("POST", "/checkout", body, key)[0] == 404
