"""The public contract's names: the paths, statuses, variables, metrics and commands people rely on."""

import http.client
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from needs import program
from nodes import KEY, Node, event
from operator_commands import environ, payflux
from payflux.node.settings import SETTINGS
from payflux.operations.exposition import HEALTH, INFO, REDIS_GAUGES
from payflux.operations.incident_gauges import GAUGES
from payflux.telemetry.metrics import CATEGORIES, EVENT_TYPES, METRICS, PROCESSORS
from real_parts import MakeNode
from scripts.docs.tables import INFO_LABELS, every_command, exit_codes_of, options
from servers import Server, until

PATHS = """
post /v1/events/payment_exhaust        202 400 401 408 413 415 429 503
post /v1/events/payment_exhaust/batch  200 400 401 408 413 415 429 503
post /checkout                         200 400 401 408 413 415 429 502 503
get /health                            200 503
get /livez                             200
get /readyz                            200 503
get /metrics                           200
get /export/health                     200
get /openapi.json                      200
"""
"""Each path with the statuses it may answer at least."""

VARIABLES = """
PAYFLUX_API_KEYS
PAYFLUX_API_KEY
STRIPE_API_KEY
PAYFLUX_CHECKOUT_ENABLED true
REDIS_ADDR localhost:6379
REDIS_URL
HTTP_ADDR :8080
PAYFLUX_WORKERS
PAYFLUX_CONSUMER_NAME
PAYFLUX_RATELIMIT_RPS 100
PAYFLUX_RATELIMIT_BURST 500
PAYFLUX_STREAM_MAXLEN 200000
PAYFLUX_DEDUP_TTL_SEC 86400
PAYFLUX_PANIC_MODE crash
PAYFLUX_EXPORT_MODE stdout
PAYFLUX_EXPORT_FILE
PAYFLUX_EXPORT_ACK ack_then_export
PAYFLUX_CLAIM_IDLE_SEC 30
PAYFLUX_MAX_DELIVERIES 5
PAYFLUX_OUTCOMES
PAYFLUX_RISK_SCORE_ENABLED true
PAYFLUX_RISK_SCORE_WINDOW_SEC 300
PAYFLUX_RISK_SCORE_THRESHOLDS 0.3,0.6,0.8
PAYFLUX_RISK_EVIDENCE false
PAYFLUX_ALERTS
PRICE_CENTS 9900
PRODUCT_NAME PayFlux Early Access
SITE_URL https://payflux.dev
"""
"""Each variable with its default; without one, it is unset or worked out at the start."""

SECRET = {"PAYFLUX_API_KEYS", "PAYFLUX_API_KEY", "STRIPE_API_KEY", "REDIS_URL"}

METRIC_LABELS = """
ingest_accepted_total
ingest_rejected_total reason
ingest_duplicate_total
ingest_duration_seconds
events_by_processor_total processor
consumer_processed_total
consumer_dlq_total reason
stream_length
pending_messages
consumer_lag_messages
events_exported_total destination
export_errors_total destination reason
exports_last_success_timestamp_seconds destination
processor_risk_events_total processor band
processor_risk_score_last processor
auth_denied_total reason
stream_lost_total reason
dlq_depth
events_by_outcome_total processor outcome
failures_total processor category
retries_total processor
events_unclassified_total event_type
incidents_open processor driver severity
incidents_total processor driver
incident_info incident processor driver dimension value severity
incident_observed_ratio incident
incident_expected_ratio incident
segment_failure_ratio processor dimension value
warning_latency_seconds
alerts_total receiver result
redis_durability_info aof fsync policy role
redis_up
build_info version python
"""
"""Each metric, without its prefix, with its labels."""

COMMANDS = """
serve --role
dev
simulate --incident
tail --processor --outcome --band --category --json
incidents list --open --last --processor --json
incidents show --json
incidents annotate --note --json
alerts test
alerts show
alerts mute --for --why --driver --value
alerts unmute
alerts mutes --json
dlq list --reason --id --from --to
dlq show
dlq requeue --reason --id --from --to --yes
dlq purge --reason --id --from --to --yes
replay --from --until --to --processor --to-stdout --to-stream
webhooks status --json
webhooks send --count --incident --secret
webhooks try
webhooks normalize
webhooks codes --unmapped
check --json
config
send
completion
"""
"""Each command with options it must have."""

