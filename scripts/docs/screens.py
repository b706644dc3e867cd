"""What a terminal of 80 x 24 shows of some commands, as pictures for the documentation.

`python -m scripts.docs.screens DIRECTORY` starts a Valkey, fills a stream by hand with what happened in a minute of an
outage, runs each command on a terminal, and draws what stands there at its end. The same code gives the same pictures:
times are those of the entries, and what differs from run to run (port, round trip) is replaced.
"""

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import redis
from rich.console import Console
from rich.text import Text

from payflux.event.decode import decode_event
from payflux.event.example import make_event
from payflux.redis.embedded import server_binary
from payflux.redis.keys import Keys
from payflux.risk.assessment import RiskAssessment
from payflux.settings import environment
from payflux.stream.protocol import GROUP

COLUMNS, LINES = 80, 24
SCREENS = {
    "tail": ("tail", "--last", "21", "--no-follow"),
    "dlq-list": ("dlq", "list"),
    "config": ("config",),
    "check": ("check",),
}
"""Each picture, and the arguments of the command it shows."""

PORTS = range(6379, 6480)
BEGIN = 1_767_957_855
EVENTS = 60
OUTAGE = 25
"""The second from which on adyen times out."""
SCORES = {30: (0.34, "elevated"), 38: (0.62, "high"), 46: (0.81, "critical"), 54: (0.88, "critical")}
OPTIONS = ("--save", "", "--appendonly", "yes", "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru")
"""Of a server that `payflux check` has something to say about."""
NODE = {
    "PAYFLUX_API_KEYS": "pf_live_3b1f7a92c6,pf_live_90ce4d1b77",
    "PAYFLUX_CHECKOUT_ENABLED": "false",
    "PAYFLUX_READ_KEYS": "pf_read_51d0aa37e8",
    "PAYFLUX_RATELIMIT_RPS": "2000",
    "PAYFLUX_RATELIMIT_BURST": "4000",
    "PAYFLUX_STREAM_MAXLEN": "1000000",
    "PAYFLUX_OUTCOMES": "order.lost=failure,order.done=success",
    "PAYFLUX_METRICS_TOKEN": "pf_scrape_77b2c4d9e1",
}
SAME = {
    r"answers in \d+\.\d ms": "answers in 0.2 ms",
    r"(Valkey|Redis) \d+\.\d+\.\d+": "Valkey 9.1.2",
    r"\d+\.\d MiB of": "1.4 MiB of",
    r"is \d+ ms \w+ \(give or take \d+\.\d ms\)": "is 0 ms ahead (give or take 0.4 ms)",
}
"""What differs from run to run, and what is shown of it."""
DEAD = (
    ("invalid_json", b'{"event_type": "payment_fai'),
    ("max_deliveries", None),
    ("invalid_event", b'{"event_id": ""}'),
)


@contextmanager
def filled(directory: Path) -> Iterator[int]:
    """A server with the minute in it; gives its port."""
    for port in PORTS:
        command = (server_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), *OPTIONS)
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        client = redis.Redis(port=port)
        try:
            if _is_own(server, client):
                fill(client)
                yield port
                return
        finally:
            client.close()
            server.kill()
            server.wait()
    raise OSError(f"no port of {PORTS} is free")


def _is_own(server: "subprocess.Popen[bytes]", client: "redis.Redis") -> bool:
    """Wait until the server answers, or has ended because somebody else has its port."""
    while server.poll() is None:
        with suppress(redis.ConnectionError):
            return bool(client.info("server")["process_id"] == server.pid)
        time.sleep(0.01)
    return False


