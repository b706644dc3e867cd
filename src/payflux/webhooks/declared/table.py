"""Reading the file of an adapter: what stands in it, and every mistake with its line and what was expected."""

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from payflux.event.taxonomy import CATEGORIES
from payflux.webhooks import vocabulary
from payflux.webhooks.declared import schemes
from payflux.webhooks.declared.members import MEMBERS, REQUIRED, Expression, Members
from payflux.webhooks.declared.schemes import ANY, BODY, DIGESTS, PIECE, SIGNATURE, TIMESTAMP, URL

_TABLE = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?")
_PLACE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")


class Mistake(NamedTuple):
    """One thing wrong in a file: the line it stands in, 1 where it is missing, and what is wrong with it."""

    line: int
    what: str


class Sheet:
    """The text of a file, read; and the mistakes found in it so far.

    Args:
        text: of the file.

    Attributes:
        mistakes: in the order in which they were found.
        top: what it holds; empty where it is not TOML.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self.mistakes: list[Mistake] = []
        self.top: dict[str, Any] = {}
        try:
            self.top = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = _PLACE.search(str(error))
            line = int(found[1]) if found and found[1] else len(self._lines)
            self.mistakes.append(Mistake(line, f"this is not TOML: {_PLACE.sub('', str(error))}"))

    def wrong(self, table: str, key: str, what: str) -> None:
        """Note a mistake in a key of a table; the top of the file is the table without a name."""
        name = f"[{table}] {key}" if table and key else f"[{table}]" if table else key
        self.mistakes.append(Mistake(self._line(table, key), f"{name}: {what}"))

    def _line(self, table: str, key: str) -> int:
        """Where a key stands, or its table when it does not, or the first line."""
        found, inside = 1, not table
        wanted = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
        for number, line in enumerate(self._lines, 1):
            if head := _TABLE.fullmatch(line):
                inside = head[1].strip() == table
                found = number if inside else found
            elif inside and key and wanted.match(line):
                return number
        return found

    def table(self, name: str, *, needed: bool = True) -> dict[str, Any]:
        """A table; empty, and noted, where it is missing or none."""
        found = self.top.get(name)
        if isinstance(found, dict):
            return found
        if found is not None or (needed and self.top):
            self.wrong(name, "", "expected a table")
        return {}

    def only(self, table: str, given: Iterable[str], known: Collection[str]) -> None:
        """Note the keys that nobody knows."""
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
                self.wrong(table, key, f"unknown, {hint}")

    def text(self, table: str, values: Mapping[str, Any], key: str, default: str = "", *, needed: bool = False) -> str:
        """A text; the default where it is missing, noted where it is needed."""
        value: object = values.get(key, default)
        if not isinstance(value, str):
            self.wrong(table, key, "expected a text in quotation marks")
            return default
        if needed and not value:
            self.wrong(table, key, "missing" if key not in values else "expected a text that is not empty")
        return value

    def number(self, table: str, values: Mapping[str, Any], key: str, default: int, limits: tuple[int, int]) -> int:
        """A whole number between two others, both included."""
        low, high = limits
        value: Any = values.get(key, default)
        if type(value) is not int or not low <= value <= high:
            self.wrong(table, key, f"expected a whole number from {low} to {high:,}")
            return default
        return value

    def one_of(self, table: str, values: Mapping[str, Any], key: str, allowed: Collection[str], default: str) -> str:
        """One of a few words."""
        value = self.text(table, values, key, default, needed=True)
        if value and value not in allowed:
            self.wrong(table, key, f"expected one of {', '.join(allowed)}")
            return default
        return value

    def words(self, name: str, allowed: Collection[str], *, needed: bool) -> dict[str, str]:
        """A table from the processor's words to ours."""
        found = self.table(name, needed=needed)
        if needed and not found and isinstance(self.top.get(name), dict):
            self.wrong(name, "", "expected at least one")
        for key, value in found.items():
            if not isinstance(value, str) or value not in allowed:
                near = difflib.get_close_matches(str(value), allowed, n=1)
                self.wrong(name, key, f"did you mean {near[0]}?" if near else f"expected one of {', '.join(allowed)}")
        return {key: str(value) for key, value in found.items()}

    def expressions(self, table: str, key: str, value: object) -> tuple[Expression, ...]:
        """An expression, or a list of them."""
        texts: list[Any] = value if isinstance(value, list) else [value]
        if not texts or not all(isinstance(text, str) for text in texts):
            self.wrong(table, key, "expected an expression in quotation marks, or a list of them")
            return ()
        return tuple(one for text in texts if (one := self._expression(table, key, text)) is not None)

    def _expression(self, table: str, key: str, text: str) -> Expression | None:
        try:
            found = jmespath.compile(text)
        except JMESPathError as error:
            self.wrong(table, key, f"`{text}` is not JMESPath: {_reason(str(error))}")
            return None
        for name in _functions(found.parsed):
            if name not in Functions.FUNCTION_TABLE:
                self.wrong(table, key, f"`{text}`: JMESPath has no function {name}()")
        return found  # type: ignore[no-any-return]


def _reason(text: str) -> str:
    """The first line of an error of JMESPath, and where it points at."""
    first, _, rest = text.partition("\n")
    at = rest.rpartition("\n")[2].find("^")
    return first.partition(": Parse error")[0].rstrip(":") + (f" at character {at}" if at > 0 else "")


def _functions(node: Mapping[str, Any]) -> Iterable[str]:
    """The functions that an expression calls."""
    if node["type"] == "function_expression":
        yield node["value"]
    for inner in node["children"]:
        if isinstance(inner, dict):
            yield from _functions(inner)


