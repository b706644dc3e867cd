"""After which retry do a processor's retries stop to pay? Counts how the first, second, … retries end.

The counts live in a hash in Redis. They change in one transaction with the acks, so each event is counted exactly once.
"""

import argparse
from collections import Counter, defaultdict
from typing import Any

from stream_group import STREAM, Entry, Group, connect, for_a_reader

from payflux.event.outcome import outcome_of

COUNTS = "retry_advice:counts"


def count(group: Group, entries: list[Entry]) -> None:
    """Count the retries among the entries, and ack them all, at once."""
    counts: Counter[str] = Counter()
    for entry in entries:
        event = entry.event
        kind = outcome_of(event["event_type"], event["retry_result"], event["failure_category"]).kind
        if event["retry_count"] and kind != "neutral":
            counts[f"{event['processor']}|{event['retry_count']}|{kind}"] += 1
    with group.redis.pipeline(transaction=True) as transaction:
        for name, number in counts.items():
            transaction.hincrby(COUNTS, name, number)
        transaction.xack(STREAM, group.name, *(entry.id for entry in entries))
        transaction.execute()


def advice(counts: dict[str, str], worth: float, enough: int) -> dict[str, tuple[int, dict[int, tuple[int, int]]]]:
    """By processor: how many retries pay, and successes and attempts of each retry.

    Args:
        counts: the hash.
        worth: share of successes from which a retry pays.
        enough: attempts below which nothing is said of a retry.
    """
    seen: dict[str, dict[int, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for name, number in counts.items():
        processor, retry, kind = name.split("|")
        seen[processor][int(retry)][kind] += int(number)
    found = {}
    for processor, retries in sorted(seen.items()):
        rates = {retry: (kinds["success"], kinds.total()) for retry, kinds in sorted(retries.items())}
        pays = [retry for retry, (good, all_) in rates.items() if all_ >= enough and good / all_ >= worth]
        found[processor] = (max(pays, default=0), rates)
    return found


def show(counts: dict[str, str], worth: float, enough: int) -> None:
    """The advice as a table."""
    print(f"{'processor':20} {'retry up to':>11}  successes/attempts of the 1st, 2nd, … retry")
    for processor, (limit, rates) in advice(counts, worth, enough).items():
        shares = "  ".join(f"{retry}: {good}/{all_}" for retry, (good, all_) in rates.items())
        print(f"{processor:20} {limit:11}  {shares}")


def main() -> None:
    """Count until SIGTERM, or show the advice."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--redis", default="redis://localhost:6379", help="address of Redis (default: %(default)s)")
    parser.add_argument("--show", action="store_true", help="print the advice and end")
    parser.add_argument("--worth", type=float, default=0.1, help="share of successes that pays (default: %(default)s)")
    parser.add_argument("--enough", type=int, default=20, help="attempts needed to judge (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.show:
        client = connect(arguments.redis)
        counts: Any = client.hgetall(COUNTS)
        with for_a_reader():
            show(counts, arguments.worth, arguments.enough)
        client.close()
        return
    group = Group(arguments.redis, "retry-advice")
    group.run(lambda entries: count(group, entries))


if __name__ == "__main__":
    main()
