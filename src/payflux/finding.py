"""What `payflux check` says of one thing it looked at."""

from typing import Literal

import msgspec

Verdict = Literal["pass", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at.

    Attributes:
        check: its name, stable.
        verdict: `pass`, `warn` or `fail`.
        reason: what was found.
        fix: what to do about it; empty where nothing is to be done.
    """

    check: str
    verdict: Verdict
    reason: str
    fix: str = ""
