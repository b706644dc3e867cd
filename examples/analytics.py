"""Roll-up of payment events by minute, processor and outcome, in an SQLite file that any report can read.

An event is counted once, however often it is delivered: the counts and the ids that are in them change in one
transaction, and the entries are acked after it.
"""

import argparse
import sqlite3
import time
from pathlib import Path

from stream_group import Entry, Group, for_a_reader

from payflux.event.outcome import outcome_of

SCHEMA = """
CREATE TABLE IF NOT EXISTS rollup (
    minute TEXT, processor TEXT, outcome TEXT, events INTEGER, retries INTEGER,
    PRIMARY KEY (minute, processor, outcome));
CREATE TABLE IF NOT EXISTS counted (id TEXT PRIMARY KEY, at_ms INTEGER);
"""
COUNT = """
INSERT INTO rollup VALUES (?, ?, ?, 1, ?)
ON CONFLICT DO UPDATE SET events = events + 1, retries = retries + excluded.retries
"""
KEEP_MS = 7 * 86_400_000  # longer than any entry stays pending


def count(database: sqlite3.Connection, entries: list[Entry]) -> None:
    """Add the entries that are not in the roll-up yet, in one transaction."""
    with database:
        for entry in entries:
            at_ms = int(entry.id.partition("-")[0])
            if not database.execute("INSERT OR IGNORE INTO counted VALUES (?, ?)", (entry.id, at_ms)).rowcount:
                continue
            event = entry.event
            minute = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(at_ms / 1000))
            outcome = outcome_of(event["event_type"], event["retry_result"], event["failure_category"]).kind
            database.execute(COUNT, (minute, event["processor"], outcome, int(event["retry_count"] > 0)))
        database.execute("DELETE FROM counted WHERE at_ms < ?", (int(entries[-1].id.partition("-")[0]) - KEEP_MS,))


def show(database: sqlite3.Connection) -> None:
    """The roll-up as a table."""
    print(f"{'minute':18} {'processor':20} {'outcome':8} {'events':>8} {'retries':>8}")
    for row in database.execute("SELECT * FROM rollup ORDER BY minute, processor, outcome"):
        print("{:18} {:20} {:8} {:8} {:8}".format(*row))


def main() -> None:
    """Count until SIGTERM, or show what was counted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--redis", default="redis://localhost:6379", help="address of Redis (default: %(default)s)")
    parser.add_argument("--database", type=Path, default=Path("rollup.db"), help="SQLite file (default: %(default)s)")
    parser.add_argument("--show", action="store_true", help="print the roll-up and end")
    arguments = parser.parse_args()
    database = sqlite3.connect(arguments.database)
    try:
        database.executescript(SCHEMA)
        if arguments.show:
            with for_a_reader():
                show(database)
            return
        group = Group(arguments.redis, "analytics")

        def work(entries: list[Entry]) -> None:
            count(database, entries)
            group.ack(entries)

        group.run(work)
    finally:
        database.close()


if __name__ == "__main__":
    main()
