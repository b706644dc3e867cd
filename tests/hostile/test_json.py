"""JSON torture: whatever is sent as an event is stored as exactly what it says, or refused as what it is."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from events import CANONICAL, compact
from http_attacks import ATTACKS
from mutations import damaged
from payflux.errors import InvalidEvent
from payflux.event.decode import decode_event
from payflux.event.example import EXAMPLE

DAMAGED = 5_000
"""Events that are damaged, in a round."""

VALID = [
    # numbers
    *(
        "0",
        "-0",
        "1",
        "-1",
        "10",
        "123456789",
        "0.0",
        "-0.0",
        "1.5",
        "1e1",
        "1E1",
        "1e+1",
        "1e-1",
        "0e0",
        "0E+0",
        "-1.5e-9",
    ),
    *(
        "1e400",
        "-1e400",
        "1e-400",
        "0.1e99999999",
        "9" * 400,
        "-" + "9" * 400,
        "0." + "1" * 400,
        "123e" + "0" * 40 + "1",
    ),
    # words
    *("true", "false", "null"),
    # texts
    *(
        '""',
        '"a"',
        '" "',
        '"\\""',
        '"\\\\"',
        '"\\/"',
        '"\\b\\f\\n\\r\\t"',
        '"\\u0041"',
        '"\\u00e9"',
        '"\\u0000"',
        '"\\uFFFF"',
    ),
    *(
        '"\\ud83d\\ude00"',
        '"\\uD83D\\uDE00"',
        '"é"',
        '"\u20ac"',
        '"\U0001f600"',
        '"\u2028\u2029"',
        '"\x7f"',
        '"\ufeff"',
        '"\ufffe"',
    ),
    *(
        '"' + "a" * 10_000 + '"',
        '"\\u005c\\u0022"',
        '"/* no comment */"',
        '"</script>"',
        '"\'"',
        '"%00"',
        '"{}"',
        '"a:b"',
        '"a,b"',
    ),
    # arrays and objects
    *("[]", "[ ]", "[[]]", "[0]", "[0,1]", "[ 0 , 1 ]", "[null]", '["a",{}]', "[" * 100 + "]" * 100, "[\n\t\r 1\n]"),
    *(
        "{}",
        "{ }",
        '{"a":1}',
        '{ "a" : 1 }',
        '{"":0}',
        '{"a":{"a":{"a":1}}}',
        '{"a":1,"b":1}',
        '{"\\u0061":1}',
        '{"a\\u0000":1}',
    ),
    *('{"event_id":"x"}', '{"__proto__":{}}', '{"a":[{"b":[{"c":[]}]}]}', '{"a":' * 100 + "1" + "}" * 100),
]
"""What is JSON."""

INVALID = [
    # numbers
    *(
        "-",
        "+",
        "+1",
        "01",
        "-01",
        "00",
        "1.",
        ".1",
        "-.1",
        "1.e1",
        "1e",
        "1e+",
        "1E-",
        "1.2.3",
        "1e1.5",
        "0x1",
        "0b1",
        "0o7",
        "1_0",
    ),
    *(
        "1 2",
        "- 1",
        "--1",
        "-+1",
        "1;5",
        "Infinity",
        "-Infinity",
        "+Infinity",
        "NaN",
        "nan",
        "-NaN",
        "1f",
        "1L",
        "\uff11",
        "\u0661",
        "1/2",
    ),
    # words
    *(
        "True",
        "TRUE",
        "tru",
        "truee",
        "nul",
        "Null",
        "None",
        "undefined",
        "yes",
        "a",
        "t",
        "true false",
        "nulll",
        "\\u006eull",
    ),
    # texts
    *(
        '"',
        '"a',
        'a"',
        "'a'",
        '"a""b"',
        '"\\"',
        '"\\x41"',
        '"\\u"',
        '"\\u0"',
        '"\\u00"',
        '"\\u004"',
        '"\\u00g0"',
        '"\\U0041"',
        '"\\a"',
    ),
    *(
        '"\\v"',
        '"\\0"',
        '"\\\'"',
        '"\\ "',
        '"\t"',
        '"\n"',
        '"\r"',
        '"\x00"',
        '"\x1f"',
        '"a\nb"',
        '"\\u 041"',
        '"\\uD83D\\u"',
        "`a`",
        "\u201ca\u201d",
    ),
    *('"\\ud800"', '"\\udc00"', '"\\ud800\\ud800"', '"\\udc00\\ud800"', '"\\ud83dx"', '"\\ud83d\\n"'),
    # arrays and objects
    *(
        "[",
        "]",
        "[1",
        "1]",
        "[1,]",
        "[,1]",
        "[,]",
        "[1,,2]",
        "[1 2]",
        "[1;2]",
        "[1:2]",
        "(1)",
        "[1}",
        "[[1]",
        "[1]]",
        "[...]",
        "<1>",
    ),
    *(
        "{",
        "}",
        "{1",
        '{"a"}',
        '{"a":}',
        "{:1}",
        '{"a":1,}',
        '{,"a":1}',
        '{"a":1,,"b":2}',
        '{"a" 1}',
        '{"a"=1}',
        "{a:1}",
        "{'a':1}",
    ),
    *(
        "{1:1}",
        "{null:1}",
        "{[]:1}",
        '{"a":1 "b":2}',
        '{"a":1;"b":2}',
        '{"a":1]',
        '{"a":1}}',
        '{"a":1',
        '{"a":1,"a":2}',
        '{"a":1,"\\u0061":2}',
    ),
    *('{"a":{"b":1,"b":1}}', '[{"a":1,"a":1}]', '{"":1,"":1}'),
    # around
    *(
        "",
        " ",
        "\n",
        "/**/1",
        "1/**/",
        "//1\n1",
        "#1\n1",
        "1 //",
        "\x0b1",
        "\x0c1",
        "\xa01",
        "\u20281",
        "\ufeff1",
        "1\x00",
        "\x001",
        "1;",
        "@",
        "$",
        "*",
    ),
]
"""What is none, or names a member twice."""

RAW = [
    *(
        b"\xff",
        b"\x80",
        b"\xc0\xaf",
        b"\xc3",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x9f\x98",
        b"\xf4\x90\x80\x80",
    ),
    *(b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xc1\x81", b"a\xe9b", b"\xc3\x28"),
]
"""What is no UTF-8."""

PLACES = [
    *(
        '{{"further":{},{}',
        '{{"further":[0,{},1],{}',
        '{{"further":{{"a":{}}},{}',
        '{{ "further" : {} , {}',
        '{{\n"further"\n:\n{}\n,\n{}',
    ),
]
"""Where a value stands: a member that is none of an event's, before all others."""

