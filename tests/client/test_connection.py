"""The client's connection: which addresses it takes, TLS, and that a closed one costs nothing."""

import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from client_node import KEY, thread_node
from needs import program
from payflux.client import Client, Counts, worker
from payflux.client.connection import BODY_BYTES
from payflux.event.intake import BATCH_EVENTS
from payflux.http import limits
from payflux.testing import make_event
from servers import until


def test_a_connection_closed_while_idle_costs_nothing() -> None:
    """A node that closes idle connections is no outage: the next batch goes over a new one at once."""
    with thread_node() as node:
        client = Client(node.url, KEY)
        client.send(make_event())
        assert client.flush(10)
    with thread_node(port=int(node.url.rpartition(":")[2])) as again:
        client.send(make_event())
        assert client.flush(10)
        assert len(again.stored) == 1
        assert client.counts() == Counts(2, 0, 2, 0, {}, {}, 0, 0, 0)
        client.close()


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "http://u:p@x", "http://x?a=b", "http://x/#a", "http://x:port", "http://a b"]
)
def test_an_unusable_url_is_refused_at_once(url: str) -> None:
    """When the client is made, not when the first payment happens."""
    with pytest.raises(ValueError, match=r".") as raised:
        Client(url, KEY)
    assert "u:p" not in str(raised.value)


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


def test_what_a_node_takes_is_what_the_node_says() -> None:
    """The client imports nothing of ours, and has its own copies of the sizes of a request."""
    assert BODY_BYTES == limits.BODY_BYTES
    assert worker.BATCH_EVENTS <= BATCH_EVENTS
