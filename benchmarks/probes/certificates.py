"""Environments of servers' certificates: keys, chains, names and times."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from airflow_incident_provider.probes import ProbeSettings
from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    HTTPS_OK,
    OK,
    OK_ANSWER,
    TIMES,
    WARN,
    Check,
    add,
    check,
    environment,
    https,
)
from benchmarks.probes.lab import DOMAIN, Lab
from benchmarks.probes.servers import answer

KEYS: dict[str, Callable[[], Any]] = {
    "ECDSA, P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECDSA, P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA, 1,024 bits": lambda: rsa.generate_private_key(65537, 1024),
}


def issue(  # noqa: PLR0917 - a certificate's parts, in their order
    subject: str,
    key: Any,
    issuer: str,
    issuer_key: Any,
    extensions: Sequence[x509.ExtensionType],
    days: float = 60,
    *,
    starts_in_days: float = -300,
) -> x509.Certificate:
    """Return a certificate that is signed by this issuer, whatever that is."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=starts_in_days))
        .not_valid_after(now + timedelta(days=days))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def pem_of(certificate: x509.Certificate) -> str:
    """Return a certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)


def context_of(lab: Lab, key: Any, chain: str) -> ssl.SSLContext:
    """Return the context of a server that shows these certificates, its own first."""
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = lab.folder / f"{uuid4().hex}.pem"
    pem.write_text(secret.decode() + chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(pem)
    return context


def made(
    lab: Lab,
    *extensions: x509.ExtensionType,
    key: str = "ECDSA, P-256",
    host: str | None = None,
    subject: str = "shop",
    intermediate_days: float | None = None,
) -> Check:
    """Return the check of a web server whose certificate is made by hand, by an authority that the probe trusts.

    :param extensions: of the certificate; by default the name of the host.
    :param intermediate_days: days until the authority between the two expires, if there is one.
    """
    name = host or lab.name()
    root_key, own_key = KEYS["ECDSA, P-256"](), KEYS[key]()
    root = issue("lab root", root_key, "lab root", root_key, [AUTHORITY])
    issuer, issuer_key, chain = "lab root", root_key, ""
    if intermediate_days is not None:
        issuer, issuer_key = "lab intermediate", KEYS["ECDSA, P-256"]()
        chain = pem_of(issue(issuer, issuer_key, "lab root", root_key, [AUTHORITY], intermediate_days))
    own = issue(subject, own_key, issuer, issuer_key, extensions or [names_of(name)])
    port = lab.serve(OK_ANSWER, tls=context_of(lab, own_key, pem_of(own) + chain))
    return check(f"https://{name}:{port}/", settings=ProbeSettings(ca_pem=pem_of(root)))


def names_of(*names: str) -> x509.SubjectAlternativeName:
    """Return the extension that a certificate has its names in."""
    return x509.SubjectAlternativeName([x509.DNSName(name) for name in names])


for _key in ("ECDSA, P-256", "ECDSA, P-521", "Ed25519"):
    add(HEALTHY, f"certificate with a key of {_key}", OK, HTTPS_OK, lambda lab, key=_key: made(lab, key=key))
add(
    BROKEN,
    "certificate with a key of RSA, 1,024 bits",
    WARN,
    r"clients with the usual authorities reject the certificate: its key is too weak",
    lambda lab: made(lab, key="RSA, 1,024 bits"),
)
add(HEALTHY, "wildcard in capitals", OK, HTTPS_OK, lambda lab: made(lab, names_of("*.LAB.TEST")))
add(
    BROKEN,
    "wildcard within a label",
    FAIL,
    r"certificate is for another name \(h\*\.lab\.test\), not .+",
    lambda lab: made(lab, names_of("h*.lab.test")),
)
add(
    BROKEN,
    "certificate with a common name only",
    FAIL,
    r"certificate is for another name \(no name\), not .+",
    lambda lab: made(lab, AUTHORITY, host=(name := lab.name()), subject=name),
)
add(
    BROKEN,
    "certificate for clients",
    FAIL,
    r"certificate rejected: it is not for servers",
    lambda lab: made(
        lab, names_of(name := lab.name()), x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), host=name
    ),
)
add(
    HEALTHY,
    "address, and a certificate with names and this address",
    OK,
    HTTPS_OK,
    lambda lab: made(
        lab,
        x509.SubjectAlternativeName([x509.DNSName("a.lab.test"), x509.IPAddress(ip_address(lab.address))]),
        host=lab.address,
    ),
)
add(
    BROKEN,
    "address that the certificate has as a name",
    FAIL,
    r"certificate has [0-9.]+ as a name and not as an address, which clients do not accept",
    lambda lab: made(lab, names_of(lab.address), host=lab.address),
    quick=True,
)
add(
    BROKEN,
    "address, and a certificate for a name",
    FAIL,
    r"certificate is for another name \(a\.lab\.test\), not [0-9.]+",
    lambda lab: made(lab, names_of("a.lab.test"), host=lab.address),
)
add(HEALTHY, "authority between that lives on", OK, HTTPS_OK, lambda lab: made(lab, intermediate_days=90))
add(
    BROKEN,
    "authority between that has expired",
    FAIL,
    r"a certificate in its chain has expired",
    lambda lab: made(lab, intermediate_days=-3),
)


@environment(
    BROKEN, "expired certificate", FAIL, r"certificate expired 2 days ago \(\d{4}-\d\d-\d\d, CN=.+\)", quick=True
)
def _expired(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, OK_ANSWER, lab.tls(name, days=-2.5), host=name)


@environment(
    BROKEN,
    "certificate that expires in six days",
    WARN,
    r"certificate expires in 6 days \(\d{4}-\d\d-\d\d, CN=.+\)",
    quick=True,
)
def _expiring(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, OK_ANSWER, lab.tls(name, days=6.5), host=name)


@environment(
    BROKEN,
    "certificate that is not valid yet",
    FAIL,
    r"certificate is not valid before \d{4}-\d\d-\d\d \d\d:\d\d UTC \(.+\)",
)
def _not_yet(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, OK_ANSWER, lab.tls(name, starts_in_days=2), host=name)


@environment(
    BROKEN,
    "certificate for another name",
    FAIL,
    rf"certificate is for another name \(other\.example\), not host-\d+\.{DOMAIN}",
    quick=True,
)
def _other_name(lab: Lab) -> Check:
    return https(lab, OK_ANSWER, lab.tls("other.example"))


@environment(
    BROKEN, "wildcard certificate two labels up", FAIL, rf"certificate is for another name \(\*\.{DOMAIN}\), not .+"
)
def _wildcard_too_far(lab: Lab) -> Check:
    name = f"deep.{lab.name()}"
    lab.zone[name] = lab.zone[name.partition(".")[2]]
    return https(lab, OK_ANSWER, lab.tls(f"*.{DOMAIN}"), host=name)


@environment(
    BROKEN,
    "certificate by an unknown authority",
    WARN,
    r"clients with the usual authorities reject the certificate: its issuer is not a known authority",
    quick=True,
)
def _unknown_authority(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, OK_ANSWER, lab.tls(name, authority=trustme.CA()), host=name)


@environment(
    BROKEN,
    "chain without its intermediate",
    WARN,
    r"clients with the usual authorities reject the certificate: its issuer is not a known authority",
)
def _incomplete_chain(lab: Lab) -> Check:
    name = lab.name()
    context = lab.tls(name, authority=lab.authority.create_child_ca(), without_chain=True)
    return https(lab, OK_ANSWER, context, host=name)


@environment(
    BROKEN,
    "certificate for another name and by an unknown authority",
    FAIL,
    r"certificate is for another name \(other\.example\), not [^;]+",
)
def _two_faults(lab: Lab) -> Check:
    return https(lab, OK_ANSWER, lab.tls("other.example", authority=trustme.CA()))


@environment(
    BROKEN, "503 with an expiring certificate", FAIL, rf"HTTP 503{TIMES}; certificate expires in 6 days \(.+\)"
)
def _both(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, answer("503 Service Unavailable"), lab.tls(name, days=6.5), host=name)
