"""Whether the export file is rotated, and so that no line is lost; read from logrotate's configuration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from payflux.finding import Finding

LOGROTATE = (Path("/etc/logrotate.conf"), Path("/etc/logrotate.d"))
PROCESSES = Path("/proc")
OURS = "payflux-rotate"
SCRIPTS = ("postrotate", "prerotate", "firstaction", "lastaction", "preremove")
FIX = "install deploy/logrotate/payflux as /etc/logrotate.d/payflux"


@dataclass(frozen=True)
class Stanza:
    """One block of logrotate: which files, its directives, and what runs after the turn."""

    source: Path
    patterns: tuple[str, ...]
    directives: frozenset[str]
    postrotate: str


def judge_stdout_rotation() -> Finding:
    """Lines on stdout belong to whoever reads them."""
    return Finding("rotation", "pass", "lines go to stdout: journald, Docker or the shipper keeps and rotates them")


def judge_rotation(path: str, places: Sequence[Path] = LOGROTATE) -> Finding:
    """Judge the rotation of the export file.

    Args:
        path: of the export file.
        places: files and directories with logrotate's configuration.
    """
    target = str(Path(path).resolve())
    try:
        stanzas = [s for s in _stanzas(places) if any(fnmatchcase(target, pattern) for pattern in s.patterns)]
    except OSError as error:
        return Finding("rotation", "warn", f"logrotate's configuration cannot be read: {error}", "run this as root")
    if stanzas:
        return _judge(stanzas[0])
    if _runs_beside(target):
        return Finding("rotation", "pass", f"{OURS} runs and rotates {path}")
    rotated = sorted(Path(target).parent.glob(Path(target).name + ".*"))
    if rotated:
        return Finding("rotation", "pass", f"logrotate does not know {path}, but there is {rotated[0].name}")
    return Finding("rotation", "fail", f"nothing rotates {path}: it grows until the disk is full", FIX)


def _runs_beside(target: str) -> bool:
    """Whether the rotation of the image runs for this file."""
    for command in PROCESSES.glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended, or is somebody else's
        if target in words and any(Path(word).name == OURS for word in words):
            return True
    return False


def _judge(stanza: Stanza) -> Finding:
    where = stanza.source
    if "copytruncate" in stanza.directives:
        return Finding("rotation", "fail", f"{where}: copytruncate loses lines written between copy and cut", FIX)
    if "HUP" not in stanza.postrotate:
        return Finding("rotation", "fail", f"{where}: no SIGHUP, so the node goes on writing to the renamed file", FIX)
    if "compress" in stanza.directives and "delaycompress" not in stanza.directives:
        reason = f"{where}: compresses what the node or the shipper may not have left yet"
        return Finding("rotation", "warn", reason, "add delaycompress")
    return Finding("rotation", "pass", f"{where} rotates it, and tells the node by SIGHUP")


def _stanzas(places: Sequence[Path]) -> Iterator[Stanza]:
    for place in places:
        files = sorted(place.iterdir()) if place.is_dir() else [place] if place.exists() else []
        for file in files:
            if file.is_file():
                yield from _parse(file)


def _parse(file: Path) -> Iterator[Stanza]:
    """The blocks of one file; logrotate(8) says how they are written."""
    patterns: list[str] = []
    directives: set[str] = set()
    scripts: dict[str, list[str]] = {}
    script: str | None = None
    inside = False
    for raw in file.read_text(errors="replace").splitlines():
        line = raw.strip()
        if script is not None:
            if line == "endscript":
                script = None
            else:
                scripts.setdefault(script, []).append(line)
        elif not line or line.startswith("#"):
            continue
        elif inside and line == "}":
            yield Stanza(file, tuple(patterns), frozenset(directives), "\n".join(scripts.get("postrotate", [])))
            patterns, directives, scripts, inside = [], set(), {}, False
        elif inside:
            word = line.split()[0]
            script = word if word in SCRIPTS else None
            directives.add(word)
        else:
            inside = line.endswith("{")
            patterns += [word.strip('"') for word in line.removesuffix("{").split() if word.strip('"').startswith("/")]
