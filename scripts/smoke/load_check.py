"""Load check of a running node: sends events and proves that each accepted one came out exactly once, unchanged.

The node must be idle but for this check, as its metrics are compared for equality; lines of other events in LINES are
ignored. At the default rate of 100 events/s per key, 10,000 events take about 110 s with one key; several keys add up.
Exit codes: 0 PASS, 1 FAIL, 2 wrong usage or a node that cannot be reached.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from payflux.load.attempts import Attempt
from payflux.load.node_connection import AnswerError, UrlError
from payflux.load.sender import Sender
from scripts.smoke.checks import (
    Finding,
    Samples,
    check_answers,
    check_lines,
    check_metrics,
    none,
    samples_of,
    sum_up,
    total,
)
from scripts.smoke.plan import Job, plan

POLL_SECONDS = 0.2


async def send_all(sender: Sender, jobs: Sequence[Job], workers: int, attempts: list[Attempt]) -> None:
    """Send everything; `attempts` is the client log and grows as answers come."""
    waiting = iter(jobs)
    done = 0

    async def work() -> None:
        nonlocal done
        for form, items in waiting:
            attempts.extend(await sender.send(items, form))
            done += 1
            _progress(f"sent {done:,} of {len(jobs):,} requests")

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


async def drain(sender: Sender, before: Samples, stored: int, lines: "Lines | None", seconds: float) -> Samples:
    """Wait until all that is stored came out and nothing moves any more, or nothing has moved for `seconds`."""
    last: object = None
    moved = time.monotonic()
    while True:
        try:
            after = samples_of((await sender.get("/metrics")).body.decode())
        except OSError:
            after = {}  # a node that has died fails the check
        waiting = total(after, "pending_messages") + total(after, "consumer_lag_messages")
        exported = total(after, "events_exported_total") - total(before, "events_exported_total")
        written = lines.read().count(b"\n") if lines else stored
        state = (waiting, exported, written)
        _progress(f"waiting: {waiting:,.0f} in the stream, {exported:,.0f} exported, {stored:,} stored")
        if state != last:
            last, moved = state, time.monotonic()
        elif (waiting == 0 and min(exported, written) >= stored) or time.monotonic() - moved > seconds:
            return after
        await asyncio.sleep(POLL_SECONDS)


class Lines:
    """A file of exported lines, read from where it ended when this was made."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self._path = path
        self._start = data.rfind(b"\n") + 1

    def read(self) -> bytes:
        """What has been added, whole lines or not."""
        with self._path.open("rb") as file:
            file.seek(self._start)
            return file.read()


async def run(options: argparse.Namespace) -> list[Finding]:
    """The whole check against a living node.

    Raises:
        OSError: the node or LINES cannot be reached before anything was sent.
    """
    sender = Sender(options.url, options.keys, connections=options.connections, patience_seconds=options.deadline)
    async with sender:
        lines = Lines(options.lines) if options.lines else None
        before = samples_of((await sender.get("/metrics")).body.decode())
        health = msgspec.json.decode((await sender.get("/export/health")).body)
        destinations = [name for name, state in health["destinations"].items() if state["enabled"]]
        made = plan(options.seed, time.time(), options.events)
        attempts: list[Attempt] = []
        begun = time.monotonic()
        unexpected = await _send_within(options.deadline, sender, made.jobs, options.connections, attempts)
        _progress("")
        print(f"{len(attempts):,} answers in {time.monotonic() - begun:.1f} s, seed {options.seed}")
        after = await drain(sender, before, len(sum_up(attempts).stored), lines, options.drain)
        return [
            none("answers outside the interface", unexpected),
            *check_answers(made.expected, made.invalid, attempts),
            *check_metrics(attempts, before, after, destinations),
            *(check_lines(made.expected, attempts, lines.read()) if lines else ()),
        ]


async def _send_within(
    seconds: float, sender: Sender, jobs: Sequence[Job], workers: int, attempts: list[Attempt]
) -> set[str]:
    """Send everything or stop at the deadline; what the node said that no node says."""
    try:
        async with asyncio.timeout(seconds):
            await send_all(sender, jobs, workers, attempts)
    except TimeoutError:
        return {f"not everything was sent within {seconds:.0f} s"}
    except ExceptionGroup as group:
        if group.split(AnswerError)[1]:
            raise
        return {str(error) for error in group.exceptions}
    return set()


def report(findings: Sequence[Finding], *, lines_compared: bool) -> int:
    """Print the table of checks and the verdict, return the exit code."""
    _progress("")
    print(f"{'check':<44} {'expected':>16} {'found':>10}")
    for finding in findings:
        verdict = "ok" if finding.ok else "FAIL"
        print(f"{finding.name:<44} {finding.expected:>16} {finding.found:>10}  {verdict}  {finding.examples}".rstrip())
    if not lines_compared:
        print("\nTHE LINES WERE NOT COMPARED: give LINES, the file they go to, to prove that none is lost or changed.")
    failed = sum(not finding.ok for finding in findings)
    print(f"\nFAIL: {failed} of {len(findings)} checks" if failed else f"\nPASS: {len(findings)} checks")
    return 1 if failed or not findings else 0


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="smoke_load.sh", description=__doc__)
    parser.add_argument("url", metavar="URL", help="the node, http://host:port")
    parser.add_argument(
        "keys",
        metavar="KEY",
        type=lambda text: text.split(","),
        help="its API key; several, separated by commas, take turns",
    )
    parser.add_argument(
        "lines", metavar="LINES", type=Path, nargs="?", help="the file its lines go to, PAYFLUX_EXPORT_FILE for one"
    )
    parser.add_argument("--events", type=int, default=10_120, help="distinct valid events (default %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the traffic (default %(default)s); ids are new in each run"
    )
    parser.add_argument("--connections", type=int, default=8, help="at once (default %(default)s)")
    parser.add_argument("--deadline", type=float, default=900, help="seconds for sending (default %(default)s)")
    parser.add_argument(
        "--drain", type=float, default=30, help="seconds without progress to wait (default %(default)s)"
    )
    options = parser.parse_args(arguments)
    if min(options.events, options.connections, options.deadline, options.drain) <= 0:
        parser.error("--events, --connections, --deadline and --drain must be above 0")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check as a command, return its exit code."""
    options = _options(arguments)
    try:
        findings = asyncio.run(run(options))
    except (OSError, UrlError) as error:
        sys.stderr.write(f"cannot check {options.url}: {error}\n")
        return 2
    return report(findings, lines_compared=options.lines is not None)


if __name__ == "__main__":
    sys.exit(main())
