"""Export by webhook: batches of lines by HTTP, signed as Standard Webhooks has it."""

import gzip
import time
from collections.abc import Iterator, Mapping, Sequence
from math import inf

from payflux.errors import ExportFailed
from payflux.exporters import Batch, GroupDestination, GroupOpening, entry_of
from payflux.finding import Finding
from payflux.outgoing.patience import retry_after
from payflux.outgoing.post import Answer, NotSent, Place, hosts, post, web_address
from payflux.outgoing.signature import key_of, signed
from payflux.settings import Setting, Values, choice, flag, optional, words

TYPES = {"ndjson": "application/x-ndjson", "json": "application/json"}
GONE = 410
DENIED = {401, 403, 404, 405, 407, 421}
TOO_LARGE = 413
MOST_REFUSED = 100  # single lines, one after the other, before it is given up to find one that is taken

URL = optional("PAYFLUX_EXPORT_WEBHOOK_URL", web_address, "Where batches are sent to; required for `webhook`.")
FORMAT = Setting(
    "PAYFLUX_EXPORT_WEBHOOK_FORMAT",
    choice(*TYPES),
    "ndjson",
    "How lines are sent: a line each (ndjson), or one JSON array (json).",
)
GZIP = Setting("PAYFLUX_EXPORT_WEBHOOK_GZIP", flag, "true", "Whether bodies are compressed (Content-Encoding: gzip).")
PRIVATE = Setting(
    "PAYFLUX_EXPORT_WEBHOOK_PRIVATE",
    flag,
    "false",
    "Whether the address may be one of a private network or of this machine.",
)


def _secrets(text: str) -> tuple[bytes, ...]:
    found = tuple(map(key_of, words(text)))
    if len(found) > 2:
        raise ValueError("one secret, or two while they are rotated")
    return found


def _headers(text: str) -> dict[str, str]:
    found = {}
    for entry in words(text):
        name, colon, value = (part.strip() for part in entry.partition(":"))
        if not (colon and name.replace("-", "").isalnum() and value.isascii() and value.isprintable()):
            raise ValueError("name: value, separated by commas")
        found[name] = value
    return found


SECRETS = optional(
    "PAYFLUX_EXPORT_WEBHOOK_SECRETS",
    _secrets,
    "Live secrets that batches are signed with, the newest first: whsec_ and base64; two while they are rotated.",
    secret=True,
)
HEADERS = optional(
    "PAYFLUX_EXPORT_WEBHOOK_HEADERS",
    _headers,
    "Further headers, `name: value`, separated by commas; such as Authorization.",
    secret=True,
)


class WebhookExporter:
    """Sends batches, one at a time.

    Args:
        opening: the node's settings.
    """

    def __init__(self, opening: GroupOpening) -> None:
        values = opening.values
        self._place = Place(values[URL] or "", values[PRIVATE])
        self._array, self._zipped = values[FORMAT] == "json", values[GZIP]
        keys = values[SECRETS]
        self._keys, self._timeout = keys or (), opening.timeout
        self._headers = {"Content-Type": TYPES[values[FORMAT]], "User-Agent": "payflux"}
        if self._zipped:
            self._headers["Content-Encoding"] = "gzip"
        further = values[HEADERS]
        self._headers |= further or {}

    def deliver(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        """Send lines; see GroupExporter. What is refused for good is found by sending halves."""
        refused: dict[int, str] = {}
        waiting = [range(len(lines))]
        while waiting:
            places = waiting.pop()
            answer = self._send([lines[place] for place in places])
            if answer.taken:
                continue
            if len(places) > 1:
                half = len(places) // 2
                waiting += [places[half:], places[:half]]
                continue
            refused[places[0]] = answer.told()
            if len(refused) == places[0] + 1 == MOST_REFUSED:
                raise ExportFailed("all_refused", answer.told())
        return refused

    def _send(self, lines: Sequence[bytes]) -> Answer:
        """One request; its answer is a success, or says that something in it is refused for good."""
        body = b"[%b]" % b",".join(line[:-1] for line in lines) if self._array else b"".join(lines)
        if self._zipped:
            body = gzip.compress(body, 1, mtime=0)
        headers = dict(self._headers)
        if self._keys:
            headers |= signed(_identifier(lines), int(time.time()), body, self._keys)
        try:
            answer = post(self._place, body, headers, self._timeout)
        except NotSent as error:
            raise ExportFailed("denied" if error.refused else "unreachable", str(error)) from None
        _judge(answer)
        return answer

    def close(self) -> None:
        """Nothing is open between two batches."""


def _judge(answer: Answer) -> None:
    """Raise for an answer that says nothing of the lines."""
    if answer.status == GONE:
        raise ExportFailed("gone", f"{answer.told()}; start the node anew once it wants events again", wait=inf)
    if answer.status in DENIED or 300 <= answer.status < 400:
        raise ExportFailed("denied", answer.told())
    if answer.passing:
        raise ExportFailed("busy", answer.told(), wait=retry_after(answer.headers.get("retry-after"), time.time()))


def _identifier(lines: Sequence[bytes]) -> str:
    """Of a message: the entries it goes from and to, so that the same batch has the same one again."""
    return b"_".join((entry_of(lines[0]), entry_of(lines[-1]))).decode()


def _refuse(values: Values) -> Iterator[str]:
    if values[URL] is None:
        yield f"{URL.name}: expected a URL such as https://host/path"


def _look(values: Values) -> Iterator[Finding]:
    address = values[URL] or ""
    if not values[SECRETS]:
        fix = f"set {SECRETS.name}, and let the receiver verify it"
        yield Finding("export_webhook", "warn", f"batches to {hosts([address])} are not signed", fix)
    elif not address.startswith("https:"):
        yield Finding("export_webhook", "warn", f"batches go to {hosts([address])} in the clear", "use https")
    else:
        yield Finding("export_webhook", "pass", f"batches go to {hosts([address])}, signed")


DESTINATION = GroupDestination(
    WebhookExporter,
    "batches by HTTP, signed as Standard Webhooks has it",
    batch=Batch(1000, 1_048_576, 1),
    settings=(URL, FORMAT, GZIP, SECRETS, HEADERS, PRIVATE),
    refuse=_refuse,
    look=_look,
)
