"""Why a payment failed, what a retry could do, and whether it counts against the processor."""

from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.event.outcome import MEMO_SIZE
from payflux.event.taxonomy import (
    CATEGORIES,
    ORIGINS,
    UNKNOWN,
    UNVERIFIED,
    Failure,
    Origin,
    Retry,
    failure_of,
    is_recognised,
)

GOLDEN = [
    tuple(line.split("\t"))
    for line in (Path(__file__).parent / "golden" / "failures.tsv").read_text().splitlines()
    if not line.startswith("#")
]
TABLES = {"failure_words.tsv": 3, "response_codes.tsv": 4}


def test_the_golden_table_is_large_and_covers_every_category() -> None:
    """At least 250 failures, none twice; every category, retry class and origin occurs."""
    assert len({row[1:5] + row[:1] for row in GOLDEN}) == len(GOLDEN) >= 250
    assert {row[5] for row in GOLDEN} == set(CATEGORIES)
    assert {row[6] for row in GOLDEN} == set(get_args(Retry))
    assert {row[7] for row in GOLDEN} == set(get_args(Origin))


@pytest.mark.parametrize("row", GOLDEN, ids="|".join)
def test_failures_of_real_processors_and_networks(row: tuple[str, ...]) -> None:
    """Each means what was decided for it by hand."""
    _, text, told, network, code, category, retry, origin, counts = row
    assert failure_of(text, told, code, network) == (category, retry, origin, counts == "yes")


def test_nineteen_categories_and_what_nobody_knows() -> None:
    """Each category has its words or codes, and what is unknown counts."""
    assert len(CATEGORIES) == 20
    assert CATEGORIES[UNKNOWN].counts
    assert {name for name, category in CATEGORIES.items() if category.counts} == {
        "processor_technical",
        "timeout",
        UNKNOWN,
    }


@pytest.mark.parametrize(("name", "columns"), TABLES.items())
def test_every_row_of_a_table_has_its_source(name: str, columns: int) -> None:
    """No row is there twice, none lacks a column, and each leads to a category there is."""
    lines = files("payflux.event").joinpath(name).read_text("utf-8").splitlines()
    assert "Version 1" in lines[0]
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert all(len(row) == columns and all(row) for row in rows)
    assert len({tuple(row[:-2]) for row in rows}) == len(rows)
    assert {row[-2].removeprefix("~") for row in rows} <= CATEGORIES.keys() - {UNKNOWN}


def test_every_phrase_is_found_as_it_stands() -> None:
    """No phrase of the table is hidden behind another one that it holds."""
    for line in files("payflux.event").joinpath("failure_words.tsv").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            phrase, category, _ = line.removeprefix("=").split("\t")
            assert failure_of(phrase).category == category.removeprefix("~"), phrase


def test_what_is_recognised_by_words() -> None:
    """Words that are known, vague ones too; not what only a code or an origin would tell."""
    assert all(map(is_recognised, ["processor_timeout", "DECLINED", "issuer", "InsufficientFunds"]))
    assert not any(map(is_recognised, ["", "unknown", "error", "misc_27", "51", "issuers_of_old"]))


WORDS = st.sampled_from(["insufficient", "funds", "timeout", "declined", "card", "expired", "limit", "exceeded", "zzz"])


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_spelling_makes_no_difference(words: list[str]) -> None:
    """However words are joined and whatever their letter case, they mean the same."""
    spelt = ["_".join(words), " ".join(words).upper(), "-".join(words).title(), f"({'. '.join(words)})"]
    assert len({failure_of(text) for text in spelt}) == 1


@given(
    st.text(max_size=40), st.text(max_size=10) | st.sampled_from([*ORIGINS]), st.text(max_size=6), st.text(max_size=8)
)
def test_any_failure_has_a_meaning(text: str, origin: str, code: str, network: str) -> None:
    """Whatever the members hold: the category's retry class, and of an unknown cause that it counts."""
    failure = failure_of(text, origin, code, network)
    assert failure.retry == CATEGORIES[failure.category].retry
    if failure.origin == "unknown" and origin != UNVERIFIED:
        assert failure.counts_against_processor
    if origin in ORIGINS:
        assert failure.origin == ORIGINS[origin]
        assert failure.counts_against_processor == (failure.origin == "processor")


def test_repeated_failures_are_read_once_and_memory_is_bounded() -> None:
    """The same failure gives the same object; more of them than fit do not grow the memory."""
    assert failure_of("a", "issuer") is failure_of("a", "issuer")
    for number in range(MEMO_SIZE + 10):
        assert failure_of(f"misc {number}") == Failure(UNKNOWN, "later", "unknown", counts_against_processor=True)
    assert failure_of.cache_info().currsize == MEMO_SIZE
