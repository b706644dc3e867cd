"""Who may send: keys, compared in constant time."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from payflux.ingest.token_bucket import TokenBucket
from payflux.settings import Values, optional, words

API_KEYS = optional(
    "PAYFLUX_API_KEYS", words, "Valid keys, separated by commas; several at once allow rotation.", secret=True
)


def _one_key(text: str) -> tuple[str, ...]:
    if "," in text:
        raise ValueError("one key without commas; PAYFLUX_API_KEYS takes several")
    return (text,)


API_KEY = optional(
    "PAYFLUX_API_KEY",
    _one_key,
    "One key, used when PAYFLUX_API_KEYS is unset. One of the two is required.",
    secret=True,
)


def _token(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("printable ASCII characters without blanks")
    return text


METRICS_TOKEN = optional(
    "PAYFLUX_METRICS_TOKEN", _token, "Whoever reads /metrics has to send this as bearer token.", secret=True
)
READ_KEYS = optional(
    "PAYFLUX_READ_KEYS",
    words,
    "Keys that may read /v1/risk and /v1/incidents and nothing else, separated by commas; API keys may as well.",
    secret=True,
)
_BEARER = b"bearer "


def check_a_key(values: Values) -> list[str]:
    """The rule that there is a key."""
    return [] if keys_of(values) else ["PAYFLUX_API_KEYS (or PAYFLUX_API_KEY): expected at least one key, none is set"]


def check_keys(values: Values) -> list[str]:
    """The rule that each key can stand in a header."""
    sets: dict[str, tuple[str, ...]] = {"PAYFLUX_API_KEYS" if values[API_KEYS] else "PAYFLUX_API_KEY": keys_of(values)}
    sets["PAYFLUX_READ_KEYS"] = read_keys_of(values)
    return [
        f"{name}: expected keys of printable ASCII characters without blanks, one is not (value masked)"
        for name, keys in sets.items()
        if not all(map(_can_be_sent, keys))
    ]


def _can_be_sent(key: str) -> bool:
    return key.isascii() and key.isprintable() and " " not in key


def read_keys_of(values: Values) -> tuple[str, ...]:
    """The configured keys that may only read."""
    return values[READ_KEYS] or ()


def keys_of(values: Values) -> tuple[str, ...]:
    """The configured keys, each once."""
    several, one = values[API_KEYS], values[API_KEY]
    return tuple(dict.fromkeys(several or one or ()))


class Gatekeeper:
    """Tells whose key a request carries.

    Args:
        keys: the valid ones.
        bucket: their rates.
    """

    def __init__(self, keys: Sequence[str], bucket: TokenBucket) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]
        self.bucket = bucket

    def identify(self, authorization: bytes | None, connection: dict[str, Any]) -> int | None:
        """Which key a header holds.

        Every key is compared, with its digest, so that the time says nothing about any of them. What a connection
        proved before is compared in constant time too.

        Args:
            authorization: the header's value: `Bearer` in any letter case, one blank, the key.
            connection: where the answer is remembered for the connection's next request.

        Returns:
            The key's number; None when it is missing or wrong.
        """
        if authorization is None:
            return None
        proved = connection.get("authorization")
        if proved is not None and hmac.compare_digest(proved[0], authorization):
            number: int = proved[1]
            return number
        if authorization[:7].lower() != _BEARER:
            return None
        digest = hashlib.sha256(authorization[7:]).digest()
        found = None
        for index, known in enumerate(self._digests):
            if hmac.compare_digest(digest, known):
                found = index
        if found is not None:
            connection["authorization"] = (authorization, found)
        return found
