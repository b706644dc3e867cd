"""`payflux webhooks send`: samples of what a processor sends, signed as it signs, to a node."""

import http.client
import random
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from payflux.checks.asking import parse_base
from payflux.errors import SettingsError
from payflux.settings import environment
from payflux.terminal.arguments import secret_to_use
from payflux.terminal.ending import complain, refuse
from payflux.terminal.home import webhook_secret_of_dev
from payflux.webhooks.registry import Named, load_source, named, path_of, secrets_of, trial_secret
from payflux.webhooks.sampling import Samples, samples_of

MOST = 1_000_000


def send(
    processor: Annotated[str, Parameter(help="Whose webhooks, or the file of an adapter: `acme.toml`.")],
    sample: Annotated[str, Parameter(help="Which sample; without one: what its traffic is made of.")] = "",
    /,
    *,
    count: Annotated[int, Parameter(help="How many.")] = 1,
    incident: Annotated[
        str | None, Parameter(help="Traffic instead of one sample: `quiet`, `outage`, `issuer_outage`, `card_testing`.")
    ] = None,
    secret: Annotated[
        str | None,
        Parameter(help="To sign with; by default the first of the processor's in the environment, or `payflux dev`'s."),
    ] = None,
    secret_file: Annotated[
        str | None, Parameter(help="File that holds it, as `--secret` shows it to all who list processes.")
    ] = None,
    url: Annotated[str, Parameter(help="The node.")] = "http://127.0.0.1:8080",
) -> int:
    """Send signed samples to a node, as the processor would: the whole way without an account.

    Ids, times and amounts are new each time; they say that they are real payments, so they are scored.

    For example:

        payflux webhooks send stripe charge.failed
        payflux webhooks send stripe charge.failed --secret whsec_1
        payflux webhooks send adyen --incident outage --count 500

    Exit codes: 0 all were taken, 1 some were refused or nobody answered, 2 wrong usage.
    """
    try:
        adapter = named(processor, environment())
        key = secret_to_use("secret", secret, secret_file, secrets_of(adapter.processor)) or _secret_of_dev(adapter)
    except SettingsError as error:
        return refuse(error)
    base = ""
    problems = list(_problems(adapter, sample, incident, count, key))
    try:
        base = parse_base(url)
    except ValueError as error:
        problems.append(f"--url {url}: expected {error}")
    if problems:
        return refuse(SettingsError(problems))
    traffic = incident or ("" if sample else "quiet")
    names = _names(samples_of(*adapter), sample, traffic, count)
    try:
        counts = _post_all(base, adapter, key, names, count)
    except (OSError, http.client.HTTPException) as error:
        return complain(f"{base}: {getattr(error, 'strerror', None) or error}: is the node running there?")
    for said, number in counts.most_common():
        sys.stderr.write(f"{number:,} {said}\n")
    return 0 if all(said.startswith("2") for said in counts) else 1


def _secret_of_dev(adapter: Named) -> str:
    """That of `payflux dev`, which runs on this machine."""
    made = webhook_secret_of_dev()
    return trial_secret(load_source(adapter.target), made) if made else ""


def _problems(adapter: Named, sample: str, incident: str | None, count: int, secret: str) -> Iterator[str]:
    processor, samples = adapter.processor, samples_of(*adapter)
    if not samples.samples:
        yield f"{processor}: has no samples; expected them in {Path(adapter.target).with_suffix('.json')}"
        return
    if sample and incident:
        yield f"{sample} and --incident: expected one of the two"
    elif sample and sample not in samples.samples:
        yield f"{sample}: expected one of {', '.join(samples.samples)}"
    elif incident and incident not in samples.traffic:
        yield f"--incident {incident}: expected one of {', '.join(samples.traffic)}"
    if not 1 <= count <= MOST:
        yield f"--count {count}: expected 1 to {MOST:,}"
    source = load_source(adapter.target)
    if source.unsigned:
        return
    if not secret:
        yield f"--secret: none given, and {secrets_of(processor).name} is not set"
    elif not source.is_secret(secret):
        yield f"--secret: expected {source.secret}"


def _names(samples: Samples, sample: str, traffic: str, count: int) -> Iterator[str]:
    chance = random.Random()
    return (samples.drawn(traffic, chance) if traffic else sample for _ in range(count))


def _post_all(base: str, adapter: Named, secret: str, names: Iterator[str], count: int) -> Counter[str]:
    """What was answered, with how often."""
    place = urllib.parse.urlsplit(base)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(place.hostname or "", place.port, timeout=10)
    chance, counts = random.Random(), Counter[str]()
    samples, source = samples_of(*adapter), load_source(adapter.target)
    console = Console(stderr=True)
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        for name in progress.track(names, total=count):
            now = time.time()
            webhook = source.sign(samples.body(name, chance, now), secret, now)
            headers = {key.decode(): value.decode() for key, value in webhook.headers.items()}
            connection.request("POST", place.path + path_of(adapter.processor), webhook.body, headers)
            answer = connection.getresponse()
            body = answer.read()
            counts[f"{answer.status}" if answer.status < 300 else f"{answer.status} {_detail(body)}"] += 1
    connection.close()
    return counts


def _detail(body: bytes) -> str:
    return body[:300].decode(errors="replace").strip()
