"""Certificates for the demonstration's service, from an authority of its own that nobody trusts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_AGE = timedelta(days=90)


@dataclass(frozen=True)
class CertificateAuthority:
    """An authority made for one demonstration."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls) -> CertificateAuthority:
        """Return a new authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Demonstration authority")
        builder = _builder(name, name, key, timedelta(days=365))
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        return cls(key, builder.add_extension(constraints, critical=True).sign(key, hashes.SHA256()))

    def issue(self, common_name: str, address: str, *, valid_for: timedelta, into: Path) -> Path:
        """Write a certificate, its chain and its key to one PEM file, and return its path.

        :param address: an IP address that the certificate names beside ``common_name``.
        :param valid_for: from now; negative for a certificate that has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(common_name), x509.IPAddress(ip_address(address))]
        builder = _builder(_name(common_name), self.certificate.subject, key, valid_for)
        certificate = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
            self.key, hashes.SHA256()
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        into.write_bytes(private + certificate.public_bytes(pem) + self.certificate.public_bytes(pem))
        return into


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, valid_for: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _AGE)
        .not_valid_after(now + valid_for)
    )
