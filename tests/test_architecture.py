"""The house rules that no linter knows: sizes, imports and sleeps."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.structure import FIGURES, HIDING, Figure, Tree

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
OTHERS = sorted(path for folder in ("scripts", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
EVERY_FILE = [*SOURCES, *TESTS, *OTHERS]
WORK_TREE = Tree(ROOT)

SLEEP_SECONDS = 0.1
EXTRAS = {"stripe"}


def named(path: Path) -> str:
    """A file as people call it."""
    return str(path.relative_to(ROOT))


def parsed(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text())


def test_there_are_files_to_look_at() -> None:
    """The rules below are not kept by looking in the wrong place."""
    assert {"metrics.py", "child.py", "stdout.py"} <= {path.name for path in SOURCES}
    assert Path(__file__) in TESTS


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_the_house_is_in_order(figure: Figure) -> None:
    """Folders and files of a size one can keep in mind, short functions, no cycles, a test for each source."""
    assert figure.met(figure.number(WORK_TREE)), [finding.what for finding in figure.culprits(WORK_TREE)]


def test_no_import_is_hidden() -> None:
    """An import for types alone hides a wrong layer; only an extra, which may be missing, is imported so."""
    hidden = {named(path): libraries for path in EVERY_FILE if (libraries := set(_hidden(parsed(path))) - EXTRAS)}
    assert hidden == {}


def _hidden(tree: ast.Module) -> Iterator[str]:
    """The packages imported for type checkers alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and HIDING in ast.unparse(node.test):
            for one in ast.walk(node):
                if isinstance(one, ast.ImportFrom):
                    yield (one.module or "").partition(".")[0]
                elif isinstance(one, ast.Import):
                    yield from (alias.name.partition(".")[0] for alias in one.names)


def test_our_modules_are_imported_at_the_top() -> None:
    """A late import hides a cycle; what is chosen at run time is chosen by a registry of import strings."""
    late = {named(path): lines for path in EVERY_FILE if (lines := list(_late_imports(parsed(path))))}
    assert late == {}


def _late_imports(tree: ast.Module) -> Iterator[int]:
    """The lines where a module of ours is imported anywhere but at the top."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and _imports_ours(node) and node not in tree.body:
            yield node.lineno


def _imports_ours(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return bool(node.level) or (node.module or "").partition(".")[0] == "payflux"
    return isinstance(node, ast.Import) and any(name.name.partition(".")[0] == "payflux" for name in node.names)


def test_no_test_sleeps() -> None:
    """A test waits for what it waits for; a constant of more than a tenth of a second is a guess."""
    assert {named(path): lines for path in TESTS if (lines := list(_long_sleeps(parsed(path))))} == {}


def _long_sleeps(tree: ast.Module) -> Iterator[int]:
    """The lines where `sleep` is called with a constant that is too long."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"sleep", "time.sleep", "asyncio.sleep"}:
            seconds = node.args[0] if node.args else None
            value = seconds.value if isinstance(seconds, ast.Constant) else 0
            if isinstance(value, int | float) and value > SLEEP_SECONDS:
                yield node.lineno


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("import time\ntime.sleep(0.5)", [2]),
        ("async def f():\n    await asyncio.sleep(1)", [2]),
        ("time.sleep(0.01)\ntime.sleep(seconds)\nother.sleep(9)", []),
    ],
)
def test_the_rule_about_sleeps_finds_them(code: str, lines: list[int]) -> None:
    """The rule is not kept by a search that finds nothing."""
    assert list(_long_sleeps(ast.parse(code))) == lines


def test_the_rule_about_imports_finds_them() -> None:
    """Neither is the one about late imports."""
    code = "import payflux.node.child\ndef f():\n    from payflux import log\n    import sys\n    import payflux.log\n"
    assert list(_late_imports(ast.parse(code))) == [3, 5]
