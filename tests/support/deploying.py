"""What the tests of the deployment share: the files that ship, and the programs that judge them."""

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"


def tool(name: str) -> str:
    """A program, of this environment or of the system; where it is missing the test is skipped, and fails in CI."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    return found or _missing(name)


def vector_language() -> Any:
    """A runtime of VRL, the language of Vector's transforms, by Vector's own compiler."""
    if importlib.util.find_spec("vrl_python") is None:
        _missing("vrl-python")
    return importlib.import_module("vrl_python").VRLRuntime()


def _missing(name: str) -> NoReturn:
    missing = f"{name} is not installed"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def run(command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its exit code, and what it said."""
    return subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        **options,
    )


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text()))


def broken(path: Path, directory: Path, good: str, bad: str) -> Path:
    """A copy of a file with one thing changed, which must be there."""
    text = path.read_text()
    assert good in text
    copy = directory / path.name
    copy.write_text(text.replace(good, bad))
    return copy
