"""Settings: each declared once, beside what uses it; parsing, errors and documentation come from the declaration."""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar, cast

from payflux.errors import SettingsError

T = TypeVar("T")
Role = Literal["all", "ingest", "consume", "export"]
PREFIX = "PAYFLUX_"
FILE = "_FILE"
"""What is added to the name of a secret's variable to name a file that holds it."""
SECRET_BYTES = 65_536
NO_FILES: Mapping[str, str] = MappingProxyType({})
_LOGIN = re.compile(r"(//|^|[\s,=])[^\s,=/@:]*:\S*@")  # user:password@, a password may hold anything


def mask(secret: str) -> str:
    """A secret as it may be shown: its length class and its last two characters, or nothing of a short one."""
    return f"****{secret[-2:]}" if len(secret) >= 12 else "****"


@dataclass(frozen=True, eq=False)
class Setting(Generic[T]):
    """One environment variable.

    Attributes:
        name: of the variable.
        parse: text to value; raises ValueError whose text completes "expected …".
        default: as it would be written in the environment; None when there is none, and the value is then None.
        help: one sentence for the documentation.
        secret: its value is masked wherever it is shown.
        masked: how, where a part of it is no secret.
        look: looks at what the text names, such as a file, and raises as `parse` does; not for what was handed on.
    """

    name: str
    parse: Callable[[str], T]
    default: str | None
    help: str
    secret: bool = False
    masked: Callable[[str], str] = mask
    look: Callable[[str], None] | None = None

    def show(self, text: str) -> str:
        """The value as it may be shown: a secret's is masked, and what looks like a login in any other."""
        return self.masked(text) if self.secret else _LOGIN.sub(r"\1****@", text)


def optional(
    name: str,
    parse: Callable[[str], T],
    meaning: str,
    *,
    secret: bool = False,
    masked: Callable[[str], str] = mask,
    look: Callable[[str], None] | None = None,
) -> Setting[T | None]:
    """A setting that may be unset, and is None then."""
    return Setting[T | None](name, parse, None, meaning, secret, masked, look)


class Values:
    """The settings of one process, read once at its start."""

    def __init__(
        self,
        values: Mapping[str, object],
        texts: Mapping[str, str],
        warnings: Sequence[str],
        files: Mapping[str, str] = NO_FILES,
    ) -> None:
        self._values = values
        self._texts = texts
        self._files = files
        self.warnings = tuple(warnings)

    def __getitem__(self, setting: Setting[T]) -> T:
        return cast("T", self._values[setting.name])

    def is_set(self, setting: Setting[Any]) -> bool:
        """Whether the environment holds the variable with anything in it, or names a file that does."""
        return setting.name in self._texts

    def source(self, setting: Setting[Any]) -> Literal["environment", "file", "default"]:
        """Where its value comes from."""
        if setting.name in self._files:
            return "file"
        return "environment" if self.is_set(setting) else "default"

    def given(self) -> dict[str, str]:
        """All that was set, as an environment for another process of the node: secrets as they are, none in a file."""
        return dict(self._texts)

    def file_of(self, setting: Setting[Any]) -> str:
        """The path of the file its value stood in; empty when there is none."""
        return self._files.get(setting.name, "")

    def handed_on(self) -> dict[str, str]:
        """What is `given`, and in which files it stood, for another process of the node: see `load`."""
        return self.given() | {name + FILE: path for name, path in self._files.items()}

    def text(self, setting: Setting[Any]) -> str | None:
        """What the environment holds, or the default; as it may be shown."""
        text = self._texts.get(setting.name, setting.default)
        return None if text is None else setting.show(text)


Check = Callable[[Values], Iterable[str]]
"""A rule over several settings: yields one line for each problem."""


def environment() -> dict[str, str]:
    """The process's environment; the only place that reads it."""
    return dict(os.environ)  # noqa: TID251


