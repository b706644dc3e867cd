"""Our own load generator, a process of its own: at a constant rate, or for machines without wrk.

`python -m benchmarks.load.own PLAN` (JSON, see `LoadGenerator.paced`) prints one line, a `Load`. The schedule is driven
by a timer of the kernel (timerfd_create(2)), finer than the millisecond that event loops know.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable

import msgspec
import uvloop

from benchmarks.load.generator import Load, Shape
from payflux.load.generator import LoadGenerator
from payflux.load.requests import Requests

TICK_NANOSECONDS = 200_000
CLOCK_MONOTONIC = 1
NONBLOCK = os.O_NONBLOCK | os.O_CLOEXEC


class Plan(msgspec.Struct):
    """What to do; `rate` is events a second, 0 for as many as are answered."""

    shape: Shape
    port: int
    rate: float
    seconds: float
    event: str
    key: str


def kernel_timer(tick: Callable[[], None]) -> Callable[[], None]:
    """Call a function every 0.2 ms, or as soon after as this process gets a CPU; returns how to stop."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer = libc.timerfd_create(CLOCK_MONOTONIC, NONBLOCK)
    interval = (ctypes.c_long * 4)(0, TICK_NANOSECONDS, 0, TICK_NANOSECONDS)
    if timer < 0 or libc.timerfd_settime(timer, 0, interval, None):
        raise OSError(ctypes.get_errno(), "timerfd")
    loop = asyncio.get_running_loop()

    def expired() -> None:
        try:
            os.read(timer, 8)
        except BlockingIOError:
            return
        tick()

    loop.add_reader(timer, expired)

    def stop() -> None:
        loop.remove_reader(timer)
        os.close(timer)

    return stop


async def put(plan: Plan) -> Load:
    """Make the load; every answer that is not a new event stored is bad."""
    shape = plan.shape
    requests = Requests(plan.event, f"127.0.0.1:{plan.port}", plan.key, size=shape.size, form=shape.form)
    rate = plan.rate / shape.size or None
    load = LoadGenerator(
        "127.0.0.1",
        plan.port,
        requests,
        connections=shape.connections,
        seconds=plan.seconds,
        rate=rate,
        depth=shape.depth,
        ticker=kernel_timer,
    )
    report = await load.run()
    expected = {202 if shape.form == "single" else 200: report.requests}
    bad = sum(number for status, number in report.statuses.items() if status not in expected)
    bad += report.rejected + report.duplicates + report.codes.get("unreadable_answer", 0)
    return Load(
        answers=report.requests,
        bad=bad,
        broken=report.broken + report.unanswered,
        seconds=report.seconds,
        p50_ms=report.p50_ms,
        p99_ms=report.p99_ms,
        p999_ms=report.p999_ms,
        max_ms=report.max_ms,
        rate=rate or 0.0,
        late_p99_ms=report.late_p99_ms,
        late_max_ms=report.late_max_ms,
    )


if __name__ == "__main__":
    print(msgspec.json.encode(uvloop.run(put(msgspec.json.decode(sys.argv[1], type=Plan)))).decode())
