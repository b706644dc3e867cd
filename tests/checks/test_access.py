"""Keys and rates of the settings."""

import pytest

from payflux.checks.access import judge_keys

STRONG = "3f9a2c7e51b8d04613f9a2c7e51b8d046e1b7c90a4d2f658"


@pytest.mark.parametrize(
    "key",
    ["tiny-0A", "a" * 60, "abababababababababababababab", "test-key-0123456789-abcdef", "Replace-me-0123456789abcdef"],
)
def test_a_key_that_can_be_guessed_fails(key: str) -> None:
    """Short, regular, a placeholder; it is not shown."""
    finding = judge_keys([STRONG, key])
    assert finding.verdict == "fail"
    assert key not in finding.reason
    assert judge_keys([STRONG]).verdict == "pass"
