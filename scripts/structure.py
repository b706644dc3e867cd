"""How well-ordered the house is, in figures: of the work tree, and beside it of another commit.

    python -m scripts.structure [REVISION]

prints a table, and below it what in the work tree misses a limit. The limits are held by tests/test_architecture.py.
"""

import argparse
import ast
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from scripts.commits import ROOT, NoCommit, extract, named

HIDING = "TYPE_" + "CHECKING"
SMALL, LARGE = 40, 350
"""A file of fewer lines beside one of more, which alone imports it, was split off to keep that one below the limit."""

LONG = 25
"""Lines of a function that stands out."""


class Source(NamedTuple):
    """A file, and what stands in it."""

    path: Path
    lines: int
    tree: ast.Module


class Tree:
    """A tree of the repository.

    Args:
        root: where it lies.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def _read(self, *folders: str) -> list[Source]:
        found = (path for folder in folders for path in sorted((self.root / folder).rglob("*.py")))
        texts = ((path.relative_to(self.root), path.read_text()) for path in found)
        return [Source(path, len(text.splitlines()), ast.parse(text)) for path, text in texts]

    @cached_property
    def sources(self) -> list[Source]:
        """What is installed."""
        return self._read("src/payflux")

    @cached_property
    def tests(self) -> list[Source]:
        """Tests and their helpers."""
        return self._read("tests")

    @cached_property
    def tools(self) -> list[Source]:
        """What is neither."""
        return self._read("scripts", "benchmarks")

    @cached_property
    def modules(self) -> dict[str, Source]:
        """The sources by the names they are imported by; a package's is that of its `__init__.py`."""
        dotted = ((".".join(source.path.with_suffix("").parts[1:]), source) for source in self.sources)
        return {name.removesuffix(".__init__"): source for name, source in dotted}

    @cached_property
    def imports(self) -> dict[str, set[str]]:
        """The modules of ours that each module imports."""
        return {name: set(_imported(source.tree, self.modules)) for name, source in self.modules.items()}


def _imported(tree: ast.AST, known: dict[str, Source]) -> Iterator[str]:
    """Modules of ours that are imported anywhere in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            wholes = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from wholes & known.keys() or {node.module} & known.keys()


class Finding(NamedTuple):
    """A number, and what it is of, as people call it."""

    number: float
    what: str


def fullest(sources: Sequence[Source]) -> list[Finding]:
    """Folders by how many modules lie in each."""
    sizes = Counter(str(source.path.parent) for source in sources if source.path.name != "__init__.py")
    return [Finding(number, folder) for folder, number in sizes.most_common()]


def longest_files(tree: Tree) -> list[Finding]:
    """Files by their lines."""
    files = (*tree.sources, *tree.tests, *tree.tools)
    return sorted((Finding(source.lines, str(source.path)) for source in files), reverse=True)


def slivers(tree: Tree) -> list[Finding]:
    """Small files that only one neighbour imports, one that is nearly too long; the number is the neighbour's lines."""
    tools = [set(_imported(source.tree, tree.modules)) for source in tree.tools]
    found = []
    for name, source in tree.modules.items():
        users = [tree.modules[user] for user, imported in tree.imports.items() if name in imported]
        beside = [user for user in users if user.path.parent == source.path.parent and user.lines > LARGE]
        if source.lines < SMALL and users == beside and len(users) == 1 and not any(name in tool for tool in tools):
            found.append(Finding(beside[0].lines, f"{source.path} beside {beside[0].path.name}"))
    return found


