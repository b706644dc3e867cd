"""`POST /checkout`: a Stripe Checkout session for one product. The buyer pays on Stripe's page, never here.

The library of Stripe is an extra, costs a third of a second to import and blocks while it talks: it is imported when
the first session is asked for, and used in threads of its own alone.
"""

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import msgspec

from payflux.client.card_numbers import contains_pan
from payflux.errors import FieldError, InvalidEvent, PayfluxError
from payflux.event.rules import parse
from payflux.http.limits import INTERNAL_ERROR
from payflux.http.messages import Request, Respond, Response, problem
from payflux.ingest.admission import JSON_TYPES, Admission
from payflux.ingest.answers import invalid, too_fast
from payflux.ingest.gatekeeper import Gatekeeper
from payflux.log import log
from payflux.settings import Setting, Values, flag, integer, optional
from payflux.telemetry.metrics import Metrics

if TYPE_CHECKING:  # not ours: it takes half a second to import, so that is done by who sells
    from stripe import StripeClient
    from stripe.params.checkout import SessionCreateParams
    from stripe.params.checkout import SessionCreateParamsLineItemPriceData as PriceData

DEADLINE_SECONDS = 10.0
"""How long a request for a session may take, waiting for a thread included."""
THREADS = 4
EMAIL_LIMIT = 254
"""Characters; RFC 5321 section 4.5.3.1.3, without the angle brackets."""
EMAIL = (
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+"
)
"""A valid e-mail address as HTML forms have it (WHATWG HTML section 4.10.5.1.5), with a dot in the domain."""

STRIPE_ERROR = problem(502, "stripe_error", "Stripe refused to open a checkout session; the log says why")
STRIPE_UNREACHABLE = problem(
    503, "stripe_unreachable", "Stripe did not answer in time; try again", headers=[(b"Retry-After", b"5")]
)
_EMAIL = re.compile(EMAIL)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _stripe_key(text: str) -> str:
    if not text.startswith("sk_") or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a secret key of Stripe, which starts with sk_")
    return text


def _product(text: str) -> str:
    if len(text) > 250 or not text.isprintable():
        raise ValueError("at most 250 printable characters")
    return text


def _base(text: str) -> str:
    wanted = "an address such as https://example.com, without user, query and fragment"
    try:
        parts = urlsplit(text)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(wanted) from None
    if not valid or not text.isprintable() or any(character in text for character in " ?#@"):
        raise ValueError(wanted)
    return text.rstrip("/")


def _private_base(text: str) -> str:
    base = _base(text)
    parts = urlsplit(base)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise ValueError("an https address, as the key of Stripe is sent there")
    return base


CHECKOUT_ENABLED = Setting("PAYFLUX_CHECKOUT_ENABLED", flag, "true", "Whether `/checkout` is on.")
STRIPE_API_KEY = optional(
    "STRIPE_API_KEY", _stripe_key, "Secret key of Stripe; required while checkout is on.", secret=True
)
STRIPE_API_BASE = Setting("STRIPE_API_BASE", _private_base, "https://api.stripe.com", "Where the API of Stripe is.")
PRICE_CENTS = Setting(
    "PRICE_CENTS", integer(50, 99_999_999), "9900", "Checkout: the price in cents of a US dollar; Stripe's limits."
)
PRODUCT_NAME = Setting("PRODUCT_NAME", _product, "PayFlux Early Access", "Checkout: what the buyer sees it called.")
SITE_URL = Setting(
    "SITE_URL", _base, "https://payflux.dev", "Checkout: where Stripe sends the buyer to, `/success.html` or `/`."
)
SETTINGS = (CHECKOUT_ENABLED, STRIPE_API_KEY, STRIPE_API_BASE, PRICE_CENTS, PRODUCT_NAME, SITE_URL)
"""Every setting of checkout."""


def check_checkout(values: Values) -> list[str]:
    """The rule that checkout, while it is on, has a key."""
    if not values[CHECKOUT_ENABLED] or values[STRIPE_API_KEY] is not None:
        return []
    set_by = "" if values.is_set(CHECKOUT_ENABLED) else " (default)"
    return [f"STRIPE_API_KEY: expected while checkout is on{set_by}; {CHECKOUT_ENABLED.name}=false switches it off"]


class CheckoutFailed(PayfluxError):
    """Stripe gave no session.

    `code` is `stripe_error` or `stripe_unreachable`; `facts` are what the log may say of it.
    """

    def __init__(self, code: str, **facts: object) -> None:
        super().__init__(code)
        self.code, self.facts = code, facts


class Offer(NamedTuple):
    """What is sold, and through which account.

    Attributes:
        api_key: of Stripe.
        api_base: where its API is.
        product: its name.
        cents: its price in cents of a US dollar.
        site: where the buyer returns to, without a slash at its end.
    """

    api_key: str
    api_base: str
    product: str
    cents: int
    site: str


def offer_of(values: Values) -> Offer:
    """The configured offer."""
    return Offer(
        values[STRIPE_API_KEY] or "",
        values[STRIPE_API_BASE],
        values[PRODUCT_NAME],
        values[PRICE_CENTS],
        values[SITE_URL],
    )


