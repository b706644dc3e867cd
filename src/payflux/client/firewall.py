"""The producer client's firewall: a card number leaves the application in no member, whether a node knows it or not.

`payflux.client.card_numbers` is a copy of `payflux.event.card_numbers`, letter by letter: the client imports nothing of
ours, and both must refuse the same.
"""

import json
import re

from payflux.client.card_numbers import contains_pan, may_contain_pan

_TOKEN = re.compile(
    r'"([^"\\]*(?:\\.[^"\\]*)*)"'  # a string, or the name of a member
    r"|(?<![0-9.eE+-])(-?[0-9]+)(?:\.0*)?(?![0-9.eE])"  # a whole number; the digits of any other one are no card's
)


def holds_card_number(body: bytes) -> bool:
    """Whether a card number or track data stands in any string, name or number of a JSON text.

    Args:
        body: valid JSON.
    """
    return may_contain_pan(body) and any(map(_is_suspect, _TOKEN.finditer(body.decode())))


def _is_suspect(token: re.Match[str]) -> bool:
    text, number = token[1], token[2]
    if text is None:
        return contains_pan(number)
    return contains_pan(json.loads(token[0], strict=False) if "\\" in text else text)
