"""A file as a source: what it says of itself, and where it may stand unsigned."""

from pathlib import Path

import pytest

from payflux.node.settings import SETTINGS
from payflux.settings import load
from payflux.webhooks.declared.adapter import examine, is_private, source_of, text_of
from payflux.webhooks.declared.members import MEMBERS
from payflux.webhooks.declared.table import SCHEMES, TOP
from payflux.webhooks.vocabulary import OUTCOMES
from receiving import FILES

GOOD = """
help = "payments of Acme"
days = 5
accepted_status = 204
accepted_body = ""
[signature]
scheme = "none"
allow_unsigned = true
[members]
event_type = "type"
reference = "id"
at = "created"
[event_types]
failed = "payment_failed"
"""


def test_a_source_says_what_its_file_says() -> None:
    """Days, answer and scheme."""
    source, mistakes = examine(GOOD)
    assert mistakes == []
    assert (source.help, source.days, source.accepted) == ("payments of Acme", 5, (204, b""))
    assert source.unsigned
    assert not source.is_secret("any")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "10.1.2.3", "192.168.0.7", "fd00::1"])
def test_unsigned_on_a_private_address(host: str) -> None:
    """Nothing is wrong with it."""
    assert is_private(host)
    address = f"[{host}]:8080" if ":" in host else f"{host}:8080"
    assert list(examine(GOOD)[0].refuse(load(SETTINGS, {"HTTP_ADDR": address}))) == []


@pytest.mark.parametrize("address", [":8080", "0.0.0.0:8080", "[::]:8080", "8.8.8.8:80", "payments.example.com:80"])
def test_unsigned_elsewhere_is_refused(address: str) -> None:
    """All addresses at once, a public one, and a name that may be one."""
    (line,) = examine(GOOD)[0].refuse(load(SETTINGS, {"HTTP_ADDR": address}))
    assert line == (
        f"HTTP_ADDR={address!r}: expected a private address such as 127.0.0.1:8080 or 10.0.0.5:8080, "
        "as webhooks are taken unsigned"
    )


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """Missing, no text, or with mistakes: one line that names it."""
    with pytest.raises(ValueError, match=r"that can be read \(No such file"):
        source_of(str(tmp_path / "no.toml"))
    file = tmp_path / "acme.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="text in UTF-8"):
        text_of(str(file))
    file.write_text(GOOD.replace("payment_failed", "x").replace("none", "y"))
    with pytest.raises(ValueError, match=r"acme.toml:7: .*scheme.*, and 1 more \(`payflux webhooks lint"):
        source_of(str(file))


def test_the_documentation_has_no_mistakes() -> None:
    """Neither the file it shows, nor a word that does not exist."""
    page = (FILES[0].parent.parent.parent / "docs" / "connect" / "any.md").read_text()
    source, mistakes = examine(page.partition("```toml\n")[2].partition("```")[0])
    assert (source.help, mistakes) == ("payments of Acme", [])
    for word in (*MEMBERS, *SCHEMES, *(key for keys, _ in SCHEMES.values() for key in keys), *TOP, *OUTCOMES):
        assert f"`{word}`" in page or f"[{word}]" in page or f"{word} =" in page, word


def test_the_examples_have_no_mistakes() -> None:
    """And are those that the documentation names."""
    assert [file.stem for file in FILES] == ["gocardless", "mollie", "razorpay", "square", "worldpay"]
    assert [file.name for file in FILES if examine(file.read_text())[1]] == []