def fill(client: Any) -> None:
    """A minute of two processors, one of which fails from the middle on, and three dead letters."""
    keys = Keys()
    for seq in range(1, EVENTS + 1):
        client.xadd(keys.stream, {"data": event(seq), "seq": seq}, id=f"{(BEGIN + seq) * 1000}-0")
    client.hset(keys.state, "seq", EVENTS)
    newest = f"{(BEGIN + EVENTS) * 1000}-0"
    client.hset(keys.ledger(GROUP), "last_id", newest)
    client.xgroup_create(keys.stream, GROUP, newest)
    for second, (score, band) in SCORES.items():
        said = msgspec.json.encode(RiskAssessment(BEGIN + second, "adyen", score, band))
        client.xadd(keys.assessments, {"processor": "adyen", "second": BEGIN + second, "assessment": said})
    for number, (reason, data) in enumerate(DEAD, 1):
        fields = {"data": data or event(number), "original_id": f"{(BEGIN + number) * 1000}-0", "reason": reason}
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BEGIN + 90 + number))
        client.xadd(
            keys.dead_letters(clustered=False), fields | {"timestamp": stamp}, id=f"{(BEGIN + 90 + number)}000-0"
        )


def event(seq: int) -> bytes:
    """One event of the minute, as it is stored."""
    processor = "adyen" if seq % 3 else "stripe"
    well = {"event_type": "payment_succeeded", "retry_result": "succeeded", "failure_category": "", "retry_count": 0}
    bad = {"event_type": "payment_failed", "failure_category": "processor_timeout", "retry_count": seq % 3}
    members = bad if processor == "adyen" and seq > OUTAGE else well
    if seq % 11 == 0:
        members = {"event_type": "payment_failed", "failure_category": "insufficient_funds", "failure_origin": "issuer"}
    geo = ("US", "BR", "GB", "DE", "US")[seq % 5]
    named = {"processor": processor, "geo_bucket": geo, "event_id": f"550e8400-e29b-41d4-a716-4466554400{seq:02}"}
    return decode_event(json.dumps(make_event(**(members | named))).encode()).data


def shown(arguments: Sequence[str], port: int) -> list[Text]:
    """The lines that stand on the terminal when a command has ended."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environ = NODE | {
        "REDIS_ADDR": f"127.0.0.1:{port}",
        "TERM": "xterm-256color",
        "PATH": environment().get("PATH", ""),
    }
    command = [sys.executable, "-m", "payflux", *arguments]
    child = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=slave)
    os.close(slave)
    said = b""
    with suppress(OSError):  # the other end is closed
        while part := os.read(master, 65_536):
            said += part
    os.close(master)
    child.wait()
    text = said.decode().replace(f":{port}", f":{PORTS[0]}")
    for differs, same in SAME.items():
        text = re.sub(differs, same, text)
    prompt = Text("$ ", "green")
    lines = [prompt + Text(f"payflux {' '.join(arguments)}", "bold"), *map(_line, text.splitlines()), prompt]
    return [part for line in lines for part in line.divide(range(COLUMNS, line.cell_len, COLUMNS))][-LINES:]


def _line(text: str) -> Text:
    """A line with its colours, and without blanks at its end, which nobody sees."""
    line = Text.from_ansi(text)
    line.rstrip()
    return line


def screens() -> dict[str, list[Text]]:
    """What each command leaves on the terminal, by the name of its picture."""
    with tempfile.TemporaryDirectory(prefix="pf-screens-") as directory, filled(Path(directory)) as port:
        return {name: shown(arguments, port) for name, arguments in SCREENS.items()}


def drawn(name: str, lines: Sequence[Text]) -> str:
    """A screen as SVG."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, height=LINES, file=nowhere, force_terminal=True, highlight=False)
        for line in lines:
            console.print(line, no_wrap=True, crop=True)
        svg = console.export_svg(title=f"payflux {' '.join(SCREENS[name][:2])}", unique_id=name)
    return re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)  # it would fetch a font


def main() -> None:
    """Draw every picture."""
    into = Path(sys.argv[1])
    into.mkdir(parents=True, exist_ok=True)
    for name, lines in screens().items():
        (into / f"{name}.svg").write_text(drawn(name, lines))


if __name__ == "__main__":
    main()
