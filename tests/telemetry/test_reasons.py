"""The words of labels: each means something, in the form all labels have."""

import re

import pytest

from payflux.telemetry import reasons

TABLES = {name: table for name, table in vars(reasons).items() if name.isupper()}


@pytest.mark.parametrize("name", TABLES)
def test_each_word_has_a_meaning(name: str) -> None:
    """Short words in lower case, and half a sentence each; none is `other`, which stands for what has no room."""
    for word, meaning in TABLES[name].items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", word)
        assert word != "other"
        assert meaning
        assert not meaning.endswith(".")
