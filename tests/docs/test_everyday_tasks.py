"""The pages that lead to the code name files that are there."""

import re

from deploying import ROOT

ROW = re.compile(r"^\| [^|]+ \| `([a-z_/]+\.(?:py|lua))` \|$", re.MULTILINE)


def test_the_answers_to_the_everyday_tasks_exist() -> None:
    """Ten tasks, each with the file that changes."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("Ten everyday tasks")[2].partition("\n## ")[0]
    answers = ROW.findall(section)
    assert len(answers) == 10
    assert [name for name in answers if not (ROOT / "src" / "payflux" / name).is_file()] == []


def test_every_room_is_on_the_page() -> None:
    """A folder that nobody introduced is a room without a name; one that has gone is not promised."""
    section = (ROOT / "ARCHITECTURE.md").read_text().partition("## Rooms")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `([a-z]+)/` \|", section, re.MULTILINE))
    assert named == {path.parent.name for path in (ROOT / "src" / "payflux").glob("*/__init__.py")}
