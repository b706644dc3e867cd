"""Pages that are asked for often: built in turns, never older than the question, compressed for whoever takes that."""

import asyncio
import gzip
import json

import pytest

from payflux.http.messages import JSON, Request, Response
from payflux.operations.pages import AT_ONCE, Page, takes_gzip

ASKED = Request("GET", "/metrics")


class Counting:
    """A page that tells how often it was built, and a clock that only sleeping moves."""

    def __init__(self) -> None:
        self.built, self.at = 0, 0.0
        self.page = Page(self._build, JSON, now=lambda: self.at, sleep=self._sleep)

    async def _build(self) -> bytes:
        self.built += 1
        await asyncio.sleep(0)
        return json.dumps([self.at] * 500).encode()

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.at += seconds

    async def ask(self) -> Response:
        """What is answered."""
        return await self.page.answer(ASKED)


async def test_no_answer_is_older_than_its_question() -> None:
    """Some at once, then one a second, however fast they come after each other."""
    counting = Counting()
    for number in range(1, AT_ONCE + 4):
        before = counting.at
        answer = await counting.ask()
        assert counting.built == number
        assert json.loads(answer.body)[0] >= before
        assert counting.at == max(0, number - AT_ONCE)
    counting.at += 100
    await asyncio.gather(counting.ask(), counting.ask())
    assert counting.at == 100 + 3


async def test_those_who_wait_share_what_is_built() -> None:
    """A hundred scrapers make two pages of it at most: of those who ask while one is being built, all get the next."""
    counting = Counting()
    answers = [asyncio.create_task(counting.ask()) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answers += [asyncio.create_task(counting.ask()) for _ in range(50)]
    assert len({id(await answer) for answer in answers}) == counting.built == 2


async def test_a_failure_is_that_of_those_who_asked() -> None:
    """And the next one is built anew."""
    failing = [True]

    async def build() -> bytes:
        if failing:
            raise RuntimeError(failing.pop())
        return b"{}"

    page = Page(build, JSON)
    with pytest.raises(RuntimeError):
        await page.answer(ASKED)
    assert (await page.answer(ASKED)).body == b"{}"


async def test_whoever_takes_gzip_gets_it() -> None:
    """The same text at a fraction of its length, and caches are told that there are two."""
    counting = Counting()
    packed = await counting.page.answer(Request("GET", "/metrics", headers={b"accept-encoding": b"gzip"}))
    assert b"Content-Encoding: gzip\r\n" in packed.head
    plain = await counting.ask()
    assert b"Content-Encoding" not in plain.head
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 10
    for answer in (packed, plain):
        assert b"Vary: Accept-Encoding\r\n" in answer.head
        assert b"Content-Type: application/json\r\n" in answer.head


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        (b"", False),
        (b"gzip", True),
        (b"deflate, GZIP;q=0.5", True),
        (b"x-gzip", True),
        (b"identity", False),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000, *", False),
        (b"*", True),
        (b"*;q=0", False),
        (b"identity;q=1, *;q=0", False),
        (b"gzipped, br", False),
        (b",;,=,gzip;q=1.0", True),
    ],
)
def test_what_an_accept_encoding_says(accepted: bytes, *, takes: bool) -> None:
    """A weight of zero forbids, the asterisk is what is not named."""
    assert takes_gzip(accepted) is takes
