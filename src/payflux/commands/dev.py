"""`payflux dev`: everything on one machine, nothing to install or configure."""

import asyncio
import os
import re
import secrets
import select
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
from cyclopts import Parameter

from payflux.errors import SettingsError
from payflux.event.example import make_event
from payflux.event.intake import EVENT_PATH
from payflux.load.corpus.population import DEMO
from payflux.load.corpus.schedule import demonstration
from payflux.load.sender import Sender
from payflux.load.simulation import CONNECTIONS, Simulation
from payflux.load.traffic import Traffic
from payflux.log import announce, log
from payflux.node.settings import load_settings
from payflux.node.supervisor import supervise
from payflux.redis.address import SETTINGS as OF_REDIS
from payflux.redis.embedded import EmbeddedServer
from payflux.risk.scoring import RISK_SCORE_WINDOW_SEC
from payflux.settings import FILE, environment, set_environment, variables
from payflux.terminal.ending import refuse
from payflux.terminal.home import WEBHOOK_FILE, dev_home, webhook_secret_of_dev
from payflux.webhooks.identifiers import HASH_KEY
from payflux.webhooks.registry import ADAPTERS, load_source, secrets_of, trial_secret

KEY_FILE = "api-key"
HASH_KEY_FILE = "hash-key"
KEY_BYTES = 1000
KEY = re.compile(rb"[!-+\--~]{1,1000}")  # a comma would make two of one
NEW_KEY = "remove it for a new one, or set PAYFLUX_API_KEY"
LISTEN = "127.0.0.1:8080"  # a laptop in a café is no server
WINDOW_SEC = 30  # of a demonstration: who watches it does not wait five minutes for the end of an incident
SIMULATED_RATE = 20.0  # events a second: far below the default rate limit of a key
HELD_SECONDS = 60.0  # on a terminal, where the lines of the traffic would push the banner away
BANNER = """
PayFlux is running at {url}   (data and API key in {directory})

Send an event, and see its line appear on stdout:

  curl -s -X POST {url}{path} -w '\\n' \\
    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{event}'

Look around:

  curl -s -w '\\n' {url}/health
  curl -s -w '\\n' {url}/export/health
  curl -s {url}/metrics | grep payflux_

In a second terminal, a webhook of Stripe, signed as Stripe signs:

  {program} webhooks send stripe charge.failed --url {url}{secret}

Traffic with an incident, and events as a table:

  {program} simulate --url {url} --key {key} --incident outage
  REDIS_URL={redis_url} {program} tail

What is wrong where, once something is:

  REDIS_URL={redis_url} {program} incidents list

{held}Ctrl-C ends it; the data stay.

"""
HELD = "Simulated traffic begins when you press Enter, or in {seconds:.0f} seconds. "


def dev(
    *,
    simulate: Annotated[
        bool, Parameter(help="Send realistic traffic, with incidents; on a terminal after Enter or a minute.")
    ] = False,
    directory: Annotated[
        Path | None, Parameter(help="Where data and key are kept; default ~/.local/state/payflux.")
    ] = None,
) -> int:
    """Run a complete node with an embedded Valkey: nothing to install, nothing to configure.

    A key is generated unless PAYFLUX_API_KEY(S) is set, checkout is off, and data are kept over restarts. Event lines
    go to stdout, everything else to stderr. REDIS_ADDR and REDIS_URL are not used; every other variable is. Without
    HTTP_ADDR it listens on 127.0.0.1:8080, so that only this machine reaches it.

    Simulated traffic begins with an outage of one processor, after half a minute and for three quarters of one;
    PAYFLUX_RISK_SCORE_WINDOW_SEC is 30 then unless it is set, so that its end is seen soon.

    For example:

        payflux dev
        payflux dev --simulate > events.jsonl
        HTTP_ADDR=:9090 payflux dev --directory /tmp/payflux-trial

    Exit codes: 0 ended by a signal, 1 its parts kept dying, 2 it cannot start as configured.
    """
    try:
        home = directory or dev_home()
    except RuntimeError:  # no HOME, and no such user
        return refuse(SettingsError(["HOME: expected a directory; or name one with --directory"]))
    signal.signal(signal.SIGTERM, _end)  # until the node has its own handler: the server must not stay behind
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        server = EmbeddedServer(home / "valkey")
    except SettingsError as error:
        return refuse(error)
    except OSError as error:
        return refuse(
            SettingsError([f"--directory {home}: expected a directory this user can write ({error.strerror})"])
        )
    try:
        key = _prepare(home, server.url, simulate=simulate)
        return supervise(load_settings(), "all", _on_ready(home, key, shlex.quote(server.url), simulate=simulate))
    except SettingsError as error:
        return refuse(error)
    finally:
        server.stop()


