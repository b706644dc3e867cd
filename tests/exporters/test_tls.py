"""Certificates of one's own: settings that mean the same for each exporter."""

import json
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import Certificates, made_in
from needs import module
from payflux.errors import ExportFailed, SettingsError
from payflux.event.outcome import OUTCOMES
from payflux.exporters import GroupExporter
from payflux.exporters.grouped import EXPORTERS, check_exporters, group_destination, settings, tls_of
from payflux.node.exporting import opening_of
from payflux.node.settings import load_settings
from payflux.settings import Values, load
from payflux.testing import make_event
from servers import until
from their_server import Answer, serving

LINE = json.dumps(make_event() | {"stream_message_id": "17-0", "seq": 1}, separators=(",", ":")).encode() + b"\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority that no system knows."""
    return made_in(tmp_path_factory.mktemp("certificates"))


def given(name: str, **environ: object) -> Values:
    """The settings of an exporter."""
    own = {f"PAYFLUX_EXPORT_{name.upper()}_{end}": str(value) for end, value in environ.items()}
    return load((OUTCOMES, *settings()), {EXPORTERS.name: name, **own})


def exporter(values: Values) -> GroupExporter:
    """The one that is named there."""
    (name,) = values[EXPORTERS] or ()
    return group_destination(name).make(opening_of(values, name, "one"))


@pytest.fixture
def url(files: Certificates) -> Iterator[str]:
    """A server that is vouched for by the authority, and wants to see a certificate of it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.authority))
    context.load_cert_chain(files.certificate, files.key)
    context.verify_mode = ssl.CERT_REQUIRED

    def take(*_: object) -> Answer:
        return 200, {}, b""

    with serving(take, context) as address:
        yield address


def test_a_webhook_trusts_and_shows_what_it_is_told(files: Certificates, url: str) -> None:
    """Without the authority it does not trust; without the certificate it is not trusted."""
    common = {"URL": url, "PRIVATE": "true", "TIMEOUT_SEC": "5"}
    with pytest.raises(ExportFailed, match="TLS failed") as caught:
        exporter(given("webhook", **common)).deliver([LINE])
    assert caught.value.code == "unreachable"
    with pytest.raises(ExportFailed):
        exporter(given("webhook", **common, TLS_CA=files.authority)).deliver([LINE])
    shown = {"TLS_CERT": files.certificate, "TLS_KEY": files.key}
    assert exporter(given("webhook", **common, TLS_CA=files.authority, **shown)).deliver([LINE]) == {}


def test_parquet_trusts_what_it_is_told(files: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that nobody vouches for is unreachable; one that is vouched for is heard."""
    for name in ("arro3", "obstore"):
        module(name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    with serving(lambda *_: (403, {}, b""), context) as url:
        for name, text in (("ENDPOINT_URL", url), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
            monkeypatch.setenv(f"AWS_{name}", text)
        reasons = []
        for own in ({}, {"TLS_CA": files.authority}):
            with pytest.raises(ExportFailed) as caught:
                exporter(given("parquet", URL="s3://bucket/folder", TIMEOUT_SEC="5", **own)).deliver([LINE])
            reasons.append(caught.value.code)
    assert reasons == ["unreachable", "denied"]


def test_kafka_trusts_what_it_is_told(files: Certificates) -> None:
    """Who is not vouched for is said; with who is, the handshake ends and Kafka's protocol begins."""
    module("confluent_kafka")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    with serving(lambda *_: (200, {}, b""), context) as url:

        def said(authority: Path) -> str:
            own = {"SERVERS": url.removeprefix("https://"), "TIMEOUT_SEC": "1", "TLS_CA": authority}
            sending = exporter(given("kafka", **own))
            with pytest.raises(ExportFailed) as caught:
                sending.deliver([LINE])
            sending.close()
            return f"{caught.value.code}: {caught.value}"

        until(lambda: re.match("denied: .*SSL handshake failed", said(files.other)), "the handshake to fail")
        assert "SSL" not in said(files.authority)


def test_what_cannot_be_used_is_refused_at_the_start(files: Certificates, tmp_path: Path) -> None:
    """With the variable: half of a pair, a key of another, and what a library cannot do."""
    places = {"webhook": "https://host/", "parquet": "/folder"}

    def problems(name: str, **own: object) -> list[str]:
        return list(check_exporters(given(name, URL=places[name], **own)))

    assert problems("webhook", TLS_CERT=files.certificate, TLS_KEY=files.key, TLS_CA=files.authority) == []
    (half,) = problems("webhook", TLS_KEY=files.key)
    assert half.startswith("PAYFLUX_EXPORT_WEBHOOK_TLS_CERT and PAYFLUX_EXPORT_WEBHOOK_TLS_KEY: expected both or none")
    (other,) = problems("webhook", TLS_CERT=files.certificate, TLS_KEY=files.other_key)
    assert "KEY_VALUES_MISMATCH" in other
    (unable,) = problems("parquet", TLS_CERT=files.certificate, TLS_KEY=files.key)
    assert "PAYFLUX_EXPORT_PARQUET_TLS_CERT: expected it to be unset" in unable
    (tmp_path / "text").write_text("no certificate")
    for file, why in (("missing", "No such file"), ("text", "a file in PEM")):
        with pytest.raises(Exception, match=why):
            given("webhook", TLS_CA=tmp_path / file)


def test_a_process_that_is_replaced_asks_for_no_file(files: Certificates, tmp_path: Path) -> None:
    """What a node was started with is used by its later processes, though a certificate is being replaced just then."""
    authority = tmp_path / "authority.pem"
    authority.write_bytes(Path(files.authority).read_bytes())
    own = {"EXPORTERS": "webhook", "EXPORT_WEBHOOK_URL": "https://host/", "EXPORT_WEBHOOK_TLS_CA": str(authority)}
    environ = {"PAYFLUX_API_KEY": "key", "PAYFLUX_CHECKOUT_ENABLED": "no"} | {
        f"PAYFLUX_{name}": text for name, text in own.items()
    }
    values = load_settings(environ=environ)
    for spoil in (lambda: authority.write_text("-----BEGIN half"), authority.unlink):
        spoil()
        with pytest.raises(SettingsError):
            load_settings(environ=environ)
        later = load_settings(environ=values.handed_on(), handed_on=True)
        assert tls_of(later, "webhook").authorities == str(authority)
