"""Programs of the system that judge or run what ships."""

import os
import shutil

import pytest


def tool(name: str) -> str:
    """A program of the system, or a reason not to run the test."""
    return required(name, shutil.which(name))


def required(name: str, found: str | None) -> str:
    """A program that was looked for; where it is missing the test is skipped, and fails in CI."""
    if found is None:
        missing = f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
