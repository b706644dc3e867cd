"""Certificates for tests: an authority, and what it vouches for."""

import datetime as dt
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


class Certificates(NamedTuple):
    """Files in PEM.

    Attributes:
        authority: who vouches.
        certificate: for this machine, and for a client of it.
        key: of the certificate.
        other: another authority.
        other_key: of none of these.
    """

    authority: Path
    certificate: Path
    key: Path
    other: Path
    other_key: Path


def made_in(folder: Path) -> Certificates:
    """Make them."""
    files = Certificates(*(folder / f"{name}.pem" for name in Certificates._fields))
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    for file, own in ((files.authority, keys[0]), (files.other, keys[2])):
        file.write_bytes(_signed("authority", own, own, authority=True))
    files.certificate.write_bytes(_signed("127.0.0.1", keys[1], keys[0], authority=False))
    for file, key in ((files.key, keys[1]), (files.other_key, keys[2])):
        plain = serialization.NoEncryption()
        file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return files


def _signed(name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, *, authority: bool) -> bytes:
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
