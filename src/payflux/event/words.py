"""The words of a text that programs write: `payment_timed_out`, `PAYMENT.CAPTURE.COMPLETED`, `threeDSFailed`."""

import re
from collections.abc import Iterator

_BREAK = re.compile(r"[\W_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")


def readings(text: str) -> Iterator[str]:
    """The words of a text in lower case, each between blanks: as they stand, and split at camel case too.

    Words end at everything that is no letter or digit. Both readings count, so that `TimeOut` holds `timeout`, and
    `unPaid` both `paid` and `unpaid`.
    """
    plain = _BREAK.sub(" ", text)
    for reading in (plain, _HUMP.sub(" ", plain)):
        yield f" {reading.strip().lower()} "
