"""A hook of MkDocs: the sections of the navigation, pages that stand outside `docs/`, and links out of it."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

SECTIONS = {
    "Start": ("quickstart", "deployment", "status", "comparison"),
    "Events in": ("events", "connect/*", "errors", "api"),
    "Lines out": ("export", "export/*", "shipping/*"),
    "Risk": ("risk", "incidents", "alerting", "detection", "backtest", "corpus"),
    "Operate": ("runbook", "operations", "commands", "configuration", "metrics", "persistence", "performance"),
    "Extend": ("extending", "release"),
}
"""Pages in the order of reading; `*` stands for the others of its folder, and pages that are not named come last."""
HOME = "index.md"
REST = "More"
TITLES = {"export": "Destinations", "shipping": "Shipping", "connect": "Connect a processor"}
OUTSIDE = {"RUNBOOK.md": "runbook.md"}
"""Files of the repository that are pages of the site, and their names there."""
LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)(#[^)]*)?\)")
Navigation = list[str | dict[str, Any]]


def ordered(names: list[str]) -> Navigation:
    """The navigation for these source files.

    Args:
        names: paths of pages, each ending in `.md`.
    """
    rest = sorted(names)
    found: Navigation = [name for name in rest if name == HOME]
    rest = [name for name in rest if name != HOME]
    for title, entries in SECTIONS.items():
        section: Navigation = []
        for entry in entries:
            pages = _pages(entry, rest)
            folder = entry.removesuffix("/*")
            section += [{TITLES[folder]: pages}] if pages and folder != entry else pages
            rest = [name for name in rest if name not in pages]
        found += [{title: section}] if section else []
    return [*found, {REST: rest}] if rest else found


def _pages(entry: str, names: list[str]) -> list[str]:
    """Those that an entry of a section stands for; the first page of a folder comes first."""
    if not entry.endswith("/*"):
        return [name for name in names if name == f"{entry}.md"]
    pages = [name for name in names if name.startswith(entry.removesuffix("*"))]
    return sorted(pages, key=lambda name: (not name.endswith("/index.md"), name))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Every page that is there is in the navigation, those from outside included."""
    root = Path(config.config_file_path).parent
    for source, name in OUTSIDE.items():
        text = (root / source).read_text().replace("](docs/", "](")
        files.append(File.generated(config, name, content=text))
    config.nav = ordered([file.src_uri for file in files.documentation_pages()])
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """A link out of `docs/`, which works in the repository, leads to a page here, or is a name."""
    return LINK.sub(lambda link: _led(link, page.file.src_uri), markdown)


def _led(link: re.Match[str], source: str) -> str:
    folder = posixpath.dirname(source)
    target = posixpath.normpath(posixpath.join(folder, link[2]))
    if not target.startswith("../"):
        return link[0]
    name = target.removeprefix("../")
    if name in OUTSIDE:
        return f"[{link[1]}]({posixpath.relpath(OUTSIDE[name], folder or '.')}{link[3] or ''})"
    return f"{link[1]} (`{name}` in the repository)"
