"""A hook of MkDocs: the order of the pages, and links to files of the repository that are no pages."""

import posixpath
import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

ORDER = (
    *(
        "index",
        "quickstart",
        "deployment",
        "events",
        "connect/*",
        "errors",
        "configuration",
        "commands",
        "export",
        "extending",
        "shipping/*",
        "risk",
        "incidents",
        "corpus",
    ),
    *(
        "metrics",
        "operations",
        "alerting",
        "extending",
        "performance",
        "persistence",
        "comparison",
        "status",
        "release",
    ),
)
"""Pages in the order of reading; `*` stands for the others of its folder, and pages that are not named come last."""
TITLES = {"shipping": "Shipping", "connect": "Connect a processor"}
LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)(?:#[^)]*)?\)")
Navigation = list[str | dict[str, Any]]


def ordered(names: list[str]) -> Navigation:
    """The navigation for these source files.

    Args:
        names: paths below `docs/`, each ending in `.md`.
    """
    rest = sorted(names)
    found: Navigation = []
    for entry in ORDER:
        folder = entry.removesuffix("/*")
        if folder != entry:
            pages = [name for name in rest if name.startswith(f"{folder}/")]
            pages.sort(key=lambda name: (not name.endswith("/index.md"), name))
            found += [{TITLES[folder]: pages}] if pages else []
        else:
            pages = [f"{entry}.md"] if f"{entry}.md" in rest else []
            found += pages
        rest = [name for name in rest if name not in pages]
    return found + list(rest)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Every page that is there is in the navigation."""
    config.nav = ordered([file.src_uri for file in files.documentation_pages()])
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """A link out of `docs/`, which works in the repository, is a name here."""
    return LINK.sub(lambda link: _named(link, page.file.src_uri), markdown)


def _named(link: re.Match[str], source: str) -> str:
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
    return f"{link[1]} (`{target.removeprefix('../')}` in the repository)" if target.startswith("../") else link[0]
