"""What a test needs from its machine: without it the test is skipped, fails in CI, and the run says what to install."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import pytest

from programs import PACKAGES, packages

NEEDS = "needs "


def program(name: str) -> str:
    """A program, of this environment or of the system."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or missing(name)


def module(name: str) -> None:
    """A Python package for which not every platform has a wheel."""
    if importlib.util.find_spec(name) is None:
        missing(name)


def missing(name: str) -> NoReturn:
    """End the test: it cannot be run here."""
    reason = f"{NEEDS}{name}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def untested(reasons: Iterable[str]) -> str:
    """One line for the end of a run: what was not tested, and the command that makes it possible.

    Args:
        reasons: why each test was skipped, as pytest reports it.

    Returns:
        The line; empty when nothing was missing.
    """
    names = [reason.rpartition(NEEDS)[2] for reason in reasons if NEEDS in reason]
    counted = ", ".join(f"{name} ({names.count(name)})" for name in sorted(set(names)))
    known = packages(name for name in set(names) if name in PACKAGES)
    install = f"; to test it: apt-get install {' '.join(known)}" if known else ""
    return f"Not tested here, for want of (tests): {counted}{install}" if names else ""
