"""Programs of the system that judge or run what ships."""

import os
import shutil

import pytest


def tool(name: str) -> str:
    """A program of the system; where it is missing the test is skipped, and fails in CI."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
