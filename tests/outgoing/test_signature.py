import base64
import os
import time

import pytest

from needs import module
from payflux.outgoing.signature import key_of, signed


def secret(length: int = 32) -> str:
    """A secret as it is configured."""
    return "whsec_" + base64.b64encode(os.urandom(length)).decode()


def test_a_receiver_verifies_it_with_either_secret() -> None:
    """By the library of the specification; with another secret, or a changed body, it does not."""
    module("standardwebhooks")
    from standardwebhooks import Webhook, WebhookVerificationError  # noqa: PLC0415 - not everywhere

    old, new = secret(), secret()
    headers = signed("msg_1", int(time.time()), b'{"a":1}', [key_of(new), key_of(old)])
    for known in (old, new):
        assert Webhook(known).verify(b'{"a":1}', headers) == {"a": 1}
    for known, body in ((secret(), b'{"a":1}'), (old, b'{"a":2}')):
        with pytest.raises(WebhookVerificationError):
            Webhook(known).verify(body, headers)


def test_a_signature_of_the_specification() -> None:
    """The example of the specification's own test, by hand: HMAC-SHA-256 of id, time and body."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [key])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!", "whsec_" + base64.b64encode(b"short").decode(), "x" * 200])
def test_what_is_no_secret_is_refused(text: str) -> None:
    """With what is expected instead."""
    with pytest.raises(ValueError, match="openssl rand"):
        key_of(text)
    assert len(key_of(secret(24))) == 24
