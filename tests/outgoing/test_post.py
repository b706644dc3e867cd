import socket
import threading

import pytest

from payflux.outgoing.post import NotSent, Place, is_public, post, web_address
from their_server import receiving


def test_a_body_arrives_as_it_is() -> None:
    """With the headers that were asked for, and what the server says comes back."""
    with receiving() as server:
        server.answers.append((429, {"Retry-After": "7"}, b"slowly\x00please"))
        answer = post(Place(f"{server.url}/a/b?c=d"), b'{"x":1}', {"X-Of-Ours": "1"})
        (got,) = server.got
        assert (got.path, got.body, got.headers["x-of-ours"]) == ("/a/b?c=d", b'{"x":1}', "1")
        assert got.headers["host"] == server.url.removeprefix("http://")
        assert (answer.status, answer.headers["retry-after"], answer.taken, answer.passing) == (429, "7", False, True)
        assert answer.told() == "HTTP 429: slowly please"


@pytest.mark.parametrize(("status", "taken", "passing"), [(200, True, False), (204, True, False), (302, False, False)])
def test_a_redirect_is_not_followed(status: int, taken: bool, passing: bool) -> None:
    """Success is what 2xx says, and nothing else."""
    with receiving() as server:
        server.answers.append((status, {"Location": f"{server.url}/elsewhere"}, b""))
        answer = post(Place(server.url), b"", {})
        assert (answer.taken, answer.passing) == (taken, passing)
        assert len(server.got) == 1


def test_an_address_of_a_private_network_is_refused() -> None:
    """Before anything is sent, and by the address that would be used, whatever its name."""
    with receiving() as server:
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            with pytest.raises(NotSent, match="not a public address") as refused:
                post(Place(url, private=False), b"secret", {})
            assert refused.value.refused
        assert not server.got


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("2002:7f00:1::", False),
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    """Those of private networks, of this machine and of its link are not, in any spelling."""
    assert is_public(address) is public


def test_a_server_that_is_not_there_is_said_so() -> None:
    """By name, in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NotSent, match=r"^127\.0\.0\.1: Connection refused$") as failed:
        post(Place(f"http://127.0.0.1:{port}"), b"", {})
    assert not failed.value.refused


def test_a_server_that_says_nothing_is_left() -> None:
    """After the time it was given."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NotSent, match="no answer in time"):
        post(Place(f"http://127.0.0.1:{silent.getsockname()[1]}"), b"", {}, seconds=0.2)


def test_what_is_no_http_is_no_answer() -> None:
    """A server of another kind is no success."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NotSent, match=r"127\.0\.0\.1: "):
            post(Place(url), b"", {}, seconds=5)
        thread.join()


@pytest.mark.parametrize(
    "text", ["", "host", "ftp://host/", "http://", "http://h:0/", "http://h:x/", "http://a b/", "http://ü/"]
)
def test_what_is_no_address(text: str) -> None:
    """Is refused with what was expected."""
    with pytest.raises(ValueError, match="a URL such as"):
        web_address(text)
    assert web_address("https://host:8443/path?x=1") == "https://host:8443/path?x=1"
