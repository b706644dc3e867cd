"""Tables and code spans of Markdown."""

from collections.abc import Iterable

Row = tuple[str, ...]


def table(head: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def code(text: object) -> str:
    """Text in a code span; a hyphen for none."""
    return f"`{text}`" if text not in (None, "") else "-"