class StripeSessions:
    """Opens sessions at Stripe; blocks while it does, so it is called in threads.

    Args:
        offer: what the sessions are for.
        seconds: how long connecting may take, and each wait for an answer.
    """

    def __init__(self, offer: Offer, seconds: float = DEADLINE_SECONDS) -> None:
        self._offer, self._seconds = offer, seconds

    @cached_property
    def _client(self) -> "StripeClient":
        import stripe  # noqa: PLC0415 - see the module's documentation

        stripe.enable_telemetry = False  # it would keep an id in a file of the user's, and send it
        return stripe.StripeClient(
            self._offer.api_key,
            base_addresses={"api": self._offer.api_base},
            max_network_retries=0,  # the client is told to try again; a session it never hears of helps nobody
            http_client=stripe.RequestsClient(timeout=self._seconds),
        )

    def open(self, email: str | None) -> str:
        """Open a session.

        Args:
            email: what Stripe's page fills in for the buyer; None for nothing.

        Returns:
            The address of Stripe's page.

        Raises:
            CheckoutFailed: there is no session, or none that is known of.
        """
        client = self._client
        from stripe import APIConnectionError, StripeError  # noqa: PLC0415 - see the module's documentation

        try:
            url = client.v1.checkout.sessions.create(self._params(email)).url
        except APIConnectionError:
            raise CheckoutFailed("stripe_unreachable", error="APIConnectionError") from None
        except StripeError as error:
            facts = {"status": error.http_status, "stripe_code": error.code, "request_id": error.request_id}
            raise CheckoutFailed("stripe_error", error=type(error).__name__, **facts) from None
        if not url:
            raise CheckoutFailed("stripe_error", error="a session without url")
        return url

    def _params(self, email: str | None) -> "SessionCreateParams":
        offer = self._offer
        price: PriceData = {"currency": "usd", "unit_amount": offer.cents, "product_data": {"name": offer.product}}
        params: SessionCreateParams = {
            "mode": "payment",
            "line_items": [{"price_data": price, "quantity": 1}],
            "success_url": f"{offer.site}/success.html",
            "cancel_url": f"{offer.site}/",
        }
        if email is not None:
            params["customer_email"] = email
        return params


class Checkout:
    """Answers `POST /checkout` with the address of a new session.

    Args:
        gatekeeper: knows the keys, which share their rate with the events.
        metrics: where refused keys are counted.
        open_session: blocks until Stripe has answered; see `StripeSessions.open`.
        deadline: seconds until the request is answered without Stripe.
    """

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        metrics: Metrics,
        open_session: Callable[[str | None], str],
        deadline: float = DEADLINE_SECONDS,
    ) -> None:
        self._admission = Admission(gatekeeper, metrics, JSON_TYPES, _uncounted)
        self._take = gatekeeper.bucket.take
        self._open, self._deadline = open_session, deadline
        self._threads = ThreadPoolExecutor(THREADS, "checkout")
        self._tasks: set[asyncio.Task[None]] = set()

    def admit(self, request: Request) -> Response | None:
        """Judge a request by its head; without a body it needs no content type."""
        refusal = self._admission.admit(request)
        return None if refusal is self._admission.bad_type and request.content_length == 0 else refusal

    def handle(self, request: Request, respond: Respond) -> None:
        """Answer with the address of a new session, or say why there is none."""
        wait = self._take(self._admission.key(request), 1)
        if wait:
            respond(too_fast(wait))
            return
        try:
            email = email_of(request.body)
        except InvalidEvent as error:
            respond(invalid(error))
            return
        task = asyncio.get_running_loop().create_task(self._sell(email, respond))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sell(self, email: str | None, respond: Respond) -> None:
        started = time.monotonic()
        buyer = masked(email) if email is not None else None
        try:
            url = await self._session(email)
        except CheckoutFailed as error:
            log("error", "checkout_failed", code=error.code, email=buyer, **error.facts)
            respond(STRIPE_ERROR if error.code == "stripe_error" else STRIPE_UNREACHABLE)
        except Exception as error:  # noqa: BLE001 - a defect costs one request, which is answered
            log("error", "checkout_failed", code="internal_error", email=buyer, error=type(error).__name__)
            respond(INTERNAL_ERROR)
        else:
            log("info", "checkout_opened", email=buyer, seconds=round(time.monotonic() - started, 3))
            respond(Response(200, msgspec.json.encode({"url": url})))

    async def _session(self, email: str | None) -> str:
        session = asyncio.get_running_loop().run_in_executor(self._threads, self._open, email)
        try:
            return await asyncio.wait_for(session, self._deadline)
        except TimeoutError:
            raise CheckoutFailed("stripe_unreachable", error="DeadlineExceeded") from None


def _uncounted(reason: str, response: Response) -> Response:
    """Pass a refusal on: what is counted is refused events, and this is none."""
    del reason
    return response


def email_of(body: bytes) -> str | None:
    """The buyer's e-mail address, if the request has one.

    Args:
        body: empty, or a JSON object; members other than `email` are ignored.

    Raises:
        InvalidEvent: with the code `invalid_json`, `duplicate_member` or `invalid_email`; never holds the address.
    """
    members = parse(body, "the body") if body else {}
    if "email" not in members:
        return None
    email = members["email"]
    if (
        not isinstance(email, str)
        or len(email) > EMAIL_LIMIT
        or not _EMAIL.fullmatch(email)
        or contains_pan(email)  # its domain is logged
    ):
        message = f"email must be an e-mail address of at most {EMAIL_LIMIT} characters"
        raise InvalidEvent("invalid_email", (FieldError("email", "invalid_email", message),))
    return email


def masked(email: str) -> str:
    """An e-mail address as it may be logged: `a***@example.com`."""
    name, _, domain = email.partition("@")
    return f"{name[:1]}***@{domain}"
