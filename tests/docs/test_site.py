"""The documentation site: it builds strictly, holds every page, and its examples are well-formed."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploying import ROOT, run
from scripts.docs.site_pages import ordered

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
EXAMPLES = re.compile(r"^```(yaml|json)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
REQUIRED = {
    *("index.md", "deployment.md", "persistence.md", "comparison.md", "status.md", "release.md", "shipping/index.md"),
    *(
        f"shipping/{name}.md"
        for name in ("vector", "fluent-bit", "filebeat", "datadog", "cloudwatch", "journald", "docker")
    ),
}


def build(directory: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a copy of the documentation; not quietly, or warnings would not count."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory / "site")]
    return run(command, cwd=directory)


@pytest.fixture
def copied(directory: Path) -> Path:
    """A copy of what the site is built from."""
    shutil.copytree(DOCS, directory / "docs")
    shutil.copy(ROOT / "mkdocs.yml", directory)
    hook = Path("scripts", "docs", "site_pages.py")
    (directory / hook).parent.mkdir(parents=True)
    shutil.copy(ROOT / hook, directory / hook)
    return directory


def test_the_site_builds_strictly(copied: Path) -> None:
    """No warning, and every page is there and in the navigation of every other."""
    built = build(copied)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    assert {str(path.relative_to(DOCS)) for path in PAGES} >= REQUIRED
    home = (copied / "site" / "index.html").read_text()
    for path in PAGES:
        page = str(path.relative_to(DOCS).with_suffix(".html"))
        assert (copied / "site" / page).exists()
        assert f'href="{page}"' in home, page


@pytest.mark.parametrize(
    "wrong",
    ["[gone](gone.md)", "[no such heading](#nowhere)", "[absolute](/persistence.md)", "[gone](shipping/gone.md)"],
)
def test_a_wrong_link_breaks_the_build(wrong: str, copied: Path) -> None:
    """A strict build finds it."""
    with (copied / "docs" / "status.md").open("a") as page:
        page.write(f"\n{wrong}\n")
    assert build(copied).returncode != 0


def test_links_out_of_the_pages_are_names_on_the_site(copied: Path) -> None:
    """What is a file of the repository and no page is named; a link from folder to folder stays one."""
    with (copied / "docs" / "shipping" / "vector.md").open("a") as page:
        page.write("\nSee [the log of changes](../../CHANGELOG.md#unreleased) and [persistence](../persistence.md).\n")
    assert build(copied).returncode == 0
    text = (copied / "site" / "shipping" / "vector.html").read_text()
    assert "See the log of changes (<code>CHANGELOG.md</code> in the repository)" in text
    assert '<a href="../persistence.html">persistence</a>' in text


def test_pages_are_ordered_and_new_ones_come_last() -> None:
    """The order of reading; a page that nobody has placed is not forgotten."""
    assert ordered(["zebra.md", "status.md", "shipping/vector.md", "shipping/index.md", "index.md"]) == [
        "index.md",
        {"Shipping": ["shipping/index.md", "shipping/vector.md"]},
        "status.md",
        "zebra.md",
    ]


def test_examples_are_well_formed() -> None:
    """Each YAML and JSON block of the shipping pages can be read, and names the file the others name."""
    found = 0
    for path in sorted((DOCS / "shipping").glob("*.md")):
        for kind, text in EXAMPLES.findall(path.read_text()):
            assert json.loads(text) if kind == "json" else yaml.safe_load(text), path
            found += 1
    assert found >= 6
    for name in ("filebeat", "datadog", "cloudwatch"):
        assert "/var/log/payflux/events.jsonl" in (DOCS / "shipping" / f"{name}.md").read_text()


def test_files_named_in_the_pages_exist() -> None:
    """What is said to be in `deploy/` is there."""
    text = "".join(path.read_text() for path in PAGES) + (ROOT / "SECURITY.md").read_text()
    named = set(re.findall(r"`(deploy/[\w./-]+|SECURITY\.md|LICENSE\.md|docs/[\w./-]+|requirements\.lock)`", text))
    assert len(named) > 8
    assert {name for name in named if not (ROOT / name).exists()} == set()