QUICK_CHECKS = {
    "curl localhost:8080/health": "ok",
    "curl -s localhost:8080/metrics | grep payflux_": "payflux_ingest_accepted_total 0.0",
    "curl -s -o /dev/null -w '%{http_code}' -X POST localhost:8080/v1/events/payment_exhaust": "401",
    f"""curl -s -o /dev/null -w '%{{http_code}}' -X POST localhost:8080/v1/events/payment_exhaust \\
        -H "Authorization: Bearer {KEY}" -H "Content-Type: application/json" -d 'EVENT'; echo first""": "202first",
    f"""curl -s -o /dev/null -w '%{{http_code}}' -X POST localhost:8080/v1/events/payment_exhaust \\
        -H "Authorization: Bearer {KEY}" -H "Content-Type: application/json" -d 'EVENT'; echo again""": "202again",
    "curl -s localhost:8080/metrics | grep ingest_duplicate_total": "payflux_ingest_duplicate_total 1.0",
    f"""curl -s -w '%{{http_code}}' -X POST localhost:8080/v1/events/payment_exhaust \\
        -H "Authorization: Bearer {KEY}" -H "Content-Type: application/json" -d 'INVALID'
    """: "event_id must be valid UUID",
}
"""What an operator types, and what it shows. The events are put in where it says `EVENT` and `INVALID`."""

INVALID = '{"event_type":"test","event_timestamp":"2026-01-09T12:00:00Z","event_id":"not-a-uuid","processor":"stripe"}'


def rows(table: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in table.split("\n") if line]


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """A node with everything on."""
    return make_node({"PAYFLUX_CHECKOUT_ENABLED": "true", "STRIPE_API_KEY": "sk_test_1", "PAYFLUX_WORKERS": "2"})


@pytest.mark.process
def test_every_path_and_status_is_served_and_described(node: Node) -> None:
    """What a living node says of itself has each path, with at least the promised statuses."""
    paths: Any = json.loads(node.get("/openapi.json")[1])["paths"]
    for method, path, *statuses in rows(PATHS):
        assert set(statuses) <= set(paths[path][method]["responses"]), path
        body = b"[]" if method == "post" else None
        assert node.request(method.upper(), path, body)[0] == (401 if method == "post" else 200), path


@pytest.mark.process
def test_the_quick_checks_work_as_written(make_node: MakeNode, server: Server, directory: Path) -> None:
    """Each command, typed as it stands, shows what it should; the repeated event is one entry of the stream."""
    program("curl")
    node = make_node()
    # The commands name port 8080, the node has one of its own: curl is told, the commands stay as they are.
    (directory / ".curlrc").write_text(f'connect-to = "localhost:8080:127.0.0.1:{node.port}"\n')
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    one = json.dumps(event())
    for typed, shown in QUICK_CHECKS.items():
        script = typed.replace("EVENT", one).replace("INVALID", INVALID)
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=30)
        assert shown in done.stdout, (typed, done)
    assert done.stdout.endswith("400")
    assert server.client.xlen("events_stream") == 1
    until(lambda: node.line_count() == 1, "its line")
    os.kill(node.process.pid, signal.SIGTERM)
    assert node.process.wait(30) == 0
    said = [line["msg"] for line in node.logs()]
    assert said.index("shutdown_initiated") < said.index("shutdown_complete") == len(said) - 1


