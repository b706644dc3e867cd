"""`payflux webhooks normalize` and `try`: files of bodies become events, without a node."""

import json
import time
from pathlib import Path

import pytest

from operator_commands import environ, payflux
from receiving import FILES, HASH_KEY, NOW, sample

pytestmark = pytest.mark.process
ENVIRON = environ("unix:///nowhere", PAYFLUX_HASH_KEY=HASH_KEY)


def test_a_file_of_bodies_becomes_lines(tmp_path: Path) -> None:
    """What is unreadable is named by line, what says nothing counted, and codes nobody knows listed."""
    strange = sample("stripe", "charge.failed", 2)
    strange["data"]["object"]["outcome"] = {"reason": "flux_capacitor_empty"}
    bodies = [json.dumps(sample("stripe", "charge.failed")), "{", json.dumps(sample("stripe", "plan.created"))]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join([*bodies, json.dumps(strange)]))
    done = payflux(ENVIRON, "webhooks", "normalize", "stripe", str(file))
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["failure_category"] for line in lines] == ["insufficient_funds", "flux_capacitor_empty"]
    told = done.stderr.decode()
    assert "line 2: the body is not valid JSON" in told
    assert "4 bodies, 2 events, 1 ignored, 1 unreadable" in told
    assert "unmapped: flux_capacitor_empty (1)" in told


def test_a_report_goes_into_a_backtest(tmp_path: Path) -> None:
    """From Adyen's CSV to the incident in it; a line that cannot be read is named, and nothing of the card is left."""
    rows = ["Merchant Account,Psp Reference,Creation Date,TimeZone,Currency,Amount,Type,Acquirer Response,Shopper PAN"]
    for number in range(4500):
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(NOW + 2 * number))
        told = "Refused,Acquirer Error" if 4000 <= number < 4150 and number % 3 else "Authorised,APPROVED"
        rows.append(f"ExampleMerchant,PSP{number:013},{stamp},UTC,EUR,10.00,{told},4111111111111111")
    rows.insert(500, "ExampleMerchant,PSP,today,UTC,EUR,10.00,Refused,Refused,4111111111111111")
    file = tmp_path / "received_payments_report.csv"
    file.write_text("\n".join(rows))
    done = payflux(ENVIRON, "webhooks", "normalize", "adyen", str(file))
    assert done.returncode == 1
    told = done.stderr.decode()
    assert "line 501: Creation Date, Booking Date: expected one such as 2026-01-09 12:00:00" in told
    assert "4,501 bodies, 4,500 events, 0 ignored, 1 unreadable" in told
    assert b"41111111" not in done.stdout + done.stderr
    warned = payflux(ENVIRON, "backtest", "-", "--json", stdin=done.stdout)
    assert warned.returncode == 0, warned.stderr
    (incident,) = map(json.loads, warned.stdout.splitlines())
    assert (incident["processor"], incident["driver"]) == ("adyen", "high_failure_rate")
    assert "2026-01-09T14:13:2" <= incident["opened_at"] < "2026-01-09T14:15"


def test_objects_of_an_api_are_wrapped(tmp_path: Path) -> None:
    """A list as Stripe's own command line prints it, on many lines; what is no file of it is refused in words."""
    charges = [sample("stripe", "charge.failed", seed)["data"]["object"] for seed in range(3)]
    file = tmp_path / "charges.json"
    file.write_text(json.dumps({"object": "list", "data": charges}, indent=2))
    done = payflux(ENVIRON, "webhooks", "normalize", "stripe", str(file))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["event_type"] for line in done.stdout.splitlines()] == ["payment_failed"] * 3
    file.write_text("id,amount\n1,2\n")
    done = payflux(ENVIRON, "webhooks", "normalize", "adyen", str(file))
    assert done.returncode == 2
    assert b"expected JSON, or a report as CSV whose first line names Psp Reference, Merchant Account" in done.stderr


def test_one_body_is_shown_with_its_meaning(tmp_path: Path) -> None:
    """The event, its category, what a retry could do, and whether it counts."""
    file = tmp_path / "body.json"
    file.write_text(json.dumps(sample("adyen", "AUTHORISATION.acquirer_error"), indent=1))
    done = payflux(environ("unix:///nowhere"), "webhooks", "try", "adyen", str(file))
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert told["event"]["event_type"] == "payment_failed"
    assert (told["category"], told["retry"]) == ("processor_technical", "now")
    assert told["counts_against_processor"] is True


def test_the_file_of_an_adapter_is_tried_and_checked(tmp_path: Path) -> None:
    """By its path, or by its name in the folder; its mistakes are explained by line, all of them."""
    square = FILES[3]
    file = tmp_path / "body.json"
    file.write_text(json.dumps(sample("square", "payment.updated.failed")))
    folder = environ("unix:///nowhere", PAYFLUX_WEBHOOK_ADAPTERS=str(square.parent))
    for variables, name in ((folder, "square"), (ENVIRON, str(square))):
        (told,) = json.loads(payflux(variables, "webhooks", "try", name, str(file)).stdout)
        assert (told["event"]["processor"], told["category"]) == ("square", "insufficient_funds")
    wrong = tmp_path / "acme.toml"
    wrong.write_text(square.read_text().replace("base64", "base46").replace('"payment_failed"', '"failed_payment"'))
    done = payflux(ENVIRON, "webhooks", "lint", str(square), str(wrong))
    assert done.returncode == 1
    fine, *mistakes = done.stdout.decode().splitlines()
    assert fine.startswith(f"{square}: no mistakes; payments, refunds and disputes of Square, signed by `X-Square")
    assert mistakes[0] == f"{wrong}:8: [signature] encoding: expected one of hex, base64"
    assert len(mistakes) == 3
    assert all(line.startswith(f"{wrong}:") and "[event_types]" in line for line in mistakes[1:])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("lint", "/no/such.toml"), "/no/such.toml: expected /no/such.toml to be a file that can be read"),
        (("try", "/no/such.toml", "x"), "/no/such.toml: expected /no/such.toml to be a file that can be read"),
        (("normalize", "acme", "x"), "acme: expected one of stripe"),
        (("normalize", "stripe", "/no/such"), "/no/such: no such file"),
        (("try", "stripe", "/no/such"), "/no/such: No such file"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], expected: str) -> None:
    """Exit code 2 and one line."""
    done = payflux(ENVIRON, "webhooks", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_key_of_hashes_is_needed() -> None:
    """Or the lines could not be told from those of another trial."""
    done = payflux(environ("unix:///nowhere"), "webhooks", "normalize", "stripe", "-")
    assert done.returncode == 2
    assert b"PAYFLUX_HASH_KEY: expected at least 16 characters" in done.stderr
