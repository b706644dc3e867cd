"""Signatures: codes over bytes, several secrets, and a time that must be near."""

import hashlib
import hmac
import math

import pytest

from payflux.webhooks import Unverified
from payflux.webhooks.signatures import check_code, check_time, hex_code


def test_a_code_is_that_of_the_standard() -> None:
    """RFC 4231, test case 2, and the same as the standard library's slower way."""
    expected = b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert hex_code(b"Jefe", b"what do ya want for nothing?") == expected
    assert hex_code(b"k", b"x", "sha1") == hmac.new(b"k", b"x", hashlib.sha1).hexdigest().encode()


def test_any_live_secret_will_do() -> None:
    """The first, the last, and one of several codes; none is missing, others are wrong."""
    for secret in (b"old", b"new"):
        check_code([b"00", hex_code(secret, b"body")], [b"old", b"new"], lambda one: hex_code(one, b"body"))
    for given, code in (([], "signature_missing"), ([hex_code(b"stranger", b"body"), b"\xff"], "signature_wrong")):
        with pytest.raises(Unverified, match=code):
            check_code(given, [b"old", b"new"], lambda one: hex_code(one, b"body"))


@pytest.mark.parametrize("stamp", [699.9, 1300.1, math.nan, math.inf, -math.inf])
def test_a_time_far_from_ours_is_refused(stamp: float) -> None:
    """Before or after, and what is no number."""
    with pytest.raises(Unverified, match="timestamp_outside"):
        check_time(stamp, 1000.0)


def test_a_time_near_ours_is_taken() -> None:
    """To the second."""
    for stamp in (700.0, 1000.0, 1300.0):
        check_time(stamp, 1000.0)
