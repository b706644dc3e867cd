"""Addresses of servers, and servers that answer otherwise than HTTP has it."""

import pytest

from payflux.checks.asking import parse_base


@pytest.mark.parametrize(
    "text", ["", "localhost:8080", "ftp://host", "http://", "http://host/?a=b", "http://ho st", "http://me:pw@host"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """An address has a scheme and a host."""
    with pytest.raises(ValueError, match="an address such as"):
        parse_base(text)
