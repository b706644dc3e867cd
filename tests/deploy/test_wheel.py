"""The release: a clean build gives a wheel that does the main job in an environment with nothing else in it."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploying import ROOT, run
from needs import program
from payflux import __version__
from servers import until

pytestmark = pytest.mark.process


def _sources() -> list[str]:
    """What a clean checkout holds: the files that git knows, or would."""
    listed = run([program("git"), "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    assert listed.returncode == 0, listed.stderr
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def _build(directory: Path) -> Path:
    """Build sdist and wheel, as a release is built, from a copy of the sources; the wheel."""
    for name in _sources():
        target = directory / "clean" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    built = run([sys.executable, "-m", "build", "--no-isolation", "--outdir", directory / "dist", directory / "clean"])
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = (directory / "dist").glob("*.whl")
    return wheel


@pytest.fixture
def wheel(directory: Path) -> Path:
    """The wheel of a clean build."""
    return _build(directory)


@pytest.fixture
def installed(directory: Path, wheel: Path) -> Path:
    """The programs of a new environment with the wheel and its pinned dependencies."""
    environment = directory / "empty"
    assert run([sys.executable, "-m", "venv", environment]).returncode == 0
    pip = f"{environment}/bin/pip"
    for what in (["--require-hashes", "-r", f"{ROOT}/requirements.lock"], ["--no-index", str(wheel)]):
        done = run([pip, "install", "--quiet", "--disable-pip-version-check", "--no-deps", *what])
        assert done.returncode == 0, done.stderr
    return environment / "bin"


@pytest.fixture
def dev(directory: Path, installed: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`payflux dev` of the new environment, with nothing of ours on its paths."""
    environ = {"PATH": f"{installed}:{os.defpath}", "HOME": str(directory), "HTTP_ADDR": "127.0.0.1:0"}
    with (directory / "lines").open("wb") as lines, (directory / "log").open("wb") as log:
        process = subprocess.Popen(["payflux", "dev"], env=environ, cwd=directory, stdout=lines, stderr=log)
    yield process
    process.kill()
    process.wait(20)


@pytest.mark.thorough
@pytest.mark.timeout(300)  # it installs every dependency anew
def test_the_wheel_does_the_main_job(directory: Path, dev: subprocess.Popen[bytes]) -> None:
    """An event goes in by the command that `payflux dev` prints, and its line comes out; Ctrl-C ends it well."""
    log = directory / "log"
    until(lambda: b"Ctrl-C ends it" in log.read_bytes() or dev.poll() is not None, "the banner", 40)
    program("curl")
    command = re.search(r"^  (curl -s -X POST .*?)\n\n", log.read_text(), re.DOTALL | re.MULTILINE)
    assert command, log.read_text()
    answer = run(["sh", "-c", command[1]])
    assert answer.returncode == 0, answer.stderr
    until(lambda: (directory / "lines").read_bytes().endswith(b"\n"), "the line")
    line = json.loads((directory / "lines").read_text())
    assert line["seq"] == 1
    assert line["event_id"] in command[1]
    dev.send_signal(signal.SIGINT)
    assert dev.wait(35) == 0


def test_the_wheel_holds_what_it_needs_and_no_more(wheel: Path) -> None:
    """Every module, script and the licence are in it; no tests; its version is the one of the package."""
    names = set(zipfile.ZipFile(wheel).namelist())
    inside = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "payflux").rglob("*") if path.is_file()}
    assert {name for name in inside if "__pycache__" not in name} <= names
    assert f"payflux-{__version__}.dist-info/licenses/LICENSE.md" in names
    assert all(name.startswith(("payflux/", f"payflux-{__version__}.dist-info/")) for name in names)


def test_the_version_stands_in_one_place() -> None:
    """The package says it, the build reads it there, and nothing else of the project assigns one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/payflux/__init__.py"
    assigned = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assign) and "__version__" in ast.unparse(node.targets[0])
    ]
    assert assigned == ["src/payflux/__init__.py"]
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", __version__)
