"""The file of an adapter: every mistake is named with its line and with what was expected."""

import pytest

from payflux.event.taxonomy import CATEGORIES, failure_of
from payflux.webhooks.declared.table import Sheet, members_of, scheme_of

GOOD = """\
help = "payments of Acme"
[signature]
scheme = "hmac"
header = "X-Acme-Signature"
[members]
event_type = "type"
reference = "id"
at = "created"
[event_types]
"payment.failed" = "payment_failed"
"""


def mistakes(text: str) -> list[tuple[int, str]]:
    """All of a file, by line."""
    sheet = Sheet(text)
    scheme_of(sheet)
    members_of(sheet)
    return [(one.line, one.what) for one in sheet.mistakes]


def test_a_good_file_has_none() -> None:
    """Not one."""
    assert mistakes(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ('help = "', "help = ", 1, "this is not TOML"),
        ("[signature]", "[signatur]", 1, "[signature]: expected a table"),
        ('"hmac"', '"hmca"', 3, "[signature] scheme: expected one of hmac, standard, basic, bearer, none"),
        ('scheme = "hmac"\n', "", 2, "[signature] scheme: missing"),
        ('header = "X-Acme-Signature"', "", 2, "[signature] header: missing"),
        ("X-Acme-Signature", "X Acme", 4, "[signature] header: expected the name of a header"),
        ("header =", "headr =", 4, "[signature] headr: unknown, did you mean header?"),
        ("[members]", 'digest = "md5"\n[members]', 5, "[signature] digest: expected one of sha1, sha256, sha512"),
        ("[members]", 'signed = "{bdy}"\n[members]', 5, "[signature] signed: {bdy} means nothing, expected {body}"),
        ("[members]", 'signed = "{timestamp}"\n[members]', 5, "[signature] signed: expected {body} once in it"),
        ("[members]", 'signed = "{timestamp}.{body}"\n[members]', 5, "{timestamp} stands nowhere"),
        ("[members]", 'signed = "{url}{body}"\n[members]', 2, "[signature] url: missing, as signed holds {url}"),
        ("[members]", 'value = "sha256="\n[members]', 5, "[signature] value: expected {signature} once in it"),
        ("[members]", 'timestamp_header = "X-T"\n[members]', 2, "a time that is not signed proves nothing"),
        ("[members]", "tolerance_seconds = 0\n[members]", 5, "expected a whole number from 1 to 86,400"),
        ("[members]", "tolerance_seconds = 1.5\n[members]", 5, "expected a whole number from 1 to 86,400"),
        ('"hmac"', '"none"', 3, "[signature] scheme: anybody could send events: say allow_unsigned = true"),
        ('at = "created"', "", 5, "[members] at: missing"),
        ('at = "created"', "at = 5", 8, "[members] at: expected an expression in quotation marks, or a list of them"),
        ('at = "created"', 'at = "a..b"', 8, "[members] at: `a..b` is not JMESPath: Expecting"),
        ('at = "created"', 'at = "now()"', 8, "[members] at: `now()`: JMESPath has no function now()"),
        ("[event_types]", 'amount = "a"\n[event_types]', 9, "[members] amount: says nothing without currency"),
        ("[event_types]", 'amout = "a"\n[event_types]', 9, "[members] amout: unknown, did you mean amount?"),
        ('"payment_failed"', '"payment_fialed"', 10, "did you mean payment_failed?"),
        ('"payment.failed" = "payment_failed"', "", 9, "[event_types]: expected at least one"),
        ("[members]", '[failures]\nE1 = "broken"\n[members]', 6, "[failures] E1: expected one of insufficient_funds"),
        ('help = "', 'amount_in = "cents"\nhelp = "', 1, "amount_in: expected one of minor, major"),
        ('help = "', 'items = "a["\nhelp = "', 1, "items: `a[` is not JMESPath: Invalid jmespath expression"),
    ],
)
def test_each_mistake_is_explained(old: str, new: str, line: int, what: str) -> None:
    """In the line where it stands, or in that of its table when something is missing."""
    assert old in GOOD
    found = mistakes(GOOD.replace(old, new, 1))
    assert any(at == line and what in told for at, told in found), found


def test_all_mistakes_are_named_at_once() -> None:
    """Not one after the other."""
    wrong = GOOD.replace('"hmac"', '"x"').replace("payment_failed", "x").replace('"created"', '"a["')
    assert [line for line, _ in mistakes(wrong)] == [3, 8, 10]


def test_a_category_means_itself() -> None:
    """What a table of failures says is what the event then is."""
    assert {name for name in CATEGORIES if failure_of(name.replace("_", " ")).category != name} == set()
