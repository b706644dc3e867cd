"""Schemathesis against a living node: what `/openapi.json` says is what the node does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nodes import KEY
from real_parts import MakeNode
from stripe_server import KEY as STRIPE_KEY
from stripe_server import stripe_server

SECONDS = 100
CASES = 400
COMMAND = (
    *(str(Path(sys.executable).with_name("st")), "run", "openapi.json", "--checks", "all", "--no-color"),
    *("--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--seed", "1"),
    *("--generation-database", "none", "--request-timeout", "20"),
)


@pytest.mark.process
def test_the_node_does_what_its_document_says(make_node: MakeNode, directory: Path) -> None:
    """Valid and invalid requests to every path pass all checks, and there are hundreds of them."""
    with stripe_server() as stripe:
        node = make_node(
            {"PAYFLUX_CHECKOUT_ENABLED": "true", "STRIPE_API_KEY": STRIPE_KEY, "STRIPE_API_BASE": stripe.url}
        )
        status, document = node.get("/openapi.json")
        assert status == 200
        (directory / "openapi.json").write_bytes(document)
        run = subprocess.run(
            [*COMMAND, "-u", f"http://127.0.0.1:{node.port}", "-H", f"Authorization: Bearer {KEY}"],
            cwd=directory,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                "SCHEMATHESIS_HOOKS": str(
                    Path(__file__).parent.parent / "support" / "producers" / "schemathesis_hooks.py"
                ),
            },
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        asked = len(stripe.calls)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Tested: 14" in run.stdout
    passed = re.search(r"(\d+) generated, (\d+) passed", run.stdout)
    assert passed is not None, run.stdout
    assert int(passed[1]) == int(passed[2]) >= CASES
    assert asked > 10
    metrics = node.metrics()
    assert metrics["ingest_accepted_total"] + metrics["ingest_duplicate_total"] > 50
    assert metrics['ingest_rejected_total{reason="invalid_event"}'] > 50
