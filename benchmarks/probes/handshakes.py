"""Environments of TLS: keys, chains, names and client certificates."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from airflow_incident_provider.probes import ProbeSettings
from benchmarks.probes.answers import only_http2
from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    HTTPS_OK,
    OK,
    OK_ANSWER,
    TIMES,
    UNCHECKED,
    UNKNOWN,
    WARN,
    Check,
    add,
    check,
    environment,
    https,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import answer, read_request, wait_for_end

_TLS12 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
_ASKS = "the server asks for a client certificate, and none is configured"
_KEYS: dict[str, Callable[[], Any]] = {
    "ECDSA, P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECDSA, P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA, 1,024 bits": lambda: rsa.generate_private_key(65537, 1024),
}


def _issue(  # noqa: PLR0917 - a certificate's parts, in their order
    subject: str, key: Any, issuer: str, issuer_key: Any, extensions: Sequence[x509.ExtensionType], days: float = 60
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=300))
        .not_valid_after(now + timedelta(days=days))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


_AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)


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
    root_key, own_key = _KEYS["ECDSA, P-256"](), _KEYS[key]()
    root = _issue("lab root", root_key, "lab root", root_key, [_AUTHORITY])
    issuer, issuer_key, chain = "lab root", root_key, ""
    if intermediate_days is not None:
        issuer, issuer_key = "lab intermediate", _KEYS["ECDSA, P-256"]()
        chain = _pem(_issue(issuer, issuer_key, "lab root", root_key, [_AUTHORITY], intermediate_days))
    own = _issue(subject, own_key, issuer, issuer_key, extensions or [_names(name)])
    secret = own_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = lab.folder / f"{uuid4().hex}.pem"
    pem.write_text(secret.decode() + _pem(own) + chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(pem)
    port = lab.serve(OK_ANSWER, tls=context)
    return check(f"https://{name}:{port}/", settings=ProbeSettings(ca_pem=_pem(root)))


def _names(*names: str) -> x509.SubjectAlternativeName:
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
add(HEALTHY, "wildcard in capitals", OK, HTTPS_OK, lambda lab: made(lab, _names("*.LAB.TEST")))
add(
    BROKEN,
    "wildcard within a label",
    FAIL,
    r"certificate is for another name \(h\*\.lab\.test\), not .+",
    lambda lab: made(lab, _names("h*.lab.test")),
)
add(
    BROKEN,
    "certificate with a common name only",
    FAIL,
    r"certificate is for another name \(no name\), not .+",
    lambda lab: made(lab, _AUTHORITY, host=(name := lab.name()), subject=name),
)
add(
    BROKEN,
    "certificate for clients",
    FAIL,
    r"certificate rejected: it is not for servers",
    lambda lab: made(
        lab, _names(name := lab.name()), x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), host=name
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
    lambda lab: made(lab, _names(lab.address), host=lab.address),
    quick=True,
)
add(
    BROKEN,
    "address, and a certificate for a name",
    FAIL,
    r"certificate is for another name \(a\.lab\.test\), not [0-9.]+",
    lambda lab: made(lab, _names("a.lab.test"), host=lab.address),
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
    BROKEN,
    "server that knows no TLS newer than 1.0",
    FAIL,
    r"the TLS handshake failed \(.+\); not reached: request",
)
def _tls10(lab: Lab) -> Check:
    name = lab.name()
    context = lab.tls(name)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    return https(lab, OK_ANSWER, context, host=name)


@environment(BROKEN, "server that refuses the name", FAIL, r"the TLS handshake failed \(.+\); not reached: request")
def _refused_name(lab: Lab) -> Check:
    context = lab.tls("other.example")
    context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME  # type: ignore[assignment]
    return https(lab, OK_ANSWER, context)


@environment(
    BROKEN, "HTTP where a server wants TLS", FAIL, r"the (?:connection broke|server closed|answer is not) .+"
)
def _plain_to_tls(lab: Lab) -> Check:
    name = lab.name()
    return check(f"http://{name}:{lab.serve(OK_ANSWER, tls=lab.tls(name))}/")


@environment(HEALTHY, "HTTP/2 only, with TLS", OK, HTTPS_OK)
def _http2(lab: Lab) -> Check:
    name = lab.name()
    context = lab.tls(name)
    context.set_alpn_protocols(["h2"])
    return https(lab, only_http2, context, host=name)


@environment(HEALTHY, "connection that ends without ending TLS", OK, HTTPS_OK, quick=True)
def _without_goodbye(lab: Lab) -> Check:
    name = lab.name()
    context = lab.tls(name)

    def script(connection: socket.socket) -> None:
        encrypted = context.wrap_socket(connection, server_side=True)
        read_request(encrypted)
        encrypted.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall is well")
        with socket.socket(fileno=encrypted.detach()) as bare:
            bare.shutdown(socket.SHUT_RDWR)

    return check(f"https://{name}:{lab.serve(script)}/")


@environment(
    BROKEN,
    "old certificate of a server whose clock is five days slow",
    WARN,
    r"certificate is valid by the server's clock only, 5 days from ours \(.+\)",
)
def _slow_clock(lab: Lab) -> Check:
    name = lab.name()
    then = format_datetime(datetime.now(UTC) - timedelta(days=5), usegmt=True)
    return https(lab, answer("200 OK", Date=then), lab.tls(name, days=-3), host=name)


# --- client certificates --------------------------------------------------------------------------------


def wanted(
    lab: Lab, script: Any = OK_ANSWER, *, optional: bool = False, names: str = "", **certificate: Any
) -> Check:
    """Return the check of a server that asks for a client certificate; ``optional`` ends no handshake."""
    name = lab.name()
    context = lab.tls(names or name, clients=trustme.CA(), **certificate)
    context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
    return https(lab, script, context, host=name)


for _status in ("400 No required SSL certificate was sent", "403 Forbidden", "401 Unauthorized"):
    add(
        UNCHECKED,
        f"client certificate wanted, and {_status[:3]} without one",
        UNKNOWN,
        f"HTTP {_status[:3]}{TIMES}; {_ASKS}",
        lambda lab, status=_status: wanted(lab, answer(status), optional=True),
        quick=_status.startswith("400"),
    )
add(
    HEALTHY,
    "client certificate that is welcome, not needed",
    OK,
    HTTPS_OK,
    lambda lab: wanted(lab, OK_ANSWER, optional=True),
)
add(
    BROKEN,
    "client certificate that is welcome, and 503",
    FAIL,
    f"HTTP 503{TIMES}",
    lambda lab: wanted(lab, answer("503 Service Unavailable"), optional=True),
)
add(
    BROKEN,
    "client certificate that is welcome, and no answer",
    FAIL,
    rf"no answer within 10 s; {_ASKS}",
    lambda lab: wanted(lab, wait_for_end, optional=True),
)
add(
    UNCHECKED,
    "client certificate that is welcome, and the end of the connection",
    UNKNOWN,
    rf"{_ASKS}; the server closed the connection without an answer",
    lambda lab: wanted(lab, lambda connection: read_request(connection) and None, optional=True),
)
for _versions, _rest in ((_TLS12, "; not reached: request"), (None, "(?:; the connection broke .+)?")):
    _version = "TLS 1.2" if _versions else "TLS 1.3"
    add(
        BROKEN,
        f"client certificate wanted, and the server's own has expired, {_version}",
        FAIL,
        rf"certificate expired 3 days ago \(.+\); {_ASKS}{_rest}",
        lambda lab, versions=_versions: wanted(lab, days=-3.5, versions=versions),
        quick=bool(_versions),
    )
    add(
        BROKEN,
        f"client certificate wanted, and the server's own is for another name, {_version}",
        FAIL,
        rf"certificate is for another name \(other\.example\), not [^;]+; {_ASKS}{_rest}",
        lambda lab, versions=_versions: wanted(lab, names="other.example", versions=versions),
    )
add(
    BROKEN,
    "client certificate wanted, and the server's own ends soon, TLS 1.2",
    WARN,
    rf"certificate expires in 5 days \(.+\); {_ASKS}; not reached: request",
    lambda lab: wanted(lab, days=5.5, versions=_TLS12),
)
add(
    UNCHECKED,
    "client certificate wanted by a server of TLS 1.2 with a long chain",
    UNKNOWN,
    rf"{_ASKS}; certificate valid until [^;]+; not reached: request",
    lambda lab: wanted(lab, authority=lab.authority.create_child_ca(), versions=_TLS12),
)
