"""What ARCHITECTURE.md says it takes to add something: a copy of the tree grows by just that, and has it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploying import ROOT

Grow = Callable[[str, str, str], None]

COMMAND = '''"""A command."""


def greet() -> int:
    """Greet whoever asks."""
    print("hello")
    return 0
'''
DETECTOR = '''"""A detector."""


class Calm:
    """Is never worried."""

    def __init__(self, window_sec: int) -> None:
        del window_sec

    def observe(self, *event: object) -> None:
        """Look at one event."""

    def assess(self, at_ms: int) -> tuple[float, tuple[str, ...]]:
        """Nothing to say."""
        return 0.25, ("nominal_behavior",)

    def explain(self, at_ms: int) -> dict[str, tuple[float, float]]:
        """Nothing to explain."""
        return {}
'''


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


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A copy that may grow."""
    return Tree(tmp_path)


def test_the_copy_is_what_runs(tree: Tree) -> None:
    """Not the sources it was made of."""
    assert str(tree.root) in tree.run("-c", "import payflux.cli; print(payflux.cli.__file__)")


def test_a_command_is_a_file_and_an_entry(tree: Tree) -> None:
    """It runs, and the help lists it with its summary."""
    tree.write("commands/greet.py", COMMAND)
    tree.register("cli.py", "COMMANDS = {\n", '    "greet": "payflux.commands.greet:greet",\n')
    assert tree.run("-m", "payflux", "greet") == "hello\n"
    assert "Greet whoever asks." in tree.run("-m", "payflux", "--help")


def test_a_detector_is_a_file_and_an_entry(tree: Tree) -> None:
    """The scorer takes it by its name."""
    tree.write("risk/calm.py", DETECTOR)
    tree.register("risk/__init__.py", "DETECTORS = {", '"calm": "payflux.risk.calm:Calm", ')
    code = (
        "from payflux.risk.scorer import RiskScorer; from payflux.event.outcome import outcome_of;"
        "scorer = RiskScorer(300, (0.2, 0.6, 0.8), detector='calm');"
        "print(scorer.score(0, 'stripe', outcome_of('payment_failed', '', ''), 0, 'US').band)"
    )
    assert tree.run("-c", code) == "elevated\n"


def test_a_setting_is_its_declaration_and_its_place_in_the_list(tree: Tree) -> None:
    """It is read, shown, and refused when it is wrong, with what was expected."""
    tree.register(
        "node/settings.py",
        "from payflux.settings import Setting, Values, choice, environment, integer, load, optional\n",
        'COLOUR = Setting("PAYFLUX_COLOUR", choice("red", "blue"), "red", "A colour.")\n',
    )
    tree.register("node/settings.py", "SETTINGS: tuple[Setting[Any], ...] = (\n", "    COLOUR,\n")
    shown = json.loads(tree.run("-m", "payflux", "config", "--json", PAYFLUX_COLOUR="blue"))
    assert shown["PAYFLUX_COLOUR"] == {"value": "blue", "source": "environment", "help": "A colour."}
    with pytest.raises(AssertionError, match="PAYFLUX_COLOUR='green': expected one of red, blue"):
        tree.run("-m", "payflux", "config", PAYFLUX_COLOUR="green")


def test_a_metric_is_its_declaration_and_its_place_in_the_list(tree: Tree) -> None:
    """It has slots in shared memory and stands on the metrics page."""
    tree.register(
        "telemetry/metrics.py",
        'CHILD_DEATHS = Metric("child_deaths_total", ',
        '"counter", "Deaths.")\nBIRTHS = Metric("births_total", "counter", "Births.")\nOTHER = Metric("other_total", ',
    )
    tree.register("telemetry/metrics.py", "METRICS = (\n", "    BIRTHS,\n")
    code = (
        "from payflux.telemetry import metrics as m; from payflux.operations.exposition import Exposition;"
        "slab = m.create_slab(['one']); m.Metrics(slab, 'one').add(m.BIRTHS, n=3);"
        "print(Exposition(slab).text(None, None).decode())"
    )
    assert "payflux_births_total 3.0" in tree.run("-c", code)


def test_an_endpoint_is_its_handler_and_its_description(tree: Tree) -> None:
    """It is described in the document of the node that serves it."""
    tree.register("operations/routes.py", '        ("/livez", alive, everybody),\n', '        ("/alive", alive, everybody),\n')
    tree.register(
        "operations/openapi.py",
        '        "/livez": _question("live", "Whether the process is alive", fine),\n',
        '        "/alive": _question("alive", "Whether it is alive", fine),\n',
    )
    code = (
        "import json; from payflux.operations import openapi, routes;"
        "from unittest.mock import Mock;"
        "paths = routes.routes(Mock(), Mock(), Mock());"
        "print(json.dumps(openapi.document(paths)['paths']['/alive']['get']['summary']))"
    )
    assert tree.run("-c", code) == '"Whether it is alive"\n'
