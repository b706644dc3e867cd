"""The Dockerfile: linted, and its steps replayed outside of a container as far as that goes."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from deploying import DEPLOY, ROOT, broken, run
from needs import program
from nodes import event
from real_parts import MakeNode
from servers import until

DOCKERFILE = DEPLOY / "Dockerfile"


class Step(NamedTuple):
    """One instruction: its name, its options, and the rest."""

    name: str
    options: dict[str, str]
    text: str

    def list(self) -> list[str]:
        """The rest, in exec form or in words."""
        words: list[str] = json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)
        return words


def stages(path: Path) -> list[list[Step]]:
    """The instructions of each stage; those before the first are left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    found: list[list[Step]] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if line.strip():
            name, rest = line.split(None, 1)
            options = dict(re.findall(r"--([a-z-]+)=(\S+)(?=\s)", rest.split("CMD")[0])) if name != "RUN" else {}
            text = re.sub(r"^(--\S+\s+)*", "", rest).strip() if name != "RUN" else rest.strip()
            if name == "FROM":
                found.append([])
            if found:
                found[-1].append(Step(name, options, text))
    return found


def test_hadolint_is_silent() -> None:
    """The linter of Dockerfiles has nothing to say."""
    found = run([program("hadolint"), DOCKERFILE])
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('ENTRYPOINT ["payflux"]', "ENTRYPOINT payflux"),
        ("USER 10001:10001", "USER root"),
        ("WORKDIR /src", "WORKDIR src"),
        ("FROM python:${PYTHON} AS build", "FROM python AS build"),
    ],
)
def test_hadolint_finds_what_is_wrong(good: str, bad: str, directory: Path) -> None:
    """A broken copy does not pass."""
    assert run([program("hadolint"), broken(DOCKERFILE, directory, good, bad)]).returncode == 1


def _refused(path: Path) -> list[str]:
    """The sources of COPY that are not there, or that the builder is not given."""
    allowed = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"]
    copies = [step for stage in stages(path) for step in stage if step.name == "COPY" and "from" not in step.options]
    sources = [source for step in copies for source in step.list()[:-1]]
    assert sources
    return [s for s in sources if not (ROOT / s).exists() or not any(fnmatch(s, pattern) for pattern in allowed)]


def test_what_is_copied_is_there(directory: Path) -> None:
    """Every source of COPY exists, and .dockerignore lets it through; a copy that names another one is found."""
    assert _refused(DOCKERFILE) == []
    assert _refused(broken(DOCKERFILE, directory, "COPY src ./src", "COPY tests ./src")) == ["tests"]


def test_the_image_is_pinned_and_runs_as_nobody_special() -> None:
    """A full version as base, two stages, a user by number, serve by default, a health check."""
    text = DOCKERFILE.read_text()
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    build, final = stages(DOCKERFILE)
    assert build[0].text == "python:${PYTHON} AS build"
    last = {step.name: step for step in final}
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last["USER"].text)
    assert (last["ENTRYPOINT"].list(), last["CMD"].list()) == (["payflux"], ["serve"])
    assert [step.name for step in final][-1] == "CMD"
    assert "--require-hashes" in text


def _replay(root: Path) -> None:
    """Carry out the first stage below a directory: files are copied there, and commands run with their paths moved."""
    binaries = root / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    here = root
    environ = {"PATH": f"{binaries}:{os.environ['PATH']}", "HOME": os.environ["HOME"]}
    for step in stages(DOCKERFILE)[0][1:]:
        if step.name == "WORKDIR":
            here = root / step.text.lstrip("/")
            here.mkdir(parents=True)
        elif step.name == "COPY":
            *sources, target = step.list()
            for source in sources:
                _copy(ROOT / source, here / target)
        else:
            assert step.name == "RUN"
            command = step.text.replace("/opt/payflux", f"{root}/opt/payflux")
            done = run(["sh", "-ec", command], cwd=here, env=environ)
            assert done.returncode == 0, (command, done.stdout, done.stderr)


def _copy(source: Path, target: Path) -> None:
    """As COPY does: the files of a directory, or one file into a directory that is there."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


@pytest.mark.process
@pytest.mark.thorough
def test_what_the_image_holds_runs_a_node(
    directory: Path, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replayed stage holds a command that runs a node with nothing else installed, and the health check sees it."""
    _replay(directory / "image")
    python = directory / "image" / "opt" / "payflux" / "bin" / "python"
    assert run([python.with_name("payflux"), "--version"]).returncode == 0
    assert not python.with_name("pip").exists()
    monkeypatch.setattr(sys, "executable", str(python))
    node = make_node()
    assert node.post(event()) == 202
    until(lambda: node.line_count() == 1, "the line")
    check = next(step for step in stages(DOCKERFILE)[1] if step.name == "HEALTHCHECK")
    assert {"interval", "timeout", "retries"} <= set(check.options)
    command = [str(python), *json.loads(check.text.removeprefix("CMD").strip())[1:]]
    # The node listens on 127.0.0.1 only; a proxy of the environment is not asked about this machine.
    for host in ("0.0.0.0", "", "[::]", "localhost", "127.0.0.1"):
        environ = {"HTTP_ADDR": f"{host}:{node.port}", "http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
        assert subprocess.run(command, env=environ, timeout=30).returncode == 0
    node.stop()
    assert subprocess.run(command, env=environ, timeout=30, stderr=subprocess.DEVNULL).returncode != 0
