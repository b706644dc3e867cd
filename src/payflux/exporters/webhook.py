"""Export by webhook: batches of lines by HTTP, signed as Standard Webhooks has it."""

import gzip
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from math import inf

import msgspec

from payflux.errors import ExportFailed
from payflux.exporters import Batch, GroupDestination, GroupOpening, Tls, entry_of
from payflux.finding import Finding
from payflux.outgoing.patience import retry_after
from payflux.outgoing.post import MOST_READ, Answer, NotSent, Place, hosts, post, web_address
from payflux.outgoing.signature import key_of, signed
from payflux.settings import Setting, Values, choice, flag, optional, words

TYPES = {"ndjson": "application/x-ndjson", "json": "application/json", "bulk": "application/x-ndjson"}
GONE = 410
CONFLICT = 409
DENIED = {401, 403, 404, 405, 407, 421}
MOST_ANSWERED = 8_388_608  # bytes of an answer that says something of each line
MOST_REFUSED = 100  # single lines, one after the other, before it is given up to find one that is taken

URL = optional("PAYFLUX_EXPORT_WEBHOOK_URL", web_address, "Where batches are sent to; required for `webhook`.")
FORMAT = Setting(
    "PAYFLUX_EXPORT_WEBHOOK_FORMAT",
    choice(*TYPES),
    "ndjson",
    "How lines are sent: a line each (ndjson), one JSON array (json), or as Elasticsearch's bulk API has it (bulk).",
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


class _Error(msgspec.Struct):
    type: str = ""
    reason: str = ""


class _Item(msgspec.Struct):
    status: int
    error: _Error = msgspec.field(default_factory=_Error)


class _Items(msgspec.Struct):
    """An answer of a bulk request; each item has one member, which is named after the action."""

    errors: bool
    items: list[dict[str, _Item]] = []


_items = msgspec.json.Decoder(_Items).decode


class WebhookExporter:
    """Sends batches, one at a time.

    Args:
        opening: the node's settings.
    """

    def __init__(self, opening: GroupOpening) -> None:
        values = opening.values
        self._place = Place(values[URL] or "", values[PRIVATE], _trusting(opening.tls))
        self._format, self._zipped = values[FORMAT], values[GZIP]
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
                refused |= self._refused_within(answer, places)
                continue
            if len(places) > 1:
                half = len(places) // 2
                waiting += [places[half:], places[:half]]
                continue
            refused[places[0]] = answer.told()
            if len(refused) == places[0] + 1 == MOST_REFUSED:
                raise ExportFailed("all_refused", answer.told())
        return refused

    def _refused_within(self, answer: Answer, places: Sequence[int]) -> dict[int, str]:
        """What a success says of each line, where it does: why some were refused for good."""
        if self._format != "bulk":
            return {}
        try:
            found = _items(answer.body)
        except msgspec.DecodeError as error:
            raise ExportFailed("write", f"{answer.told()} is no answer to a bulk request: {error}") from None
        if not found.errors:
            return {}
        items = [one for item in found.items for one in item.values()]
        if len(items) != len(places):
            raise ExportFailed("write", f"an answer of {len(items)} items to a bulk request of {len(places)}")
        told = [Answer(one.status, {}, f"{one.error.type}: {one.error.reason}".encode()) for one in items]
        for one in told:
            _judge(one)
        # Its id is that of the event: where there is a document of it, the event was sent before.
        odd = (pair for pair in zip(places, told, strict=True) if not pair[1].taken and pair[1].status != CONFLICT)
        return {place: one.told() for place, one in odd}

    def _send(self, lines: Sequence[bytes]) -> Answer:
        """One request; its answer is a success, or says that something in it is refused for good."""
        body = _body(lines, self._format)
        if self._zipped:
            body = gzip.compress(body, 1, mtime=0)
        headers = dict(self._headers)
        if self._keys:
            headers |= signed(_identifier(lines), int(time.time()), body, self._keys)
        most = MOST_ANSWERED if self._format == "bulk" else MOST_READ
        try:
            answer = post(self._place, body, headers, self._timeout, most)
        except NotSent as error:
            raise ExportFailed("denied" if error.refused else "unreachable", str(error)) from None
        _judge(answer)
        return answer

    def close(self) -> None:
        """Nothing is open between two batches."""


def _trusting(tls: Tls) -> ssl.SSLContext:
    """Made once: it holds the certificates of a hundred authorities."""
    context = ssl.create_default_context(cafile=tls.authorities or None)
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


def _body(lines: Sequence[bytes], form: str) -> bytes:
    if form == "json":
        return b"[%b]" % b",".join(line[:-1] for line in lines)
    if form == "bulk":
        return b"".join(b'{"create":{"_id":"%b"}}\n%b' % (_event_id(line), line) for line in lines)
    return b"".join(lines)


def _event_id(line: bytes) -> bytes:
    _, _, rest = line.partition(b'"event_id":"')
    return rest[: rest.index(b'"')]


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
