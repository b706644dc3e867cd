"""Every webhook adapter: what each one has to verify, to read, and to say of itself."""

import contextlib
import io
import json
import re

import hypothesis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from payflux.event.outcome import outcome_of
from payflux.webhooks import Unreadable, Unverified, Webhook, vocabulary
from payflux.webhooks.registry import ADAPTERS, settings
from payflux.webhooks.sampling import samples_of
from receiving import NOW, SECRETS, TARGETS, Reading, Receiver, sample, signed, source_of
from signing import tampered

SAMPLES = [(name, kind) for name, target in TARGETS.items() for kind in samples_of(name, target).samples]
ID = re.compile(r"[A-Za-z0-9]{16,}")


@pytest.mark.parametrize("name", ADAPTERS)
def test_each_says_what_it_is_and_how_it_is_set_up(name: str) -> None:
    """A row of documentation, samples, traffic, and settings that no other one has and that begin like all of ours."""
    source = source_of(name)
    assert source.help
    assert not source.help.endswith(".")
    assert source.days > 0
    assert all(setting.name.startswith(f"PAYFLUX_WEBHOOK_{name.upper()}_") for setting in source.settings)
    assert len({setting.name for setting in settings()}) == len(settings())
    assert all(source.is_secret(secret) for secret in SECRETS[name])
    assert {"quiet", "outage", "issuer_outage", "card_testing"} <= set(samples_of(name).traffic)


@pytest.mark.parametrize(("name", "kind"), SAMPLES)
def test_what_is_signed_is_taken_and_becomes_correct_events(name: str, kind: str) -> None:
    """Signed by either live secret: stored once, whatever comes again, and answered as the processor wants."""
    receiver = Receiver(name)
    webhook = signed(name, sample(name, kind))
    assert receiver.send(webhook).status == source_of(name).accepted[0]
    stored = receiver.events()
    for secret in (1, 0):
        again = signed(name, sample(name, kind), secret=secret)
        assert receiver.send(again).status == source_of(name).accepted[0]
    assert receiver.events() == stored
    assert receiver.counted().get("accepted", 0) == len(stored)
    assert receiver.counted().get("ignored", 0) == (0 if stored else 3)
    for event in stored:
        assert event["processor"] == name
        assert event["system_source"] == "webhook"
        assert event["event_type"] in (*vocabulary.OUTCOMES, "test")


@pytest.mark.parametrize(("name", "kind"), SAMPLES)
def test_no_raw_identifier_is_stored(name: str, kind: str) -> None:
    """Every random id of a sample, and what else tells whose it is, is gone from the event."""
    body = json.dumps(sample(name, kind))
    receiver = Receiver(name)
    receiver.send(signed(name, json.loads(body)))
    data = json.dumps(receiver.events())
    ids = {found for found in ID.findall(body) if re.search("[A-Z]", found) and re.search("[0-9]", found)}
    for raw in (*ids, "example.com", "ExampleMerchant", "Jenny", "4242"):
        assert raw not in data


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_not_signed_is_refused_and_counted_and_never_stored(name: str) -> None:
    """Another body, another secret, no signature: 401, whatever else is right."""
    kind = next(kind for processor, kind in SAMPLES if processor == name)
    body = msgspec.json.encode(sample(name, kind))
    source = source_of(name)
    receiver, good = Receiver(name), signed(name, body)
    stranger = source.sign(body, "cd" * 32, NOW)
    assert receiver.refusal(replace(good, body=tampered(good.body))) == (401, "signature_wrong")
    assert receiver.refusal(stranger) == (401, "signature_wrong")
    assert receiver.refusal(Webhook(body, {b"content-type": b"application/json"})) == (401, "signature_missing")
    assert receiver.events() == []
    assert receiver.counted() == {"signature_wrong": 2, "signature_missing": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def _paths(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, one in inner for path in _paths(one, (*at, key)))]


def changed(value: object, path: tuple[str | int, ...], new: object) -> object:
    """A copy with something else at a path."""
    if not path:
        return new
    if isinstance(value, dict):
        return value | {path[0]: changed(value[path[0]], path[1:], new)}
    assert isinstance(value, list)
    return [changed(one, path[1:], new) if index == path[0] else one for index, one in enumerate(value)]


@pytest.mark.parametrize(("name", "kind"), SAMPLES)
@hypothesis.settings(max_examples=20)
@given(data=st.data())
def test_whatever_stands_in_it_an_adapter_reads_it_or_says_why_not(name: str, kind: str, data: st.DataObject) -> None:
    """Any JSON in place of any member: an event, nothing, or `Unreadable`; and nothing that looks like a card."""
    body = sample(name, kind)
    path = data.draw(st.sampled_from(_paths(body)))
    body = changed(body, path, data.draw(JSON | st.just("4111 1111 1111 1111")))
    try:
        normals = Reading(name).normals(body)
    except Unreadable as error:
        assert "4111" not in str(error)  # noqa: PT017 - most bodies do not raise
        return
    for normal in normals:
        assert b"4111 1111" not in normal.event.data
        assert "4111" not in normal.unmapped


@pytest.mark.parametrize("name", TARGETS)
@given(body=st.binary(max_size=200) | JSON.map(msgspec.json.encode))
def test_whatever_comes_is_verified_without_a_defect(name: str, body: bytes) -> None:
    """Any bytes with any signature are refused in words."""
    reading = Reading(name)
    for headers in ({}, {b"stripe-signature": b"t=1,v1=00"}, {b"authorization": b"x"}):
        with pytest.raises((Unverified, Unreadable)):
            reading.adapter.verify(Webhook(body, headers), NOW)


CARD = "4111 1111 1111 1111"


@pytest.mark.parametrize("name", TARGETS)
@hypothesis.settings(max_examples=10, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
@given(data=st.data())
def test_any_signed_body_is_taken_or_refused_and_never_an_error(name: str, data: st.DataObject) -> None:
    """2xx or 4xx, whatever JSON it is; and no id or card number of it is stored, logged or answered."""
    kinds = [kind for processor, kind in SAMPLES if processor == name]
    body = sample(name, data.draw(st.sampled_from(kinds)))
    for _ in range(data.draw(st.integers(1, 3))):
        body = changed(body, data.draw(st.sampled_from(_paths(body))), data.draw(JSON | st.just(CARD)))
    if data.draw(st.booleans()):
        body = data.draw(JSON)
    receiver, said = Receiver(name), io.TextIOWrapper(io.BytesIO())
    try:
        webhook = signed(name, body)
    except (KeyError, TypeError, AttributeError, IndexError):
        return  # the processor's own signature has no place in such a body
    with contextlib.redirect_stderr(said):
        answer = receiver.send(webhook)
    assert 200 <= answer.status < 300 or 400 <= answer.status < 500
    said.seek(0)
    everything = b"".join(receiver.stream.entries).decode() + said.read() + answer.body.decode()
    for raw in (CARD, *(found for found in ID.findall(json.dumps(body)) if re.search("[A-Z].*[0-9]", found))):
        assert raw not in everything


def test_the_vocabulary_means_what_it_says() -> None:
    """Each type has the outcome that events of this type are read with, in tests as in earnest."""
    for event_type, kind in vocabulary.OUTCOMES.items():
        assert outcome_of(event_type, "", "").kind == kind
        assert outcome_of(event_type, "", "").classified
