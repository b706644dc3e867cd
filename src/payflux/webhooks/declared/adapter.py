"""The adapter that a file describes, as a `Source` like those written in Python."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from payflux.http.listeners import HTTP_ADDR
from payflux.settings import Values
from payflux.webhooks import Opening, Payment, Source, Webhook
from payflux.webhooks.declared.members import Members
from payflux.webhooks.declared.schemes import Scheme, Unsigned
from payflux.webhooks.declared.table import TOP, Mistake, Sheet, members_of, scheme_of
from payflux.webhooks.reading import read_json

ACCEPTED = '{"status":"accepted"}'
MOST_BYTES = 1 << 20
_decoder = msgspec.json.Decoder()


@dataclass(frozen=True)
class Declared:
    """The adapter.

    Attributes:
        scheme: how the processor proves itself.
        members: what stands where.
        secrets: the live ones.
    """

    scheme: Scheme
    members: Members
    secrets: Sequence[bytes]

    def verify(self, webhook: Webhook, now: float) -> None:
        """By the scheme of the file."""
        self.scheme.verify(webhook, self.secrets, now)

    def read(self, webhook: Webhook) -> Iterator[Payment]:
        """By the expressions of the file."""
        return self.members.payments(read_json(_decoder, webhook.body))


def examine(text: str) -> tuple[Source, list[Mistake]]:
    """Read the text of a file.

    Args:
        text: in TOML.

    Returns:
        The source it describes, to be used only without mistakes; and these, by line.
    """
    sheet = Sheet(text)
    sheet.only("", sheet.top, TOP)
    told = sheet.text("", sheet.top, "help", needed=bool(sheet.top))
    days = sheet.number("", sheet.top, "days", 3, (1, 60))
    status = sheet.number("", sheet.top, "accepted_status", 200, (200, 299))
    body = sheet.text("", sheet.top, "accepted_body", ACCEPTED)
    scheme, members = scheme_of(sheet), members_of(sheet)

    def make(opening: Opening) -> Declared:
        return Declared(scheme, members, [secret.encode() for secret in opening.secrets])

    source = Source(
        make,
        told,
        secret=scheme.secret,
        is_secret=scheme.is_secret,
        sign=scheme.sign,
        signed_by=scheme.told,
        days=days,
        accepted=(status, body.encode()),
    )
    if isinstance(scheme, Unsigned):
        source = replace(source, refuse=_exposed, unsigned=True)
    return source, sorted(sheet.mistakes)


def _exposed(values: Values) -> Iterable[str]:
    """Unsigned webhooks are taken only where the world cannot send any."""
    host = values[HTTP_ADDR][0]
    if not is_private(host):
        yield (
            f"{HTTP_ADDR.name}={values.text(HTTP_ADDR)!r}: expected a private address such as 127.0.0.1:8080 or "
            "10.0.0.5:8080, as webhooks are taken unsigned"
        )


def is_private(host: str) -> bool:
    """Whether an address to listen on is one that the world does not reach; all addresses at once are none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_private and not address.is_unspecified


def source_of(path: str) -> Source:
    """The source that a file describes.

    Args:
        path: of the file.

    Raises:
        ValueError: it cannot be read, or not without mistakes; the text completes "expected …".
    """
    source, mistakes = examine(text_of(path))
    if mistakes:
        first, more = mistakes[0], len(mistakes) - 1
        rest = f", and {more} more" if more else ""
        raise ValueError(
            f"an adapter without mistakes; {path}:{first.line}: {first.what}{rest} (`payflux webhooks lint {path}`)"
        )
    return source


def text_of(path: str) -> str:
    """The text of a file.

    Raises:
        ValueError: it cannot be read; the text completes "expected …".
    """
    try:
        with Path(path).open("rb") as file:
            data: Any = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError(f"a file of at most {MOST_BYTES:,} bytes")
        return str(data, "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} to be text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path} to be a file that can be read ({error.strerror})") from None
