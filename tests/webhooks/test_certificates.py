"""Certificates of processors: fetched once, from addresses of theirs alone, and kept."""

import asyncio
import re
from collections.abc import Callable

import pytest

from http_client import until
from ingesting import Clock
from payflux.webhooks import Unready, Unverified
from payflux.webhooks.certificates import AGAIN_SECONDS, WAITERS, Certificate, Certificates, fetched
from payflux.webhooks.processors.paypal import TRIAL
from receiving import NOW

ALLOWED = re.compile(r"https://certs\.example\.com/[a-z0-9]+")
URL, OTHER = "https://certs.example.com/one", "https://certs.example.com/two"
HOLDER = "on a machine of your own"


class Server:
    """Where certificates are asked for: what was asked, and what it gives."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gives = TRIAL.read_bytes()

    def __call__(self, url: str) -> bytes:
        """The answer to one question."""
        self.asked.append(url)
        if not self.gives:
            raise OSError("nobody there")
        return self.gives


def later(certificates: Certificates, url: str = URL) -> Callable[[Callable[[], None]], None] | None:
    """What calls back when the certificate is there; it is not there yet."""
    with pytest.raises(Unready) as caught:
        certificates.at(url, NOW)
    return caught.value.then


async def settled(certificates: Certificates, url: str = URL) -> None:
    """Ask for a certificate, and wait until it is there or known not to be."""
    then, done = later(certificates, url), asyncio.Event()
    assert then is not None
    then(done.set)
    await done.wait()


async def test_each_is_asked_for_once() -> None:
    """Whoever comes meanwhile waits for the same answer."""
    server = Server()
    certificates = Certificates(ALLOWED, HOLDER, server)
    called: list[int] = []
    for number in range(WAITERS):
        then = later(certificates)
        assert then is not None
        then(lambda number=number: called.append(number))  # type: ignore[misc]
    assert later(certificates) is None
    assert later(certificates, OTHER) is None
    await until(lambda: len(called) == WAITERS)
    assert certificates.at(URL, NOW).is_valid(NOW)
    assert (called, server.asked) == ([*range(WAITERS)], [URL])


@pytest.mark.parametrize("gives", [b"", b"no certificate", TRIAL.read_bytes().partition(b"-----BEGIN C")[0]])
async def test_a_failure_is_remembered(gives: bytes) -> None:
    """For a minute nobody is asked again, then once more."""
    server, clock = Server(), Clock()
    certificates = Certificates(ALLOWED, HOLDER, server, clock)
    server.gives = gives
    await settled(certificates)
    assert later(certificates) is None
    clock.time += AGAIN_SECONDS
    server.gives = TRIAL.read_bytes()
    await settled(certificates)
    assert certificates.at(URL, NOW).is_valid(NOW)
    assert server.asked == [URL, URL]


async def test_another_holder_is_not_believed() -> None:
    """A certificate of somebody else at the right address."""
    certificates = Certificates(ALLOWED, ".paypal.com", Server())
    await settled(certificates)
    assert later(certificates) is None


async def test_what_has_expired_is_asked_for_again() -> None:
    """A certificate is used only while it is valid."""
    server = Server()
    certificates = Certificates(ALLOWED, HOLDER, server)
    await settled(certificates)
    with pytest.raises(Unready):
        certificates.at(URL, NOW + 10**10)
    assert not Certificate(TRIAL.read_bytes()).is_valid(0)


@pytest.mark.parametrize(
    "url",
    ["http://certs.example.com/one", "https://certs.example.com.evil.com/one", "https://evil.com/", URL + "?x", ""],
)
def test_no_other_address_is_asked(url: str) -> None:
    """It is refused as a wrong signature, before anything is sent anywhere."""
    server = Server()
    with pytest.raises(Unverified, match="signature_wrong"):
        Certificates(ALLOWED, HOLDER, server).at(url, NOW)
    assert server.asked == []


def test_nobody_there() -> None:
    """An address where nobody answers is a failure like any other."""
    with pytest.raises(OSError, match=r"."):
        fetched("https://127.0.0.1:1/v1/notifications/certs/CERT-1")