def _end(number: int, frame: object) -> NoReturn:
    del number, frame
    raise SystemExit(0)


def _prepare(home: Path, url: str, *, simulate: bool) -> str:
    """Set what the node reads: where its Valkey is and where to listen, a key, no checkout. Returns the key."""
    environ = environment()
    changes = dict.fromkeys(variables(OF_REDIS), "") | {"REDIS_URL": url}
    if simulate and not environ.get(RISK_SCORE_WINDOW_SEC.name):
        changes[RISK_SCORE_WINDOW_SEC.name] = f"{WINDOW_SEC}"
    changes["HTTP_ADDR"] = environ.get("HTTP_ADDR", "").strip() or LISTEN
    changes["PAYFLUX_CHECKOUT_ENABLED"] = environ.get("PAYFLUX_CHECKOUT_ENABLED") or "false"
    configured = environ.get("PAYFLUX_API_KEYS") or environ.get("PAYFLUX_API_KEY")
    if not configured:
        configured = changes["PAYFLUX_API_KEY"] = _kept(home / KEY_FILE, "dev_")
    set_environment(changes | _webhooks(home, environ))
    return configured.split(",")[0].strip()


def _webhooks(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """A key of hashes, and secrets for every processor, where none is set."""
    given = {name.removesuffix(FILE) for name, text in environ.items() if text.strip()}
    changes = {HASH_KEY.name: _kept(home / HASH_KEY_FILE)}
    secret = _kept(home / WEBHOOK_FILE)
    for name, target in ADAPTERS.items():
        source, variable = load_source(target), secrets_of(name).name
        if variable not in given:
            changes |= {variable: trial_secret(source, secret)} | dict(source.trial)
    return {name: text for name, text in changes.items() if name not in given}


def _kept(file: Path, prefix: str = "") -> str:
    """The key that is kept, made at the first start.

    Raises:
        SettingsError: what is there is no key, or none can be made there.
    """
    try:
        if not os.path.lexists(file):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
                handle.write(prefix + secrets.token_hex(16))
        with file.open("rb") as kept:
            key = kept.read(KEY_BYTES + 1).strip()
    except OSError as error:
        raise SettingsError([f"{file}: expected a file with an API key ({error.strerror}); {NEW_KEY}"]) from None
    if not KEY.fullmatch(key):
        raise SettingsError([f"{file}: expected an API key of printable ASCII characters in one line; {NEW_KEY}"])
    return key.decode()


def _on_ready(home: Path, key: str, redis_url: str, *, simulate: bool) -> Callable[[str, int], None]:
    held = simulate and sys.stdout.isatty()  # asked now: the node takes stdout for itself

    def on_ready(host: str, port: int) -> None:
        url = f"http://{host}:{port}"
        event = msgspec.json.encode(make_event()).decode()
        hold = HELD.format(seconds=HELD_SECONDS) if held else ""
        secret = environment().get(secrets_of("stripe").name, "…").split(",")[0]
        places = {
            "secret": "" if secret == webhook_secret_of_dev() else f" --secret {shlex.quote(secret)}",
            "path": EVENT_PATH,
            "directory": home,
            "redis_url": redis_url,
            "program": sys.argv[0],
        }
        announce(BANNER.format(url=url, key=key, event=event, held=hold, **places))
        if simulate:
            # In a thread, so that it ends with this process however that ends.
            threading.Thread(
                target=_simulate, args=(url, key), kwargs={"held": held}, name="simulate", daemon=True
            ).start()

    return on_ready


def _simulate(url: str, key: str, *, held: bool) -> None:
    if held:  # what was typed is not read: that would stop a process in the background
        select.select([0] if os.isatty(0) else [], [], [], HELD_SECONDS)

    async def run() -> None:
        seed = secrets.randbits(32)
        start = time.time()
        async with Sender(url, [key], connections=CONNECTIONS, patience_seconds=1.0) as sender:
            traffic = Traffic(seed, start, demonstration(seed, DEMO))
            simulation = Simulation(sender, traffic, start, rate=SIMULATED_RATE, batch=1, say=log)
            await simulation.run(asyncio.Event())

    log("info", "simulation_began", rate=SIMULATED_RATE)
    asyncio.run(run())