WRITTEN = (len(VALID) + len(INVALID)) * len(PLACES) + len(RAW) * 2


def judged(body: bytes) -> str:
    """What becomes of an event: `stored`, or the code of its refusal."""
    try:
        stored = decode_event(body)
    except InvalidEvent as error:
        return error.code
    assert decode_event(stored.data).data == stored.data
    return "stored"


def placed(value: str, place: str) -> bytes:
    """The example of an event, with a value in it."""
    return place.format(value, CANONICAL.decode()[1:]).encode("utf-8", "surrogatepass")


IN_EACH = f"{len(VALID) + len(INVALID)} inputs "


@pytest.mark.parametrize(
    "place",
    PLACES,
    ids=[IN_EACH + "alone", *(IN_EACH + where for where in ("in an array", "in an object", "in blanks", "in lines"))],
)
def test_json_is_taken_and_nothing_else(place: str) -> None:
    """A member that is not ours is dropped unread; but what is no JSON, or names a member twice, is no event."""
    wrong = {value: found for value in VALID if (found := judged(placed(value, place))) != "stored"}
    assert not wrong
    refused = {value: judged(placed(value, place)) for value in INVALID}
    assert {*refused.values()} <= {"invalid_json", "duplicate_member"}, {
        value: code for value, code in refused.items() if code not in {"invalid_json", "duplicate_member"}
    }


@pytest.mark.parametrize("member", ["further", "channel"])
def test_what_is_no_utf_8_is_no_json(member: str) -> None:
    """In a member of ours and in one that is not."""
    body = compact({"further": "?", **EXAMPLE, "channel": "?"})
    marked = body.replace(b'"%b":"?"' % member.encode(), b'"%b":"\xff\xff"' % member.encode())
    for raw in RAW:
        assert judged(marked.replace(b"\xff\xff", raw)) == "invalid_json", raw


@pytest.mark.parametrize("count", [DAMAGED], ids="{:,} inputs".format)
def test_a_damaged_event_is_what_it_says_or_refused(rng: random.Random, count: int) -> None:
    """Another reader of JSON says the same of each; what is stored holds the members as they were sent."""
    seeds = [CANONICAL, compact(EXAMPLE | {"further": {"a": [1, "é", None]}}), json.dumps(EXAMPLE, indent=1).encode()]
    for body in damaged(seeds, rng, count):
        code, told = judged(body), _read(body)
        assert (code == "stored") <= (told is not None), body
        assert (code == "invalid_json") <= (told is None), body
        if code == "stored":
            assert told is not None
            stored: dict[str, Any] = json.loads(decode_event(body).data)
            for name in stored.keys() & told.keys() - {"event_timestamp", "event_id"}:
                assert stored[name] == told[name] or told[name] is None, (name, body)


def _read(body: bytes) -> dict[str, Any] | None:
    """The object in a text, by Python's own reader with the rules it leaves out; None where there is none."""
    try:
        found = json.loads(body.removeprefix(b"\xef\xbb\xbf").decode(), parse_constant=_refuse)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refuse(word: str) -> None:
    raise ValueError(word)


def test_the_documentation_says_how_much_is_tried() -> None:
    """As it is tried in a round."""
    said = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    for number in (WRITTEN, DAMAGED, len(ATTACKS)):
        assert f" {number:,} " in said