def functions(tree: Tree) -> list[Finding]:
    """Functions of the sources by their lines."""
    found = [
        Finding(function_lines(node), f"{source.path}:{node.lineno} {node.name}")
        for source in tree.sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return sorted(found, reverse=True)


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function, from `def` to its last, its docstring left out."""
    first = node.body[0]
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if ast.get_docstring(node) is not None else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


def cycles(tree: Tree) -> list[Finding]:
    """Modules that import each other, or lie between such that do."""
    left = {name: set(imported) for name, imported in tree.imports.items()}
    while ends := {name for name, to in left.items() if not to or not any(name in other for other in left.values())}:
        left = {name: to - ends for name, to in left.items() if name not in ends}
    return [Finding(1, name) for name in sorted(left)]


def hidden(tree: Tree) -> list[Finding]:
    """Imports of ours that only type checkers see."""
    return [
        Finding(1, f"{source.path}:{node.lineno}")
        for source in tree.sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.If) and HIDING in ast.unparse(node.test) and set(_imported(node, tree.modules))
    ]


def unmirrored(tree: Tree) -> list[Finding]:
    """Sources without a test of the same name in the same place: src/payflux/x/y.py has tests/x/test_y.py."""
    tests = {source.path for source in tree.tests}
    wanted = {source.path: _mirror(source.path) for source in tree.sources if not source.path.stem.startswith("__")}
    return [Finding(1, f"{path}: no {test}") for path, test in wanted.items() if test not in tests]


def _mirror(path: Path) -> Path:
    inside = path.relative_to("src/payflux")
    return Path("tests") / inside.parent / f"test_{inside.name}"


def mirrored(tree: Tree) -> float:
    """The share of sources that have a test of the same name."""
    sources = sum(not source.path.stem.startswith("__") for source in tree.sources)
    return 1 - len(unmirrored(tree)) / sources


class Figure(NamedTuple):
    """Something counted.

    Attributes:
        name: what it is.
        number: of a tree.
        limit: the most it may be, or the least.
        culprits: what is to be looked at when the limit is missed, the worst first.
        at_least: `limit` is the least.
        form: how it is written.
    """

    name: str
    number: Callable[[Tree], float]
    limit: float
    culprits: Callable[[Tree], list[Finding]]
    at_least: bool = False
    form: str = ".0f"

    def met(self, value: float) -> bool:
        """Whether a value is within the limit."""
        return value >= self.limit if self.at_least else value <= self.limit


def _most(findings: list[Finding]) -> float:
    return max((finding.number for finding in findings), default=0)


def _lengths(tree: Tree) -> list[float]:
    return [finding.number for finding in functions(tree)]


def _long(tree: Tree) -> list[Finding]:
    return [finding for finding in functions(tree) if finding.number > LONG]


def _modules(tree: Tree) -> list[Finding]:
    return fullest((*tree.sources, *tree.tools))


def _tests(tree: Tree) -> list[Finding]:
    return fullest(tree.tests)


FIGURES = (
    Figure("modules in the flattest folder", lambda tree: _most(_modules(tree)), 16, _modules),
    Figure("files in the flattest folder of tests", lambda tree: _most(_tests(tree)), 25, _tests),
    Figure("lines of the largest file", lambda tree: _most(longest_files(tree)), 400, longest_files),
    Figure("files kept under that by a sliver beside them", lambda tree: len(slivers(tree)), 0, slivers),
    Figure("lines of a function, median", lambda tree: median(_lengths(tree)), 8, _long),
    Figure("lines of a function, 95th percentile", lambda tree: quantiles(_lengths(tree), n=20)[-1], LONG, _long),
    Figure("modules in import cycles", lambda tree: len(cycles(tree)), 0, cycles),
    Figure("imports of ours that only type checkers see", lambda tree: len(hidden(tree)), 0, hidden),
    Figure("sources with a test of the same name", mirrored, 0.8, unmirrored, at_least=True, form=".0%"),
)


def table(trees: dict[str, Tree]) -> Table:
    """The figures of some trees, a column each, beside their limits."""
    shown = Table("figure")
    for name in (*trees, "limit"):
        shown.add_column(name, justify="right")
    for figure in FIGURES:
        values = [figure.number(tree) for tree in trees.values()]
        cells = (f"[{'green' if figure.met(value) else 'red'}]{value:{figure.form}}[/]" for value in values)
        shown.add_row(figure.name, *cells, f"{'≥' if figure.at_least else '≤'} {figure.limit:{figure.form}}")
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the figures; returns the exit code: 0 every limit of the work tree is met, 1 not, 2 no such commit."""
    parser = argparse.ArgumentParser(prog="scripts.structure", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("revision", nargs="?", help="a commit to show beside the work tree")
    revision = parser.parse_args(arguments).revision
    console, work = Console(highlight=False, soft_wrap=True), Tree(ROOT)
    with tempfile.TemporaryDirectory(prefix="pf-structure-") as directory:
        try:
            before = _before(revision, Path(directory)) if revision else {}
        except NoCommit as error:
            console.print(str(error))
            return 2
        console.print(table({**before, "work tree": work}))
    missed = [figure for figure in FIGURES if not figure.met(figure.number(work))]
    for figure in missed:
        console.print(f"\n{figure.name}:")
        for finding in figure.culprits(work):
            console.print(f"  {finding.number:.0f} {finding.what}", markup=False)
    return 1 if missed else 0


def _before(revision: str, directory: Path) -> dict[str, Tree]:
    extract(revision, directory)
    return {named(revision): Tree(directory)}


if __name__ == "__main__":
    sys.exit(main())
