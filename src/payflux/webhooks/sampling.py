"""Samples of what processors send, of their published shapes, with ids and times that are new each time.

`samples/NAME.json`, or `NAME.json` beside an adapter's `NAME.toml`, holds those of a processor: bodies, or changes of
another one (`of`, `set` by dotted path), and `traffic`, how often each comes in quiet hours and in incidents. In them
`$id1` and the like become ids, `$ID1` ids in capitals, `"$now"` the time in seconds of Unix time, `$iso` the same as
RFC 3339, and `"$amount"` an amount.
"""

import copy
import random
import re
import string
import time
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

_ID = re.compile(r"\$(id|ID)([0-9])")
_DIGITS_AND_LETTERS = string.ascii_letters + string.digits
_CAPITALS = string.ascii_uppercase + string.digits


class Samples(msgspec.Struct, frozen=True, eq=False):
    """Those of one processor.

    Attributes:
        samples: bodies, and changes of them, by name.
        traffic: by kind of traffic, how often each sample comes.
    """

    samples: dict[str, dict[str, Any]]
    traffic: dict[str, dict[str, int]] = {}

    def template(self, name: str) -> dict[str, Any]:
        """A sample by its name, its changes made.

        Raises:
            KeyError: there is none of this name.
        """
        found = self.samples[name]
        if "of" not in found:
            return copy.deepcopy(found)
        body = self.template(found["of"])
        for path, value in found["set"].items():
            _put(body, path.split("."), value)
        return body

    def body(self, name: str, chance: random.Random, now: float) -> bytes:
        """A sample as it would come now.

        Args:
            name: of the sample.
            chance: makes ids and amounts.
            now: Unix time in seconds.

        Raises:
            KeyError: there is none of this name.
        """
        text = _written(self, name)
        lot = chance.getrandbits(64)

        def identifier(found: re.Match[str]) -> str:
            letters, size = (_CAPITALS, 16) if found[1] == "ID" else (_DIGITS_AND_LETTERS, 24)
            return "".join(random.Random(f"{lot}{found[0]}").choices(letters, k=size))

        text = _ID.sub(identifier, text).replace('"$now"', str(int(now)))
        text = text.replace("$iso", time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now)))
        return text.replace('"$amount"', str(int(chance.lognormvariate(8.3, 0.9)))).encode()

    def drawn(self, traffic: str, chance: random.Random) -> str:
        """The name of a sample, as often as it comes in this kind of traffic.

        Raises:
            KeyError: there is no traffic of this kind.
        """
        weights = self.traffic[traffic]
        return chance.choices([*weights], weights=[*weights.values()])[0]


@lru_cache(maxsize=512)
def _written(samples: Samples, name: str) -> str:
    """A sample as JSON; kept, as thousands are made of it."""
    return msgspec.json.encode(samples.template(name)).decode()


def _put(body: Any, path: list[str], value: object) -> None:
    *way, last = [int(step) if step.isdigit() else step for step in path]
    for step in way:
        body = body[step]
    body[last] = value


@lru_cache(maxsize=64)
def samples_of(processor: str, target: str = "") -> Samples:
    """The samples of a processor; none when it has no file of them.

    Args:
        processor: its slug.
        target: of its adapter, where that is a file: its samples lie beside it.
    """
    beside: Any = Path(target).with_suffix(".json") if target.endswith(".toml") else None
    file = beside or files("payflux.webhooks").joinpath("samples", f"{processor}.json")
    return msgspec.json.decode(file.read_bytes(), type=Samples) if file.is_file() else Samples({})
