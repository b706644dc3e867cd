"""The producer client's firewall: a card number leaves the application in no member, whether a node knows it or not.

It refuses by `card_numbers`, as the node does.
"""

import json
import re

from payflux.client.card_numbers import contains_pan, may_contain_pan

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_WHOLE_NUMBER = re.compile(r"(?<![0-9.eE+-])(-?[0-9]{13,})(?:\.0*)?(?![0-9.eE])")  # digits of others are no card's


def holds_card_number(body: bytes) -> bool:
    """Whether a card number or track data stands in any string, name or number of a JSON text.

    Args:
        body: valid JSON.
    """
    if not may_contain_pan(body):
        return False
    text = body.decode()
    if "\\" in text:
        strings = [json.loads(string, strict=False) for string in _STRING.findall(text)]
        between = _STRING.sub('"', text)
    else:  # nearly always: then every other part is a string
        parts = text.split('"')
        strings, between = parts[1::2], '"'.join(parts[::2])
    return any(map(contains_pan, strings)) or any(map(contains_pan, _WHOLE_NUMBER.findall(between)))
