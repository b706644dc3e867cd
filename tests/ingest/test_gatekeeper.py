"""Keys: what counts as one, and which settings name them."""

import hmac
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.errors import SettingsError
from payflux.ingest.gatekeeper import API_KEY, API_KEYS, READ_KEYS, Gatekeeper, check_a_key, check_keys, keys_of
from payflux.ingest.token_bucket import BUCKETS, TokenBucket
from payflux.settings import load
from payflux.telemetry.slab import Slab

PROPERTY = settings(deadline=None, max_examples=80)
KEYS = ("first-key-0123456789", "second-key-0123456789")


@pytest.fixture
def slab() -> Iterator[Slab]:
    """Room for the buckets of two keys."""
    slab = Slab.create({BUCKETS: 16})
    yield slab
    os.close(slab.fd)


@pytest.fixture
def gatekeeper(slab: Slab) -> Gatekeeper:
    """Knows two keys."""
    return Gatekeeper(KEYS, TokenBucket(100, 500, slab, alone=True))


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"bEaReR"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_configured_key_is_known_by_its_number(gatekeeper: Gatekeeper, scheme: bytes, number: int) -> None:
    """Every key works, and the scheme is read in any letter case, as RFC 9110 section 11.1 says."""
    assert gatekeeper.identify(scheme + b" " + KEYS[number].encode(), {}) == number


GOOD = KEYS[0].encode()
WRONG = {
    "nothing": None,
    "an empty header": b"",
    "a blank": b" ",
    "the scheme alone": b"Bearer",
    "the scheme and a blank": b"Bearer ",
    "a wrong key": b"Bearer x",
    "a wrong key, lower case": b"bearer x",
    "two blanks": b"Bearer  " + GOOD,
    "a tab": b"Bearer\t" + GOOD,
    "a blank behind": b"Bearer " + GOOD + b" ",
    "no blank": b"Bearer" + GOOD,
    "no scheme": GOOD,
    "another scheme": b"Basic " + GOOD,
    "Token": b"Token " + GOOD,
    "a colon": b"Bearer: " + GOOD,
    "8 KB": b"Bearer " + b"k" * 8192,
    "8 KB that begin right": b"Bearer " + GOOD * 400,
    "a NUL behind": b"Bearer " + GOOD + b"\x00",
    "a NUL before": b"Bearer \x00" + GOOD,
    "not ASCII": "Bearer é".encode(),
    "not UTF-8": b"Bearer \xff\xfe",
    "Latin-1": b"Bearer " + GOOD[:-1] + b"\xe9",
    "a prefix": b"Bearer " + GOOD[:-1],
    "a suffix": b"Bearer " + GOOD[1:],
    "capitals": b"Bearer " + GOOD.upper(),
    "two headers": b"Bearer " + GOOD + b", Bearer " + GOOD,
    "two headers of two keys": b"Bearer " + GOOD + b", Bearer " + KEYS[1].encode(),
    "both keys": b"Bearer " + GOOD + b"," + KEYS[1].encode(),
    "quotes": b'Bearer "' + GOOD + b'"',
    "a line end": b"Bearer " + GOOD + b"\r\n",
}


@pytest.mark.parametrize("header", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_key_is_refused(gatekeeper: Gatekeeper, header: bytes | None) -> None:
    """Nothing but the scheme, one blank and the whole key is a key, on a connection that proved one before too."""
    connection: dict[str, Any] = {}
    assert gatekeeper.identify(header, connection) is None
    assert connection == {}
    assert gatekeeper.identify(b"Bearer " + GOOD, connection) == 0
    assert gatekeeper.identify(header, connection) is None
    assert gatekeeper.identify(b"Bearer " + GOOD, connection) == 0


@PROPERTY
@given(st.binary(max_size=200))
def test_no_bytes_break_the_comparison(text: bytes) -> None:
    """Whatever a header holds, the answer is a number or None."""
    slab = Slab.create({BUCKETS: 16})
    keeper = Gatekeeper(KEYS, TokenBucket(1, 1, slab, alone=True))
    for header in (text, b"Bearer " + text):
        assert (keeper.identify(header, {}) is not None) == (header[7:] in {key.encode() for key in KEYS})
    os.close(slab.fd)


def test_a_connection_that_changes_its_key_is_known_by_the_new_one(gatekeeper: Gatekeeper) -> None:
    """What a connection proved is remembered for the same header alone."""
    connection: dict[str, Any] = {}
    headers = [b"Bearer " + key.encode() for key in KEYS]
    asked = [gatekeeper.identify(headers[number], connection) for number in (0, 0, 1, 1, 0, 1)]
    assert asked == [0, 0, 1, 1, 0, 1]


def test_every_key_is_compared_every_time(gatekeeper: Gatekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no early end at the first match, and digests of one length are compared, in constant time."""
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def noting(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return bool(real(one, other))

    monkeypatch.setattr("payflux.ingest.gatekeeper.hmac.compare_digest", noting)
    for header in (b"Bearer " + GOOD, b"Bearer " + KEYS[1].encode(), b"Bearer x", b"Bearer " + b"x" * 8000):
        compared.clear()
        gatekeeper.identify(header, {})
        assert len(compared) == len(KEYS)
        assert {len(text) for pair in compared for text in pair} == {32}


# configured keys


def test_several_keys_take_precedence_over_the_one() -> None:
    """PAYFLUX_API_KEYS wins; each of its keys counts once, blanks around them do not count."""
    environ = {"PAYFLUX_API_KEYS": " a1 , b2,a1,, ", "PAYFLUX_API_KEY": "c3"}
    assert keys_of(load((API_KEYS, API_KEY, READ_KEYS), environ, [check_keys])) == ("a1", "b2")
    environ["PAYFLUX_API_KEYS"] = "  "
    assert keys_of(load((API_KEYS, API_KEY, READ_KEYS), environ, [check_keys])) == ("c3",)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, "PAYFLUX_API_KEYS (or PAYFLUX_API_KEY)"),
        ({"PAYFLUX_API_KEYS": ",", "PAYFLUX_API_KEY": "fine"}, "PAYFLUX_API_KEYS="),
        ({"PAYFLUX_API_KEY": "one-secret-a,one-secret-b"}, "PAYFLUX_API_KEY="),
        ({"PAYFLUX_API_KEY": "secret with-blanks"}, "PAYFLUX_API_KEY:"),
        ({"PAYFLUX_API_KEYS": "fine,secret-é"}, "PAYFLUX_API_KEYS:"),
        ({"PAYFLUX_API_KEYS": "fine,secret-\x7f"}, "PAYFLUX_API_KEYS:"),
        ({"PAYFLUX_API_KEY": "fine", "PAYFLUX_READ_KEYS": "secret with-blanks"}, "PAYFLUX_READ_KEYS:"),
    ],
)
def test_keys_that_cannot_be_used_stop_the_start(environ: dict[str, str], named: str) -> None:
    """The problem names the variable and shows no key."""
    with pytest.raises(SettingsError) as caught:
        load((API_KEYS, API_KEY, READ_KEYS), environ, [check_a_key, check_keys])
    (problem,) = caught.value.problems
    assert problem.startswith(named)
    assert "expected" in problem
    assert "secret" not in problem