def answer(node: Node, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], Any]:
    """One request with a key; status, headers by lower-case name, and the problem."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, body, sent | {name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, json.loads(response.read())
    finally:
        connection.close()


@pytest.mark.process
def test_each_status_is_answered_as_promised(make_node: MakeNode, server: Server) -> None:
    """Refusals are problem+json with a code; 405 has Allow, 429 and 503 have Retry-After; nothing of them is stored."""
    limits = {"PAYFLUX_RATELIMIT_RPS": "10", "PAYFLUX_RATELIMIT_BURST": "100", "PAYFLUX_API_KEYS": f"{KEY},hasty"}
    node, path = make_node(limits), "/v1/events/payment_exhaust"
    good, hasty = json.dumps(event()).encode(), "Bearer hasty"
    many = json.dumps([{}] * 1000).encode()  # passes, and leaves a debt of a minute and a half
    assert answer(node, "POST", f"{path}/batch", many, Authorization=hasty)[0] == 200
    asked = [
        (answer(node, "POST", path, good, Authorization="Bearer wrong"), 401, "unauthorized", "www-authenticate"),
        (answer(node, "POST", "/v2", good), 404, "not_found", ""),
        (answer(node, "PUT", path, good), 405, "method_not_allowed", "allow"),
        (answer(node, "POST", path, b" " * 1_048_577), 413, "body_too_large", ""),
        (answer(node, "POST", path, good, Content_Type="text/plain"), 415, "unsupported_media_type", "accept"),
        (answer(node, "POST", path, good, Content_Encoding="gzip"), 415, "unsupported_encoding", "accept-encoding"),
        (answer(node, "POST", path, b"{"), 400, "invalid_json", ""),
        (answer(node, "POST", path, good, Authorization=hasty), 429, "rate_limited", "retry-after"),
        # Checked in order: without a key everything else that is wrong does not matter.
        (answer(node, "POST", path, b"{", Authorization="", Content_Type="text/plain"), 401, "unauthorized", ""),
    ]
    server.kill()
    unsure = answer(node, "POST", path, good)
    asked.append((unsure, 503, unsure[2]["code"], "retry-after"))
    for (status, headers, told), expected, code, header in asked:
        assert (status, told["code"]) == (expected, code)
        assert headers["content-type"] == "application/problem+json"
        assert told["status"] == status
        assert not header or header in headers, code
    server.start()
    assert server.client.xlen("events_stream") == 0


def test_every_variable_has_its_default() -> None:
    """Declared with the promised default, and masked if it is a secret."""
    declared = {setting.name: setting for setting in SETTINGS}
    for line in VARIABLES.strip().split("\n"):
        name, _, default = line.partition(" ")
        assert (declared[name].default or None) == (default or None), name
        assert declared[name].secret == (name in SECRET), name


def test_every_metric_has_its_labels() -> None:
    """Declared with the promised labels, and with the promised bounds of the open ones."""
    declared = {metric.name: tuple(label.name for label in metric.labels) for metric in METRICS}
    declared |= {name: INFO_LABELS.get(name, ()) for name in (REDIS_GAUGES | HEALTH | INFO)}
    declared |= {name: labels for name, (_, labels) in GAUGES.items()}
    for name, *labels in rows(METRIC_LABELS):
        assert set(declared[name]) == set(labels), name
    assert (PROCESSORS, CATEGORIES, EVENT_TYPES) == (100, 50, 50)


@pytest.mark.process
def test_every_metric_is_exposed(make_node: MakeNode) -> None:
    """A node that has stored and exported something names every family, and fills those that must be filled."""
    node = make_node()
    assert node.post(event(retry_count=1)) == 202
    until(lambda: node.line_count() == 1 and node.drained(), "the line")
    text = node.get("/metrics")[1].decode()
    for name, *_ in rows(METRIC_LABELS):
        assert f"\n# TYPE payflux_{name} " in f"\n{text}", name
    samples = node.metrics()
    for name in ("failures_total", "retries_total", "events_by_outcome_total", "processor_risk_score_last"):
        assert any(sample.startswith(f"{name}{{") and 'processor="stripe"' in sample for sample in samples), name


def test_every_command_has_its_options() -> None:
    """Each is there, takes what it must, and says what its exit codes mean."""
    known = every_command()
    for line in COMMANDS.strip().split("\n"):
        words = " ".join(word for word in line.split() if not word.startswith("--"))
        wanted = {word for word in line.split() if word.startswith("--")}
        assert wanted <= {option.names[0] for option in options(known[words])}, words
        assert 0 in exit_codes_of(known[words]), words
    [role] = options(known["serve"])
    assert set(role.get_choices() or ()) == {"all", "ingest", "consume", "export"}


@pytest.mark.process
@pytest.mark.parametrize("line", [[], *(["dlq"], *([*words.split()] for words in every_command()))], ids=" ".join)
def test_every_command_explains_itself(line: list[str]) -> None:
    """`--help` needs no configuration, and names the command."""
    shown = payflux(environ("redis://127.0.0.1:1"), *line, "--help")
    assert shown.returncode == 0
    assert f"Usage: payflux {' '.join(line)}".rstrip() in shown.stdout.decode()


@pytest.mark.process
def test_payflux_alone_is_serve(make_node: MakeNode) -> None:
    """Without a command it is a node whose stdout holds event lines alone."""
    node = make_node(arguments=())
    assert node.post(event()) == 202
    until(lambda: node.line_count() == 1, "the line")
    assert node.lines()[0]["schema_version"] == 1
    assert node.stop() == 0
