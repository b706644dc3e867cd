"""`payflux webhooks codes`: what words and codes mean."""

import pytest

from payflux.commands.webhooks.watching import codes


def test_words_and_codes_are_explained(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Category, retry, who caused it, whether it counts; a network before a code."""
    assert codes(["insufficient_funds", "Acquirer Error", "visa:51"]) == 0
    assert capfdbinary.readouterr().out.decode().splitlines() == [
        "insufficient_funds\tinsufficient_funds\tlater\tissuer\tdoes not count",
        "Acquirer Error\tprocessor_technical\tnow\tprocessor\tcounts",
        "visa:51\tinsufficient_funds\tlater\tissuer\tdoes not count",
    ]


def test_something_must_be_asked() -> None:
    """Words, or what the node has met."""
    assert codes() == 2
