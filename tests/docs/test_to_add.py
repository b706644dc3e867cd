"""What ARCHITECTURE.md says it takes to add something: a copy of the tree grows by just that, and has it."""

import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY

import pytest

from growing import Tree

Grow = Callable[[str, str, str], None]

COMMAND = '''"""A command."""


def greet() -> int:
    """Greet whoever asks."""
    print("hello")
    return 0
'''


ADAPTER = '''"""Acme: payments of a processor of one's own."""

import json

from payflux.webhooks import Payment, Source, Unverified, Webhook


class Acme:
    """The adapter."""

    def __init__(self, opening):
        self._secrets = opening.secrets

    def verify(self, webhook, now):
        """A secret in a header."""
        if webhook.headers.get(b"acme-secret", b"").decode() not in self._secrets:
            raise Unverified("signature_wrong")

    def read(self, webhook):
        """One payment."""
        body = json.loads(webhook.body)
        yield Payment(event_type="payment_failed", reference=(body["id"],), at=body["at"], failure=body["why"])


SOURCE = Source(
    Acme,
    "payments of Acme",
    secret="any text",
    sign=lambda body, secret, now: Webhook(body, {b"acme-secret": secret.encode()}),
    signed_by="a header",
    days=1,
)
'''


DETECTOR = '''"""Payments tried for the fifth time."""

from payflux.risk.detectors.detector import Detector

FIFTH = Detector(
    driver="fifth_tries",
    name="fifth",
    meaning="More attempts than usual are the fifth.",
    observed="attempts are the fifth",
    goes_with=(),
    shows=lambda attempt: attempt.retry_count == 4,
)
'''


RECEIVER = '''"""Pigeon: a file for each message."""

from pathlib import Path

from payflux.alerts import Kind, Taken
from payflux.alerts.message import title
from payflux.settings import optional

LOFT = optional("PAYFLUX_ALERT_PIGEON_LOFT", Path, "The file it flies to.")


class Pigeon:
    """The receiver."""

    def __init__(self, values):
        self._loft = values[LOFT]

    def requests(self, notice):
        """None: it flies."""
        return []

    def send(self, notice):
        """Fly."""
        self._loft.write_text(title(notice))
        return Taken("it flew")


def refuse(values):
    """It has to know where."""
    if values[LOFT] is None:
        yield "PAYFLUX_ALERT_PIGEON_LOFT: expected a path"


KIND = Kind(Pigeon, "a pigeon", (LOFT,), refuse)
'''


EXPORTER = '''"""A drawer: lines are kept in a file of one's own."""

from payflux.exporters import Destination
from payflux.settings import optional

DRAWER = optional("PAYFLUX_DRAWER", str, "Where the drawer is.")


class Drawer:
    """The exporter."""

    def __init__(self, opening):
        self._path = opening.values[DRAWER]

    def write(self, data):
        """Put lines in."""
        with open(self._path, "ab") as drawer:
            drawer.write(data)

    def sync(self):
        """Nothing to do."""

    def reopen(self):
        """Nothing to do."""
        return False

    def close(self):
        """Nothing to do."""


DESTINATION = Destination(
    Drawer,
    "a drawer",
    settings=(DRAWER,),
    refuse=lambda values: [] if values[DRAWER] else ["PAYFLUX_DRAWER: expected a path"],
)
'''


