"""Who changes what: an object's fields are its own, and none changes more of them than one can keep in mind."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent / "src/payflux"
ROOMS = ("client", "consume", "http")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).glob("*.py"))
MOST_CHANGED = 8
BUILDING = {"__init__", "__post_init__"}
CHANGING = {
    *(
        "add",
        "append",
        "appendleft",
        "clear",
        "difference_update",
        "discard",
        "extend",
        "insert",
        "intersection_update",
    ),
    *("pop", "popitem", "popleft", "remove", "reverse", "setdefault", "sort", "update"),
}
"""Methods of lists, dictionaries and sets that change them; own objects are changed by methods of their own."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def named(path: Path) -> str:
    """A file as people call it."""
    return str(path.relative_to(ROOT))


class Change(NamedTuple):
    """A field is changed: of `self`, or of another object, as the source names it."""

    owner: str
    field: str
    line: int
    by_method: bool = False


def changes(function: Function) -> Iterator[Change]:
    """Every change of a field in a function: assigned, deleted, or its container changed, under another name too."""
    aliases = dict(_aliases(function))
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield from _change(node, aliases)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
            container = _named(node.func.value, aliases)
            if isinstance(container, ast.Attribute):
                yield Change(ast.unparse(container.value), container.attr, node.lineno, by_method=True)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"setattr", "delattr", "object.__setattr__"}:
            yield Change(ast.unparse(node.args[0]), ast.unparse(node.args[1]), node.lineno)


def _change(node: ast.expr, aliases: dict[str, ast.expr]) -> Iterator[Change]:
    target = node
    while isinstance(target, ast.Subscript):
        target = _named(target.value, aliases)
    if isinstance(target, ast.Attribute):
        yield Change(ast.unparse(target.value), target.attr, node.lineno)


def _aliases(function: Function) -> Iterator[tuple[str, ast.expr]]:
    """Local names of fields: `left = self.left`."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=False))
                for name, value in pairs:
                    if isinstance(name, ast.Name) and isinstance(value, ast.Attribute):
                        yield name.id, value


def _named(value: ast.expr, aliases: dict[str, ast.expr]) -> ast.expr:
    return aliases.get(value.id, value) if isinstance(value, ast.Name) else value


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions in a tree, methods among them."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def changed_by_others(tree: ast.Module) -> list[str]:
    """The changes of fields of anything but `self`."""
    found = {change for function in functions(tree) for change in changes(function) if change.owner != "self"}
    return [f"{change.owner}.{change.field}" for change in sorted(found, key=lambda change: change.line)]


def changed_fields(tree: ast.Module) -> dict[str, set[str]]:
    """By class: the fields its methods change after it was built."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in ast.walk(tree):
        if isinstance(one, ast.ClassDef):
            containers = set(_containers(one))
            later = chain.from_iterable(changes(method) for method in functions(one) if method.name not in BUILDING)
            own = (change for change in later if change.owner == "self")
            found[one.name] = {change.field for change in own if not change.by_method or change.field in containers}
    return dict(found)


def _containers(one: ast.ClassDef) -> Iterator[str]:
    """Fields that are built as a list, a dictionary or a set; another object's `add` is that object's affair."""
    literals = ast.Dict | ast.DictComp | ast.List | ast.ListComp | ast.Set | ast.SetComp
    for node in ast.walk(one):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            called = ast.unparse(node.value.func) if isinstance(node.value, ast.Call) else ""
            if isinstance(node.value, literals) or called.split(".")[-1] in {
                "dict",
                "list",
                "set",
                "deque",
                "fromkeys",
            }:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield from (target.attr for target in targets if isinstance(target, ast.Attribute))


def test_there_are_classes_to_look_at() -> None:
    """The rules below are not kept by looking in the wrong place."""
    found = {name: fields for path in SOURCES for name, fields in changed_fields(ast.parse(path.read_text())).items()}
    assert {"Consumer", "ConsumerLedger", "Membership", "Settlement", "SeqAudit", "Reader", "Queue"} <= set(found)
    assert "_state" in found["Consumer"]
    assert "_unacked" in found["ConsumerLedger"]


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_an_object_changes_its_own_fields_only(path: Path) -> None:
    """Whoever wants another's changed calls a method of it, which says what happened."""
    assert changed_by_others(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_no_class_changes_too_many_fields(path: Path) -> None:
    """A class that changes more than eight fields after it was built is two classes."""
    found = changed_fields(ast.parse(path.read_text()))
    assert {name: fields for name, fields in found.items() if len(fields) > MOST_CHANGED} == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("batch.audit.trimmed += 1", ["batch.audit.trimmed"]),
        ("self.progress.audit.last_id = 1", ["self.progress.audit.last_id"]),
        ("self.settlement.doubt, x = None, 1", ["self.settlement.doubt"]),
        ("del batch.invalid[1]", ["batch.invalid"]),
        ("batch.lines[1][2] = 3", ["batch.lines"]),
        ("self.progress.left.update({})", ["self.progress.left"]),
        ("left = self.progress.left\nleft.clear()", ["self.progress.left"]),
        ("left, right = self.progress.left, 1\ndel left[right]", ["self.progress.left"]),
        ("for self.other.field in (): pass", ["self.other.field"]),
        ("with f() as other.field: pass", ["other.field"]),
        ("setattr(other, 'field', 1)", ["other.'field'"]),
        ("self.field = self.fields[1] = 1\nself.fields.clear()\nfields = self.fields\ndel fields[1]", []),
        ("self.ledger.update(1)\nother.update(1)\nlocal = {}\nlocal[1] = other.field\nlocal.clear()", []),
    ],
)
def test_the_rule_about_others_finds_them(code: str, found: list[str]) -> None:
    """The rule is not kept by a search that finds nothing, nor broken by what is allowed."""
    body = "".join(f"        {line}\n" for line in code.splitlines())
    assert changed_by_others(ast.parse(f"class A:\n    async def f(self, other, batch):\n{body}")) == found


def test_the_rule_about_numbers_counts_them() -> None:
    """Whatever way they are changed, once each; building does not count, nor what another object does with itself."""
    code = """
class A:
    def __init__(self, metrics):
        self.metrics = metrics
        self.a = self.b = 0
        self.c: set[int] = set()
        self.d = {}
        self.never = []
    def f(self):
        self.a += 1
        self.b, self.e = 1, 2
        self.c.add(1)
        d = self.d
        d[1] = 2
        self.metrics.add(1)
        self.a = 3
"""
    assert changed_fields(ast.parse(code)) == {"A": {"a", "b", "c", "d", "e"}}
