"""`payflux webhooks send` and `status`: signed samples to a real node, and what it counted of them."""

import json
from pathlib import Path

import pytest

from nodes import KEY, Node
from operator_commands import environ as shell
from operator_commands import payflux
from real_parts import MakeNode
from receiving import HASH_KEY, SECRETS, environ
from servers import until

pytestmark = pytest.mark.process
SECRET = SECRETS["stripe"][0]


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """A node that takes webhooks of Stripe and Adyen."""
    return make_node(environ("stripe", "adyen") | {"PAYFLUX_API_KEY": KEY})


def test_samples_are_taken_as_the_processors_own(node: Node) -> None:
    """One by name, and traffic with an outage, signed with the secret given or that of the environment."""
    url = f"http://127.0.0.1:{node.port}"
    send = ("webhooks", "send")
    done = payflux(shell(""), *send, "stripe", "charge.failed", "--url", url, "--secret", SECRET)
    assert (done.returncode, done.stderr) == (0, b"1 200\n")
    until(lambda: node.line_count() == 1, "the line")
    assert node.lines()[0]["failure_category"] == "insufficient_funds"
    known = shell("", PAYFLUX_WEBHOOK_ADYEN_SECRETS=SECRETS["adyen"][0])
    done = payflux(known, *send, "adyen", "--incident", "outage", "--count", "60", "--url", url)
    assert (done.returncode, done.stderr) == (0, b"60 202\n")
    until(lambda: node.line_count() == 61, "their lines")
    assert sum(line["failure_category"] == "processor_technical" for line in node.lines()) > 20
    wrong = payflux(shell(""), *send, "stripe", "charge.failed", "--url", url, "--secret", "whsec_wrong")
    assert wrong.returncode == 1
    assert b'1 401 {"type"' in wrong.stderr


def test_the_secret_of_dev_is_found(make_node: MakeNode, tmp_path: Path) -> None:
    """Without any secret given or set: each processor's as `payflux dev` gave it to its node."""
    made = "0123456789abcdef" * 2
    (tmp_path / "payflux").mkdir()
    (tmp_path / "payflux" / "webhook-secret").write_text(made)
    secrets = {"STRIPE": made, "ADYEN": made, "BRAINTREE": f"dev:{made}"}
    node = make_node({f"PAYFLUX_WEBHOOK_{name}_SECRETS": one for name, one in secrets.items()} | environ())
    for name in secrets:
        command = ("webhooks", "send", name.lower(), "--url", f"http://127.0.0.1:{node.port}")
        done = payflux(shell("", XDG_STATE_HOME=str(tmp_path)), *command)
        assert done.returncode == 0, done.stderr


def test_what_the_node_counted_is_told(node: Node) -> None:
    """By processor and result; codes that nobody knows by name."""
    url = f"http://127.0.0.1:{node.port}"
    payflux(shell(""), "webhooks", "send", "stripe", "plan.created", "--url", url, "--secret", SECRET)
    payflux(shell(""), "webhooks", "send", "stripe", "plan.created", "--url", url, "--secret", "whsec_wrong")
    told = payflux(shell(""), "webhooks", "status", "--json", "--url", url)
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)["stripe"]
    assert found["results"] == {"ignored": 1, "signature_wrong": 1}
    assert found["last_received_ts"] > 1_700_000_000
    lines = payflux(shell(""), "webhooks", "status", "--url", url).stdout.decode().splitlines()
    assert [line.split("\t")[:3] for line in lines] == [["stripe", "ignored", "1"], ["stripe", "signature_wrong", "1"]]
    assert payflux(shell(""), "webhooks", "codes", "--unmapped", "--url", url).stdout == b""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("acme",), "acme: expected one of stripe"),
        (("stripe", "charge.lost"), "charge.lost: expected one of charge.failed"),
        (("stripe", "--incident", "flood"), "--incident flood: expected one of quiet"),
        (("stripe", "--count", "0"), "--count 0: expected 1 to 1,000,000"),
        (("stripe",), "--secret: none given, and PAYFLUX_WEBHOOK_STRIPE_SECRETS is not set"),
        (("adyen", "--secret", "no hex"), "--secret: expected an HMAC key in hex"),
        (("stripe", "--secret", SECRET, "--url", "nowhere"), "--url nowhere: expected an address"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], expected: str) -> None:
    """Exit code 2 and one line for each problem."""
    done = payflux(shell("", XDG_STATE_HOME="/nowhere"), "webhooks", "send", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr.decode()


def test_nobody_there() -> None:
    """Exit code 1, and a question."""
    for command in (("send", "stripe", "--secret", SECRET), ("status",), ("codes", "--unmapped")):
        done = payflux(shell("", PAYFLUX_HASH_KEY=HASH_KEY), "webhooks", *command, "--url", "http://127.0.0.1:9")
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        assert done.stderr
