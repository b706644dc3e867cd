"""The producer client: what it refuses, its asynchronous form, TLS, and the time it takes."""

import socket
import ssl
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from client_node import KEY, nobody, thread_node
from needs import program
from payflux.client import AsyncClient, Client
from payflux.testing import make_event
from servers import until


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "http://u:p@x", "http://x?a=b", "http://x/#a", "http://x:port", "http://a b"]
)
def test_an_unusable_url_is_refused_at_once(url: str) -> None:
    """When the client is made, not when the first payment happens."""
    with pytest.raises(ValueError, match=r".") as raised:
        Client(url, KEY)
    assert "u:p" not in str(raised.value)


@pytest.mark.parametrize("option", ["max_events", "max_bytes", "timeout_seconds"])
def test_unusable_bounds_are_refused(option: str) -> None:
    """All of them are positive."""
    with pytest.raises(ValueError, match=option):
        Client("http://x", KEY, **{option: 0})  # type: ignore[arg-type]


async def test_the_asynchronous_client_is_the_same() -> None:
    """`send` is a plain call, `flush` and `close` are awaited."""
    with thread_node() as node:
        async with AsyncClient(node.url, KEY) as client:
            for _ in range(100):
                assert client.send(make_event())
            assert await client.flush(10)
            assert client.counts().accepted == len(node.stored) == 100
            assert repr(client).startswith("<AsyncClient 127.0.0.1:")
        assert client.send(make_event()) is False


def test_https_is_spoken(tmp_path: Path) -> None:
    """A proxy's certificate is verified against the given context, and refused without it."""
    options = "-x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=127.0.0.1"
    command = [program("openssl"), "req", *options.split(), "-addext", "subjectAltName=IP:127.0.0.1"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    assert made.returncode == 0, made.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))

    def tls(plain: socket.socket) -> socket.socket:
        return context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)

    with thread_node(tls=tls) as node, Client(node.url, KEY, tls=trusting) as client:
        client.send(make_event())
        assert client.flush(10)
        assert client.counts().accepted == len(node.stored) == 1
        with Client(node.url, KEY) as wary:
            wary.send(make_event())
            until(lambda: wary.counts().retried, "the refusal of the certificate")
            wary.close(0)
        assert len(node.stored) == 1


def test_send_takes_microseconds() -> None:
    """The caller's time for an event, undisturbed, is far below what a payment would notice."""
    event = make_event()
    with nobody() as url, Client(url, KEY, max_events=50_000, max_bytes=100_000_000) as client:
        times = []
        for _ in range(20):
            begun = time.perf_counter()
            for _ in range(500):
                client.send(event)
            times.append((time.perf_counter() - begun) / 500)
        assert statistics.median(times) < 50e-6
        assert client.counts().queued == 10_000
        client.close(0)
