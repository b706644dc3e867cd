"""Files of another commit, beside the work tree: nothing is checked out, and git keeps no trace of it."""

import io
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
"""Of the repository."""


class NoCommit(Exception):
    """There is no such commit here; the text says which was asked for."""


def named(revision: str) -> str:
    """The short name of a commit.

    Args:
        revision: as git takes it.

    Raises:
        NoCommit: git knows none.
    """
    done = _git("rev-parse", "--short", "--verify", "--quiet", f"{revision}^{{commit}}")
    if done.returncode:
        raise NoCommit(f"there is no commit {revision!r} here")
    return done.stdout.decode().strip()


def extract(revision: str, into: Path, *paths: str) -> None:
    """Write files of a commit.

    Args:
        revision: as git takes it.
        into: a folder that exists.
        paths: what to write; everything when there is none.

    Raises:
        NoCommit: it does not exist, or does not have these paths.
    """
    archive = _git("archive", "--format=tar", named(revision), *paths)
    if archive.returncode:
        raise NoCommit(f"commit {revision!r}: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(into, filter="data")


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
