"""What the tests of the deployment share: the files that ship, and the programs that judge them."""

import importlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from needs import module

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"


def vector_language() -> Any:
    """A runtime of VRL, the language of Vector's transforms, by Vector's own compiler."""
    module("vrl_python")
    return importlib.import_module("vrl_python").VRLRuntime()


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
