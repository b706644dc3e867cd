"""Why something was refused or lost: each reason is a word that fits a label, and has a meaning."""

import re

import pytest

from payflux.telemetry import reasons

TABLES = {name: table for name, table in vars(reasons).items() if name.isupper()}


@pytest.mark.parametrize("name", TABLES)
def test_each_reason_has_a_meaning(name: str) -> None:
    """In words, of which none is missing; the label is a plain word."""
    assert len(TABLES[name]) >= 2
    for reason, meaning in TABLES[name].items():
        assert re.fullmatch("[a-z][a-z0-9_]*", reason)
        assert len(meaning) > 5
