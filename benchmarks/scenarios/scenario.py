"""What a scenario is."""

import msgspec

from benchmarks.load.generator import Shape


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Something to measure.

    Attributes:
        name: on the command line and in the results.
        family: those that are shown together, by `x`.
        x: its place among them.
        title: for people.
        kind: how it is measured, one of `KINDS` in `catalogue.py`.
        floors: what is measured beside it.
        shape: of the load.
        workers: ingest processes.
        aof: persistence of Redis.
        maxlen: of the stream.
        prefill: events in the stream before the load.
        percent: of the capacity, for an open loop.
        rate: events a second, where it is given.
        seconds: how long, where it is given.
        brief: part of the quick run.
    """

    name: str
    family: str
    title: str
    x: float = 0.0
    kind: str = "load"
    floors: tuple[str, ...] = ()
    shape: Shape = Shape()
    workers: int = 1
    aof: str = "off"
    maxlen: int = 200_000
    prefill: int = 0
    percent: float = 0.0
    rate: float = 0.0
    seconds: float = 0.0
    brief: bool = False