def load(
    declared: Sequence[Setting[Any]],
    environ: Mapping[str, str],
    checks: Sequence[Check] = (),
    *,
    handed_on: bool = False,
) -> Values:
    """Read all settings.

    Args:
        declared: every setting of the program.
        environ: the environment; an empty value counts as unset.
        checks: rules over several settings, asked only about values that could be read.
        handed_on: the environment is what another process of the node has checked and `handed_on`: no file is read
            and no rule asked, as a process that died has to be replaced whatever has become of files since.

    Returns:
        The values, with `warnings` for unknown `PAYFLUX_*` variables that resemble none of ours.

    Raises:
        SettingsError: with one line for every problem, all of them at once.
    """
    texts = {s.name: environ[s.name].strip() for s in declared if environ.get(s.name, "").strip()}
    values: dict[str, object] = {}
    files = {s.name: path for s in declared if s.secret and (path := environ.get(s.name + FILE, "").strip())}
    in_files, unusable, problems = ({}, set[str](), list[str]()) if handed_on else _secrets(files, texts)
    texts |= in_files
    for setting in declared:
        if setting.name in unusable:
            continue
        text = texts.get(setting.name, setting.default)
        try:
            if text is not None and setting.look is not None and not handed_on:
                setting.look(text)
            values[setting.name] = None if text is None else setting.parse(text)
        except ValueError as error:
            problems.append(f"{setting.name}={setting.show(text or '')!r}: expected {error}")
    misspelt, warnings = _unknown(variables(declared), environ)
    problems += misspelt
    loaded = Values(values, texts, warnings, files)
    for check in () if handed_on else checks:
        try:
            problems += check(loaded)
        except KeyError:
            continue  # it asks about a setting that is reported already
    if problems:
        raise SettingsError(problems)
    return loaded


def variables(settings: Iterable[Setting[Any]]) -> list[str]:
    """The variables that settings are read from, those that name a file with a secret included."""
    return [name for s in settings for name in ((s.name, s.name + FILE) if s.secret else (s.name,))]


def _secrets(files: Mapping[str, str], texts: Mapping[str, str]) -> tuple[dict[str, str], set[str], list[str]]:
    """The secrets that stand in files; the names of those that cannot be had, and why."""
    found: dict[str, str] = {}
    problems: dict[str, str] = {}
    for name, path in files.items():
        if name in texts:
            problems[name] = f"{name}{FILE}={path!r}: expected nothing, as {name} is set too"
            continue
        try:
            found[name] = secret_in(path)
        except ValueError as error:
            problems[name] = f"{name}{FILE}={path!r}: expected {error}"
    return found, set(problems), list(problems.values())


def secret_in(path: str) -> str:
    """What stands in a file; raises ValueError whose text completes "expected …" and holds nothing of it."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(SECRET_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ValueError(f"a file that can be read ({getattr(error, 'strerror', None) or error})") from None
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        text = "\0"
    if len(data) > SECRET_BYTES or "\0" in text:
        raise ValueError(f"a text file of at most {SECRET_BYTES:,} bytes")
    if not text:
        raise ValueError("a file with the secret in it, this one is empty")
    return text


def _unknown(known: Sequence[str], environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    problems, warnings = [], []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.88)
        if near:
            problems.append(f"{name}: unknown variable, did you mean {near[0]}?")
        else:
            warnings.append(f"{name}: unknown variable, ignored")
    return problems, warnings


def integer(low: int, high: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`, both included."""
    wanted = f"a whole number from {low} to {high}" if high is not None else f"a whole number, {low} or more"

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > 15:
            raise ValueError(wanted)
        value = int(text)
        if value < low or (high is not None and value > high):
            raise ValueError(wanted)
        return value

    return parse


def flag(text: str) -> bool:
    """A parser of `true` and `false`, with the spellings `1`, `0`, `yes`, `no`, `on`, `off`."""
    value = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if text.lower() not in value:
        raise ValueError("true or false")
    return value[text.lower()]


def choice(*allowed: str) -> Callable[[str], str]:
    """A parser of one of the words `allowed`."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text

    return parse


def words(text: str) -> tuple[str, ...]:
    """A parser of words separated by commas or line ends; blanks around them and empty ones are dropped."""
    found = tuple(word.strip() for word in re.split(r"[,\n]", text) if word.strip())
    if not found:
        raise ValueError("at least one value, separated by commas")
    return found


def imported(target: str, what: str) -> Any:
    """What a `module:Name` in a setting speaks of; the module may be anybody's.

    Args:
        target: the module and the name in it.
        what: what it ought to be, with its article.

    Raises:
        ValueError: it cannot be imported; the text completes "expected …".
    """
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # noqa: BLE001 - a module of somebody else's raises what it likes
        raise ValueError(f"{what} that can be imported ({type(error).__name__}: {error})") from None


def set_environment(changes: Mapping[str, str]) -> None:
    """Set variables for this process and its children; an empty text unsets one."""
    os.environ.update(changes)  # noqa: TID251
