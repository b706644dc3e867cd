"""The figures of the house: each finds what it is to find, in a tree written for it."""

import ast
from pathlib import Path

import pytest

from scripts import commits
from scripts.commits import ROOT, NoCommit, extract
from scripts.structure import (
    FIGURES,
    LARGE,
    Tree,
    cycles,
    fullest,
    function_lines,
    functions,
    hidden,
    longest_files,
    main,
    mirrored,
    slivers,
    unmirrored,
)

LONG_FILE = "x = 1\n" * (LARGE + 1)
BY_NAME = {figure.name: figure for figure in FIGURES}


def tree(root: Path, **files: str) -> Tree:
    """A tree of some sources, and tests where a name begins so; `a__b` stands for `a/b.py`."""
    for name, text in files.items():
        folder = "tests" if "test_" in name else "src/payflux"
        path = root / folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(root)


def test_the_fullest_folder_comes_first(tmp_path: Path) -> None:
    """A package's contract is no module of it."""
    found = tree(tmp_path, a="", x__b="", x__c="", x__d="")
    (tmp_path / "src/payflux/x/__init__.py").touch()
    assert [(one.what, one.number) for one in fullest(found.sources)] == [("src/payflux/x", 3), ("src/payflux", 1)]


def test_the_longest_file_comes_first(tmp_path: Path) -> None:
    """Tests count as well."""
    assert [one.number for one in longest_files(tree(tmp_path, a="1\n2\n", test_a="1\n2\n3\n"))] == [3, 2]


def test_a_function_is_measured_without_its_docstring(tmp_path: Path) -> None:
    """Explaining is not punished, and neither are decorators."""
    text = '@decorated\ndef f(\n    a,\n):\n    """One.\n\n    Two.\n    """\n    return a\n'
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.FunctionDef)
    assert function_lines(node) == 4
    longer = "class A:\n    async def g(self):\n        return [\n            1,\n            2,\n        ]\n"
    found = functions(tree(tmp_path, a=text, b=longer))
    assert [(one.number, one.what) for one in found] == [(5, "src/payflux/b.py:2 g"), (4, "src/payflux/a.py:2 f")]


def test_a_cycle_is_found_and_what_leads_to_it_is_not(tmp_path: Path) -> None:
    """Through packages and from both forms of import."""
    found = tree(
        tmp_path,
        a="import payflux.x.b",
        x__b="from payflux import c",
        c="from payflux.x.b import y",
        d="import payflux.a",
    )
    assert [one.what for one in cycles(found)] == ["payflux.c", "payflux.x.b"]
    assert cycles(tree(tmp_path, c="import os")) == []


def test_a_sliver_beside_a_large_file_is_found(tmp_path: Path) -> None:
    """When that one alone imports it: it was split off only to stay below the limit."""
    large = f"from payflux.x.small import y\n{LONG_FILE}"
    found = tree(tmp_path, x__large=large, x__small="y = 1")
    assert [one.what for one in slivers(found)] == ["src/payflux/x/small.py beside large.py"]
    assert slivers(tree(tmp_path, other="import payflux.x.small")) == []
    assert slivers(tree(tmp_path, other="", x__small="y = 1\n" * 60)) == []


def test_a_hidden_import_of_ours_is_found(tmp_path: Path) -> None:
    """That of another package is not ours to judge."""
    guarded = "if TYPE_" + "CHECKING:\n    from {} import c\n"
    found = tree(tmp_path, a=guarded.format("payflux"), b=guarded.format("stripe"), c="")
    assert [one.what for one in hidden(found)] == ["src/payflux/a.py:1"]


def test_a_source_without_its_test_is_found(tmp_path: Path) -> None:
    """The same name in the same place."""
    found = tree(tmp_path, a="", x__b="", x__c="", x__d="", test_a="", x__test_b="", test_c="", x__test_d="")
    assert [one.what for one in unmirrored(found)] == ["src/payflux/x/c.py: no tests/x/test_c.py"]
    assert mirrored(found) == pytest.approx(0.75)


def test_limits_are_the_least_or_the_most() -> None:
    """And may be reached."""
    assert [BY_NAME["modules in the flattest folder"].met(value) for value in (16, 17)] == [True, False]
    assert [BY_NAME["sources with a test of the same name"].met(value) for value in (0.8, 0.79)] == [True, False]


@pytest.mark.usefixtures("history")
@pytest.mark.thorough
def test_another_commit_stands_beside_the_work_tree(capsys: pytest.CaptureFixture[str]) -> None:
    """A column each, and the limits."""
    assert main(["HEAD"]) in {0, 1}
    shown = capsys.readouterr().out
    assert commits.named("HEAD") in shown
    for figure in FIGURES:
        assert figure.name in shown
    assert "work tree" in shown


@pytest.mark.usefixtures("history")
def test_a_commit_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name."""
    assert main(["no-such-commit"]) == 2
    assert "no-such-commit" in capsys.readouterr().out
    with pytest.raises(NoCommit, match="commit 'HEAD'"):
        extract("HEAD", tmp_path, "no-such-path")


@pytest.mark.usefixtures("history")
def test_files_of_a_commit_are_written_as_they_were(tmp_path: Path) -> None:
    """Only those that are asked for."""
    extract("HEAD", tmp_path, "LICENSE.md")
    assert [path.name for path in tmp_path.iterdir()] == ["LICENSE.md"]
    assert (tmp_path / "LICENSE.md").read_text() == (ROOT / "LICENSE.md").read_text()