GROUPED = '''"""A shelf: each line a file of its own."""

from pathlib import Path

from payflux.exporters import Batch, GroupDestination
from payflux.settings import Setting

SHELF = Setting("PAYFLUX_EXPORT_SHELF_PATH", Path, "/shelf", "Where the shelf is.")


class Shelf:
    """The exporter."""

    def __init__(self, opening):
        self._path = opening.values[SHELF]

    def deliver(self, lines):
        """Put each in its place."""
        for place, line in enumerate(lines):
            (self._path / str(place)).write_bytes(line)
        return {}

    def close(self):
        """Nothing to do."""


DESTINATION = GroupDestination(Shelf, "a shelf", batch=Batch(10, 1024, 0), settings=(SHELF,))
'''


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A copy that may grow."""
    return Tree(tmp_path)


def test_the_copy_is_what_runs(tree: Tree) -> None:
    """Not the sources it was made of."""
    assert str(tree.root) in tree.run("-c", "import payflux.cli; print(payflux.cli.__file__)")


def test_a_command_is_a_file_and_an_entry(tree: Tree) -> None:
    """It runs, and the help lists it with its summary."""
    tree.write("commands/greet.py", COMMAND)
    tree.register("cli.py", "COMMANDS = {\n", '    "greet": "payflux.commands.greet:greet",\n')
    assert tree.run("-m", "payflux", "greet") == "hello\n"
    assert "Greet whoever asks." in tree.run("-m", "payflux", "--help")


def test_a_setting_is_its_declaration_and_its_place_in_the_list(tree: Tree) -> None:
    """It is read, shown, and refused when it is wrong, with what was expected."""
    tree.register(
        "node/settings.py",
        "from payflux.settings import Setting, Values, choice, environment, integer, load, optional\n",
        'COLOUR = Setting("PAYFLUX_COLOUR", choice("red", "blue"), "red", "A colour.")\n',
    )
    tree.register("node/settings.py", "SETTINGS: tuple[Setting[Any], ...] = (\n", "    COLOUR,\n")
    shown = json.loads(tree.run("-m", "payflux", "config", "--json", PAYFLUX_COLOUR="blue"))
    assert shown["PAYFLUX_COLOUR"] == {"value": "blue", "source": "environment", "help": "A colour."}
    with pytest.raises(AssertionError, match="PAYFLUX_COLOUR='green': expected one of red, blue"):
        tree.run("-m", "payflux", "config", PAYFLUX_COLOUR="green")


def test_a_metric_is_its_declaration_and_its_place_in_the_list(tree: Tree) -> None:
    """It has slots in shared memory and stands on the metrics page."""
    tree.register(
        "telemetry/metrics.py",
        'CHILD_DEATHS = Metric("child_deaths_total", ',
        '"counter", "Deaths.")\nBIRTHS = Metric("births_total", "counter", "Births.")\nOTHER = Metric("other_total", ',
    )
    tree.register("telemetry/metrics.py", "METRICS = (\n", "    BIRTHS,\n")
    code = (
        "from payflux.telemetry import metrics as m; from payflux.operations.exposition import Exposition;"
        "slab = m.create_slab(['one']); m.Metrics(slab, 'one').add(m.BIRTHS, n=3);"
        "print(Exposition(slab).text(None, None).decode())"
    )
    assert "payflux_births_total 3.0" in tree.run("-c", code)


def test_an_exporter_is_a_file_and_an_entry(tree: Tree) -> None:
    """Its word, setting and refusal, its queue and metrics, and lines that come out."""
    tree.write("exporters/drawer.py", EXPORTER)
    tree.register("exporters/registry.py", "EXPORTERS = {\n", '    "drawer": "payflux.exporters.drawer:DESTINATION",\n')
    environ = {"PAYFLUX_EXPORT_MODE": "drawer", "PAYFLUX_API_KEY": "key"}
    with pytest.raises(AssertionError, match="PAYFLUX_DRAWER: expected a path, as PAYFLUX_EXPORT_MODE is drawer"):
        tree.run("-m", "payflux", "config", **environ)
    environ |= {"PAYFLUX_DRAWER": str(tree.root / "drawer")}
    shown = json.loads(tree.run("-m", "payflux", "config", "--json", **environ))
    assert shown["PAYFLUX_DRAWER"] == {"value": environ["PAYFLUX_DRAWER"], "source": "environment", "help": ANY}
    code = (
        "from payflux.exporters import Opening; from payflux.exporters.fanout import fan_out;"
        "from payflux.exporters.registry import used; from payflux.node.settings import load_settings;"
        "from payflux.telemetry import metrics as m; values = load_settings(serves=False);"
        "metrics = m.Metrics(m.create_slab(['consumer']), 'consumer');"
        "queues = fan_out({name: one.make(Opening(values)) for name, one in used(values).items()}, metrics, 1 << 20);"
        "queues.publish([b'one\\n', b'two\\n']); queues.end(10);"
        "print(metrics.get(m.EXPORTED, metrics.destinations.index('drawer')))"
    )
    assert tree.run("-c", code, **environ) == "2.0\n"
    assert (tree.root / "drawer").read_text() == "one\ntwo\n"


def test_an_exporter_with_a_group_is_a_file_and_an_entry(tree: Tree) -> None:
    """Its own settings and those of all, its group, its place in the documents, and lines that come out."""
    tree.write("exporters/shelf.py", GROUPED)
    tree.register("exporters/grouped.py", "GROUPED = {\n", '    "shelf": "payflux.exporters.shelf:DESTINATION",\n')
    environ = {"PAYFLUX_EXPORTERS": "shelf", "PAYFLUX_EXPORT_SHELF_PATH": str(tree.root), "PAYFLUX_API_KEY": "key"}
    shown = json.loads(tree.run("-m", "payflux", "config", "--json", **environ))
    assert shown["PAYFLUX_EXPORT_SHELF_PATH"]["value"] == str(tree.root)
    assert shown["PAYFLUX_EXPORT_SHELF_BATCH_EVENTS"]["value"] == "10"
    with pytest.raises(AssertionError, match="PAYFLUX_EXPORT_SHELF_LEAST_BAND='worst': expected one of low, elevated"):
        tree.run("-m", "payflux", "config", PAYFLUX_EXPORT_SHELF_LEAST_BAND="worst", **environ)
    code = (
        "from payflux.exporters import GroupOpening; from payflux.exporters.grouped import group_destination, running;"
        "from payflux.node.settings import load_settings; from payflux.operations import openapi; import json;"
        "values = load_settings(serves=False); [name] = running(values);"
        "shelf = group_destination(name).make(GroupOpening(values, name, 1.0));"
        "shelf.deliver([b'one', b'two']); print('shelf' in json.dumps(openapi.document([])))"
    )
    assert tree.run("-c", code, **environ) == "True\n"
    assert [(tree.root / place).read_text() for place in "01"] == ["one", "two"]


def test_a_trouble_to_judge_the_detector_by_is_an_entry(tree: Tree) -> None:
    """It is listed, staged, labelled with the driver that is right, and part of every corpus."""
    tree.register(
        "load/corpus/scenarios.py",
        "SCENARIOS = {\n",
        '    "acme": Scenario("Acme fails", Effect(failing=0.9, categories=_DOWN), *("high_failure_rate", ())),\n',
    )
    assert "acme" in tree.run("-m", "payflux", "simulate", "--incident", "list")
    labels, events = tree.root / "labels.jsonl", tree.root / "events.jsonl"
    staged = ("--incident", "acme", "--warm-up", "5", "--duration", "20", "--rate", "20", "--seed", "1")
    tree.run("-m", "payflux", "simulate", *staged, "--output", str(events), "--labels", str(labels))
    (label,) = [json.loads(line) for line in labels.read_text().splitlines()]
    assert (label["scenario"], label["driver"]) == ("acme", "high_failure_rate")
    assert events.read_text().count("processor_timeout") > 20
    assert tree.run("-c", "from payflux.load.corpus.schedule import NAMES; print('acme' in NAMES)") == "True\n"


def test_a_detector_is_a_file_and_an_entry(tree: Tree) -> None:
    """What shows its sign becomes its driver and opens an incident; the documents know it."""
    tree.write("risk/detectors/fifth.py", DETECTOR)
    registry = "risk/detectors/registry.py"
    tree.register(registry, "import Attempt, Detector\n", "from payflux.risk.detectors.fifth import FIFTH\n")
    tree.register(registry, "DETECTORS: tuple[Detector, ...] = (", "FIFTH, ")
    code = (
        "from payflux.risk.judge import Limits; from payflux.risk.scoring import Scorer;"
        "from payflux.risk.reading import Facts, observed; from payflux.operations import openapi; import json;"
        "scorer = Scorer(Limits()); usual, fifth = [observed(Facts('payment_succeeded', 'stripe', retry_count=n))"
        " for n in (0, 4)];"
        "[scorer.score(at // 2, 'stripe', usual if at < 15000 or at % 2 else fifth) for at in range(15200)];"
        "scorer.tick(7598); changes = scorer.changes(7598);"
        "print('fifth_tries' in {change.incident.driver.name for change in changes if change.kind == 'opened'});"
        "print('fifth_tries' in json.dumps(openapi.document([])))"
    )
    assert tree.run("-c", code) == "True\nTrue\n"


def test_a_webhook_adapter_is_a_file_and_an_entry(tree: Tree) -> None:
    """Settings, refusals, the path, its description and the event all follow."""
    tree.write("webhooks/processors/acme.py", ADAPTER)
    tree.register("webhooks/registry.py", "ADAPTERS = {\n", '    "acme": "payflux.webhooks.processors.acme:SOURCE",\n')
    environ = {"PAYFLUX_WEBHOOK_ACME_SECRETS": "one,two", "PAYFLUX_API_KEY": "key"}
    with pytest.raises(
        AssertionError, match=r"PAYFLUX_HASH_KEY: expected a key .* PAYFLUX_WEBHOOK_ACME_SECRETS is set"
    ):
        tree.run("-m", "payflux", "config", **environ)
    shown = tree.run("-m", "payflux", "config", "--json", PAYFLUX_HASH_KEY="k" * 16, **environ)
    assert json.loads(shown)["PAYFLUX_WEBHOOK_ACME_SECRETS"]["value"] == "****"
    code = (
        "import json; from payflux.operations import openapi;"
        "print(json.dumps(openapi.document(['/v1/webhooks/acme'])['paths']['/v1/webhooks/acme']['post']['summary']))"
    )
    assert tree.run("-c", code) == '"Take a webhook of acme"\n'
    code = (
        "from payflux.webhooks import Opening, Webhook; from payflux.webhooks.registry import known, live, secrets_of;"
        "from payflux.webhooks.normal import Normaliser; from payflux.webhooks.identifiers import Hasher;"
        "from payflux.node.settings import load_settings;"
        "values = load_settings(serves=False); [(name, source)] = live(values).items();"
        "adapter = source.make(Opening(values, values[secrets_of(name)]));"
        "import json; body = json.dumps({'id': '1', 'at': 1, 'why': 'declined'}).encode();"
        "webhook = source.sign(body, 'two', 0.0); adapter.verify(webhook, 0.0);"
        "[payment] = adapter.read(webhook);"
        "print(Normaliser(name, Hasher('k' * 16)).event(payment).event.data.decode())"
    )
    event = json.loads(tree.run("-c", code, PAYFLUX_HASH_KEY="k" * 16, **environ))
    assert (event["processor"], event["failure_category"]) == ("acme", "do_not_honor")


def test_an_alert_receiver_is_a_file_and_an_entry(tree: Tree) -> None:
    """Settings, those of every receiver too, refusals and what it is told follow."""
    tree.write("alerts/receivers/pigeon.py", RECEIVER)
    tree.register("alerts/registry.py", "RECEIVERS = {\n", '    "pigeon": "payflux.alerts.receivers.pigeon:KIND",\n')
    with pytest.raises(
        AssertionError, match="PAYFLUX_ALERT_PIGEON_LOFT: expected a path, as PAYFLUX_ALERTS names pigeon"
    ):
        tree.run("-m", "payflux", "config", PAYFLUX_ALERTS="pigeon")
    environ = {"PAYFLUX_ALERTS": "pigeon", "PAYFLUX_ALERT_PIGEON_LOFT": str(tree.root / "loft")}
    shown = json.loads(tree.run("-m", "payflux", "config", "--json", **environ))
    assert shown["PAYFLUX_ALERT_PIGEON_LEAST"]["value"] == "elevated"
    assert "pigeon: took the end: it flew" in tree.run("-m", "payflux", "alerts", "test", **environ)
    assert (tree.root / "loft").read_text().startswith("TEST: RESOLVED: [high] example")


def test_an_endpoint_is_its_handler_and_its_description(tree: Tree) -> None:
    """It is described in the document of the node that serves it."""
    tree.register("operations/routes.py", '        ("/livez", alive),\n', '        ("/alive", alive),\n')
    tree.register(
        "operations/openapi.py",
        '        "/livez": _question("live", "Whether the process is alive", fine),\n',
        '        "/alive": _question("alive", "Whether it is alive", fine),\n',
    )
    code = (
        "import json; from payflux.operations import openapi, routes;"
        "from unittest.mock import Mock;"
        "paths = routes.probes(Mock());"
        "print(json.dumps(openapi.document(paths)['paths']['/alive']['get']['summary']))"
    )
    assert tree.run("-c", code) == '"Whether it is alive"\n'
