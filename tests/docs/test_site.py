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


def copied(directory: Path) -> Path:
    """A copy of what the site is built from."""
    shutil.copytree(DOCS, directory / "docs")
    for name in ("mkdocs.yml", "RUNBOOK.md"):
        shutil.copy(ROOT / name, directory)
    hook = Path("scripts", "docs", "site_pages.py")
    (directory / hook).parent.mkdir(parents=True)
    shutil.copy(ROOT / hook, directory / hook)
    return directory


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, with a few links more."""
    directory = copied(tmp_path_factory.mktemp("site") / "whole")
    with (directory / "docs" / "shipping" / "vector.md").open("a") as page:
        page.write("\nSee [the log of changes](../../CHANGELOG.md#unreleased), [persistence](../persistence.md) and ")
        page.write("[replay](../../RUNBOOK.md#replay).\n")
    built = build(directory)
    assert built.returncode == 0, built.stderr
    assert not re.search("^WARNING", built.stderr, re.MULTILINE)
    return directory / "site"


def test_the_site_builds_strictly(site: Path) -> None:
    """No warning, and every page is there and in the navigation of every other, the runbook among them."""
    assert {str(path.relative_to(DOCS)) for path in PAGES} >= REQUIRED
    home = (site / "index.html").read_text()
    for path in (*PAGES, DOCS / "runbook.md"):
        page = str(path.relative_to(DOCS).with_suffix(".html"))
        assert (site / page).exists()
        assert page == "index.html" or f'href="{page}"' in home, page


def test_wrong_links_break_the_build(tmp_path: Path) -> None:
    """A strict build finds each of them."""
    wrong = (
        "[gone](gone.md)",
        "[no such heading](#nowhere)",
        "[absolute](/persistence.md)",
        "[gone](shipping/none.md)",
    )
    directory = copied(tmp_path / "wrong")
    with (directory / "docs" / "status.md").open("a") as page:
        page.write("\n" + "\n".join(wrong) + "\n")
    built = build(directory)
    assert built.returncode != 0
    for target in ("gone.md", "#nowhere", "/persistence.md", "shipping/none.md"):
        assert re.search(f"WARNING.*'{target}'", built.stderr), target


def test_links_out_of_the_pages_lead_to_pages_or_are_names_on_the_site(site: Path) -> None:
    """What is a file of the repository and no page is named; a link from folder to folder stays one."""
    text = (site / "shipping" / "vector.html").read_text()
    assert "See the log of changes (<code>CHANGELOG.md</code> in the repository)" in text
    assert '<a href="../persistence.html">persistence</a>' in text
    assert '<a href="../runbook.html#replay">replay</a>' in text
    assert 'href="runbook.html"' in (site / "alerting.html").read_text()


def test_the_site_is_complete_in_itself(site: Path) -> None:
    """A picture first, code in colours, a search; and nothing that a reader's browser would fetch from elsewhere."""
    home = (site / "index.html").read_text()
    assert home.index("<img ") < home.index("<p>A payment-traffic")
    assert '<span class="nt">' in (site / "shipping" / "filebeat.html").read_text()
    assert "event_timestamp" in (site / "search" / "search_index.json").read_text()
    assert "POST /v1/events/payment_exhaust/batch" in (site / "api.html").read_text()
    fetched = re.compile(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(?:https?:)?//")
    assert [page.name for page in site.rglob("*.html") if fetched.search(page.read_text())] == []


def test_pages_are_ordered_and_new_ones_come_last() -> None:
    """Sections in the order of reading; a page that nobody has placed is not forgotten."""
    names = ["zebra.md", "status.md", "shipping/vector.md", "shipping/index.md", "index.md", "export.md"]
    assert ordered(names) == [
        "index.md",
        {"Start": ["status.md"]},
        {"Lines out": ["export.md", {"Shipping": ["shipping/index.md", "shipping/vector.md"]}]},
        {"More": ["zebra.md"]},
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
