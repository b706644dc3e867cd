"""A webhook of one's own: JSON, signed as Standard Webhooks has it, to a public address unless others are allowed."""

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from payflux.alerts import Kind, Notice, Request, Taken
from payflux.alerts.message import as_data
from payflux.alerts.sending import send
from payflux.outgoing.post import web_address
from payflux.outgoing.signature import key_of, signed
from payflux.settings import Setting, Values, flag, optional

MOST_SECRETS = 2


def _keys(text: str) -> tuple[bytes, ...]:
    found = tuple(key_of(part.strip()) for part in text.split(","))
    if len(found) > MOST_SECRETS:
        raise ValueError("one secret, or two while they are rotated, separated by a comma")
    return found


URL = optional("PAYFLUX_ALERT_WEBHOOK_URL", web_address, "Where incidents are sent to, one at a time.")
SECRETS = optional(
    "PAYFLUX_ALERT_WEBHOOK_SECRETS",
    _keys,
    "Secrets of the signature (Standard Webhooks, `whsec_...`); two while they are rotated, the newer first.",
    secret=True,
)
PRIVATE = Setting(
    "PAYFLUX_ALERT_WEBHOOK_PRIVATE",
    flag,
    "false",
    "Whether the webhook may lie in a private network or on this machine.",
)


class Webhook:
    """One address."""

    def __init__(self, url: str, keys: Sequence[bytes], *, private: bool, now: Callable[[], float] = time.time) -> None:
        self._url, self._keys, self._private, self._now = url, tuple(keys), private, now

    def requests(self, notice: Notice) -> list[Request]:
        """One message."""
        body = msgspec.json.encode({"type": f"incident.{notice.kind}", "data": as_data(notice)})
        return [Request(self._url, {"Content-Type": "application/json"}, body)]

    def send(self, notice: Notice) -> Taken:
        """Send it; the same news has the same id whenever it is sent again."""
        (request,) = self.requests(notice)
        identifier = f"{notice.incident.id}.{notice.kind}.{notice.incident.severity}"
        headers = {**request.headers, **signed(identifier, int(self._now()), request.body, self._keys)}
        answer = send(msgspec.structs.replace(request, headers=headers), private=self._private)
        return Taken(answer.told())


def _make(values: Values) -> Webhook:
    keys = values[SECRETS]
    return Webhook(values[URL] or "", keys or (), private=values[PRIVATE])


def _refuse(values: Values) -> Iterable[str]:
    if not values[URL]:
        yield f"{URL.name}: expected a URL such as https://host/path"
    if not values[SECRETS]:
        yield f"{SECRETS.name}: expected a secret to sign with, whsec_ and base64 (openssl rand -base64 32)"


KIND = Kind(_make, "a webhook of your own, signed", (URL, SECRETS, PRIVATE), _refuse)
