"""The Kubernetes manifest: checked against the schemas of Kubernetes, and true to the node."""

import re
from pathlib import Path
from typing import Any

import pytest

from deploying import DEPLOY, broken, documents, run
from needs import program
from payflux import __version__
from payflux.node.settings import SETTINGS, load_settings

MANIFEST = DEPLOY / "k8s" / "payflux.yaml"
PROBED = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def valid(path: Path) -> bool:
    """Whether the schemas take every object, unknown members refused; an unknown kind is only told of."""
    found = run([program("kubernetes-validate"), "--strict", path])
    said = found.stdout + found.stderr
    return found.returncode == 0 and said.count(" passed for resource ") == len(documents(path))


def kind(name: str) -> dict[str, Any]:
    """The one object of a kind."""
    (found,) = [document for document in documents(MANIFEST) if document["kind"] == name]
    return found


def test_the_schemas_are_met() -> None:
    """Every object is right: ConfigMap, Secret, Deployment, Service."""
    assert valid(MANIFEST)
    assert [one["kind"] for one in documents(MANIFEST)] == ["ConfigMap", "Secret", "Deployment", "Service"]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("replicas: 1", "replicaz: 1"),
        ("enableServiceLinks: false", "enableServiceLinks: never"),
        ("kind: Service\n", "kind: Servise\n"),
        ('PAYFLUX_WORKERS: "2"', "PAYFLUX_WORKERS: 2"),
        ("httpGet: {path: /readyz, port: http}", "httpGet: {path: /readyz}"),
    ],
)
def test_the_schemas_find_what_is_wrong(good: str, bad: str, directory: Path) -> None:
    """A broken copy does not pass."""
    assert not valid(broken(MANIFEST, directory, good, bad))


def test_the_deployment_is_one_node_that_is_probed_and_fenced() -> None:
    """One replica, no service links, the right probes, limits, no privilege, enough time to end."""
    spec = kind("Deployment")["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["replicas"] == 1
    assert pod["enableServiceLinks"] is False
    assert {probe: container[probe]["httpGet"]["path"] for probe in PROBED} == PROBED
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= 30 + waits
    assert container["image"] == f"payflux:{__version__}"
    user = re.search(r"^USER (\d+):", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert user
    assert pod["securityContext"]["runAsUser"] == int(user[1])


def test_the_names_match() -> None:
    """The Service finds the pods, the pods their ConfigMap and Secret, the port its name."""
    deployment, service = kind("Deployment"), kind("Service")
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert [port["targetPort"] for port in service["spec"]["ports"]] == [port["name"] for port in container["ports"]]
    references = {next(iter(one.values()))["name"] for one in container["envFrom"]}
    assert references == {kind("ConfigMap")["metadata"]["name"], kind("Secret")["metadata"]["name"]}


def test_the_node_starts_with_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """ConfigMap and Secret together are a configuration that the node takes, without a warning."""
    environment = kind("ConfigMap")["data"] | kind("Secret")["stringData"]
    assert set(environment) <= {setting.name for setting in SETTINGS}
    for name in ("PAYFLUX_API_KEY", "REDIS_ADDR", "PAYFLUX_EXPORT_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load_settings().warnings == ()
