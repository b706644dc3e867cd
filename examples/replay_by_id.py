"""Print the events behind an entry id again: with XREAD for a look, or with a group that remembers how far it got.

`XREAD` leaves no trace. With --group, a group is made just behind the id and read with XREADGROUP; each event is acked
after it was printed, so an interrupted run goes on where it stopped when it is started again.
"""

import argparse
import sys
from typing import Any

from stream_group import BATCH, STREAM, connect, for_a_reader

try:
    import redis
except ImportError:
    sys.exit("this needs redis for Python: .venv/bin/pip install redis, and run it with .venv/bin/python")


def read(client: Any, after: str) -> list[tuple[str, dict[str, str]]]:
    """The next entries behind an id."""
    found = client.xread({STREAM: after}, count=BATCH)
    return found[0][1] if found else []


def read_as(client: Any, group: str, after: str) -> list[tuple[str, dict[str, str]]]:
    """The next entries of a group: its pending ones behind an id, or new ones for `>`."""
    found = client.xreadgroup(group, "replay", {STREAM: after}, count=BATCH)
    return found[0][1] if found else []


def replay(client: Any, after: str) -> None:
    """With XREAD: from the id to the end of the stream."""
    while entries := read(client, after):
        for entry_id, fields in entries:
            print(fields["data"])
            after = entry_id


def replay_as(client: Any, group: str, after: str) -> None:
    """With XREADGROUP: what is pending of an interrupted run, then the rest."""
    try:
        client.xgroup_create(STREAM, group, id=after)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise
    for place in ("0", ">"):
        while entries := read_as(client, group, place):
            for _, fields in entries:
                if fields:  # else it was trimmed meanwhile
                    print(fields["data"])
            sys.stdout.flush()
            client.xack(STREAM, group, *(entry_id for entry_id, _ in entries))


def main() -> None:
    """Print what there is and end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--redis", default="redis://localhost:6379", help="address of Redis (default: %(default)s)")
    parser.add_argument("--after", default="0", help="entry id behind which to begin (default: the oldest entry)")
    parser.add_argument("--group", help="name of a group that remembers how far it got")
    arguments = parser.parse_args()
    client = connect(arguments.redis)
    try:
        with for_a_reader():
            if arguments.group:
                replay_as(client, arguments.group, arguments.after)
            else:
                replay(client, arguments.after)
    finally:
        client.close()


if __name__ == "__main__":
    main()