TOP = {
    "help": "what its webhooks carry, in half a sentence",
    "days": "how many days the processor repeats what was not acknowledged; 3 where it is not said",
    "items": "where the list of items is, if a webhook has several",
    "amount_in": "`minor`, whole numbers as ISO 4217 has them, or `major`, decimals such as `12.50`",
    "accepted_status": "the status the processor wants to read; 200",
    "accepted_body": "the text it wants to read",
    "signature": "how it proves itself",
    "members": "where in an item what stands",
    "event_types": "what the processor calls events, and what they are",
    "failures": "why payments fail, in its words, and the categories that means",
}
"""Everything a file may hold at its top."""


def members_of(sheet: Sheet) -> Members:
    """What stands where; mistakes are noted in the sheet."""
    given = sheet.table("members")
    sheet.only("members", given, MEMBERS)
    found = {key: sheet.expressions("members", key, value) for key, value in given.items()}
    for key in REQUIRED:
        if given and key not in given:
            sheet.wrong("members", key, "missing")
    if "amount" in given and "currency" not in given:
        sheet.wrong("members", "amount", "says nothing without currency")
    items = sheet.expressions("", "items", sheet.top["items"]) if "items" in sheet.top else ()
    return Members(
        found,
        sheet.words("event_types", vocabulary.OUTCOMES, needed=True),
        sheet.words("failures", CATEGORIES, needed=False),
        items[0] if items else None,
        sheet.one_of("", sheet.top, "amount_in", ("minor", "major"), "minor") == "major",
    )


def scheme_of(sheet: Sheet) -> schemes.Scheme:
    """How it proves itself; mistakes are noted in the sheet."""
    given = sheet.table("signature")
    name = sheet.text("signature", given, "scheme", needed=bool(given))
    if name and name not in SCHEMES:
        sheet.wrong("signature", "scheme", f"expected one of {', '.join(SCHEMES)}")
    keys, make = SCHEMES.get(name, ((), None))
    if make is None:
        return schemes.Unsigned()
    sheet.only("signature", given, ("scheme", *keys))
    return make(sheet, given)


def _hmac(sheet: Sheet, given: Mapping[str, Any]) -> schemes.Hmac:
    scheme = schemes.Hmac(
        header=_header(sheet, given, "header", needed=True),
        digest=sheet.one_of("signature", given, "digest", DIGESTS, "sha256"),
        encoding=sheet.one_of("signature", given, "encoding", ("hex", "base64"), "hex"),
        value=sheet.text("signature", given, "value", SIGNATURE),
        signed=sheet.text("signature", given, "signed", BODY),
        key=sheet.one_of("signature", given, "key", ("text", "hex", "base64"), "text"),
        url=sheet.text("signature", given, "url"),
        timestamp_header=_header(sheet, given, "timestamp_header"),
        tolerance=_tolerance(sheet, given),
    )
    _pieces(sheet, "value", scheme.value, (SIGNATURE, TIMESTAMP, ANY), SIGNATURE)
    _pieces(sheet, "signed", scheme.signed, (BODY, TIMESTAMP, URL, "{header:NAME}"), BODY)
    stamped = TIMESTAMP in scheme.value or scheme.timestamp_header
    if TIMESTAMP in scheme.signed and not stamped:
        sheet.wrong("signature", "signed", "{timestamp} stands nowhere: name timestamp_header, or put it into value")
    if stamped and TIMESTAMP not in scheme.signed:
        sheet.wrong("signature", "signed", "a time that is not signed proves nothing: put {timestamp} into it")
    if URL in scheme.signed and not scheme.url:
        sheet.wrong("signature", "url", "missing, as signed holds {url}: the one the processor sends to")
    return scheme


def _pieces(sheet: Sheet, key: str, text: str, known: Collection[str], needed: str) -> None:
    """Note what is in curly brackets and means nothing, and what has to be there."""
    for piece in PIECE.findall(text):
        if piece not in known and not (key == "signed" and schemes.HEADER.fullmatch(piece)):
            sheet.wrong("signature", key, f"{piece} means nothing, expected {', '.join(known)}")
    if text.count(needed) != 1:
        sheet.wrong("signature", key, f"expected {needed} once in it")


def _header(sheet: Sheet, given: Mapping[str, Any], key: str, default: str = "", *, needed: bool = False) -> bytes:
    name = sheet.text("signature", given, key, default, needed=needed)
    if name and not _HEADER.fullmatch(name):
        sheet.wrong("signature", key, "expected the name of a header")
        return b""
    return name.lower().encode()


def _tolerance(sheet: Sheet, given: Mapping[str, Any]) -> float:
    return float(sheet.number("signature", given, "tolerance_seconds", 300, (1, 86_400)))


def _unsigned(sheet: Sheet, given: Mapping[str, Any]) -> schemes.Unsigned:
    if given.get("allow_unsigned") is not True:
        sheet.wrong("signature", "scheme", "anybody could send events: say allow_unsigned = true if that is meant")
    return schemes.Unsigned()


SCHEMES: dict[str, tuple[tuple[str, ...], Callable[[Sheet, Mapping[str, Any]], schemes.Scheme]]] = {
    "hmac": (
        (
            *("header", "digest", "encoding", "value", "signed", "key"),
            *("url", "timestamp_header", "tolerance_seconds"),
        ),
        _hmac,
    ),
    "standard": (("tolerance_seconds",), lambda sheet, given: schemes.Standard(_tolerance(sheet, given))),
    "basic": ((), lambda _sheet, _given: schemes.basic()),
    "bearer": (
        ("header",),
        lambda sheet, given: schemes.bearer(_header(sheet, given, "header", "Authorization", needed=True)),
    ),
    "none": (("allow_unsigned",), _unsigned),
}
"""Every scheme: the keys of `[signature]` it knows, and what makes it of them."""
