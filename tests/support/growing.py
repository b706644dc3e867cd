"""A copy of the sources that may grow."""

import shutil
import subprocess
import sys
from pathlib import Path

from deploying import ROOT


class Tree:
    """A copy of the sources, and programs run on it."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "tree"
        shutil.copytree(ROOT / "src" / "payflux", self.root / "payflux", ignore=shutil.ignore_patterns("__pycache__"))

    def write(self, name: str, text: str) -> None:
        """A new file; there is none of that name yet."""
        file = self.root / "payflux" / name
        assert not file.exists()
        file.write_text(text)

    def register(self, name: str, before: str, entry: str) -> None:
        """One entry more, behind the place where the registry begins."""
        file = self.root / "payflux" / name
        text = file.read_text()
        assert text.count(before) == 1, (name, before)
        file.write_text(text.replace(before, before + entry))

    def run(self, *command: str, **environ: str) -> str:
        """The output of Python on this tree."""
        done = subprocess.run(
            [sys.executable, *command],
            env={"PYTHONPATH": str(self.root), "PATH": "/usr/bin:/bin", "HOME": str(self.root)} | environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
