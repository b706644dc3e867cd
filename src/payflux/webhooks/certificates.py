"""Certificates that a processor signs with: fetched once from where it publishes them, checked, and kept.

The address comes with a webhook that nothing proves yet, so anybody may have written it: only addresses of the
processor are asked, over TLS, without following anybody elsewhere, one at a time, and a failure is remembered.
`cryptography` is imported when it is used: most nodes have no such processor.
"""

import asyncio
import http.client
import re
import ssl
import time
import urllib.parse
from collections.abc import Callable
from functools import partial
from typing import Any

from payflux.log import log
from payflux.webhooks import Unready, Unverified

MOST = 16
WAITERS = 256
FETCH_SECONDS = 5.0
AGAIN_SECONDS = 60.0
"""How long an address that gave nothing is not asked again."""
MOST_BYTES = 1 << 16

Fetch = Callable[[str], bytes]


def fetched(url: str) -> bytes:
    """What stands at an address; no redirection is followed.

    Raises:
        OSError: nothing does.
    """
    place = urllib.parse.urlsplit(url)
    context = ssl.create_default_context()
    connection = http.client.HTTPSConnection(place.hostname or "", timeout=FETCH_SECONDS, context=context)
    try:
        connection.request("GET", place.path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(f"it answers {answer.status}")
        return answer.read(MOST_BYTES)
    except http.client.HTTPException as error:
        raise OSError(type(error).__name__) from None
    finally:
        connection.close()


class Certificate:
    """One certificate with an RSA key.

    Args:
        pem: the text of it; of a chain the first counts.
        holder: what the common name of whoever holds it ends with; empty: anything.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, pem: bytes, holder: str = "") -> None:
        from cryptography import x509  # noqa: PLC0415 - see the module's documentation
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415 - likewise

        found = x509.load_pem_x509_certificates(pem)[0]
        names = [str(one.value) for one in found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        key = found.public_key()
        if not isinstance(key, RSAPublicKey) or not any(name.endswith(holder) for name in names):
            raise ValueError("a certificate of another kind or holder")
        self._key: Any = key
        self._from, self._to = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()

    def is_valid(self, now: float) -> bool:
        """Whether it may be used at a time, in Unix seconds."""
        return self._from <= now <= self._to

    def has_signed(self, signature: bytes, signed: bytes) -> bool:
        """Whether it is the right signature: RSA with SHA-256, PKCS #1 version 1.5 (RFC 8017 section 8.2)."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - see the module's documentation
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - likewise
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - likewise

        try:
            self._key.verify(signature, signed, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


class Certificates:
    """Those of one processor, by address.

    Args:
        allowed: the addresses that may be asked.
        holder: what the common name of each ends with.
        fetch: asks one, in a thread.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        allowed: re.Pattern[str],
        holder: str,
        fetch: Fetch = fetched,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed, self._holder, self._fetch, self._clock = allowed, holder, fetch, clock
        self._known: dict[str, Certificate] = {}
        self._failed: dict[str, float] = {}
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    def at(self, url: str, now: float) -> Certificate:
        """The certificate at an address.

        Raises:
            Unverified: the processor has none there.
            Unready: it has to be fetched first, or could not be.
        """
        if not self._allowed.fullmatch(url):
            raise Unverified("signature_wrong")
        known = self._known.get(url)
        if known is not None and known.is_valid(now):
            return known
        busy = bool(self._waiting) and len(self._waiting.get(url, [()] * WAITERS)) >= WAITERS
        failed = self._failed.get(url)
        if busy or (failed is not None and self._clock() - failed < AGAIN_SECONDS):
            raise Unready(None)
        raise Unready(partial(self._then, url))

    def _then(self, url: str, call: Callable[[], None]) -> None:
        """Call when it is there, or is known not to be."""
        if url in self._waiting:
            self._waiting[url].append(call)
            return
        self._waiting[url] = [call]
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, self._fetch, url).add_done_callback(partial(self._came, url))

    def _came(self, url: str, future: "asyncio.Future[bytes]") -> None:
        try:
            found = Certificate(future.result(), self._holder)
            self._known = dict([*self._known.items()][1 - MOST :]) | {url: found}
            self._failed.pop(url, None)
        except (OSError, ValueError) as error:
            self._failed = dict([*self._failed.items()][1 - MOST :]) | {url: self._clock()}
            log("warning", "webhook_certificate_unavailable", detail=str(error)[:200])
        for call in self._waiting.pop(url):
            call()
