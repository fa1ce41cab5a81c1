"""Environments of TLS: versions, handshakes that fail, and client certificates."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import trustme

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
    tolerant,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import answer, hang_up, read_request, say, wait_for_end

_TLS12 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
_ASKS = "the server asks for a client certificate, and none is configured"


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


@environment(
    BROKEN,
    "client certificate that the server does not take",
    FAIL,
    r"the (?:TLS handshake failed|connection broke).*",
)
def _wrong_client(lab: Lab) -> Check:
    name, clients = lab.name(), trustme.CA()
    issued = trustme.CA().issue_cert("stranger@acme.example")
    pem = (issued.cert_chain_pems[0].bytes() + issued.private_key_pem.bytes()).decode()
    settings = ProbeSettings(ca_pem=lab.ca_pem, client_pem=pem)
    expect = tolerant(client_certificate="probe_certificate")
    return https(lab, OK_ANSWER, lab.tls(name, clients=clients), host=name, expect=expect, settings=settings)


add(
    BROKEN,
    "TLS handshake that hangs",
    FAIL,
    r"the TLS handshake did not end within 4 s; not reached: request",
    lambda lab: check(f"https://{lab.name()}:{lab.serve(wait_for_end)}/"),
    quick=True,
)
add(
    BROKEN,
    "no TLS on the port",
    FAIL,
    r"the TLS handshake failed \(.+\); not reached: request",
    lambda lab: check(f"https://{lab.name()}:{lab.serve(say(b'HTTP/1.1 400 Bad Request', then_wait=True))}/"),
)
add(
    BROKEN,
    "hangs up in the handshake",
    FAIL,
    r"the TLS handshake failed.*; not reached: request",
    lambda lab: check(f"https://{lab.name()}:{lab.serve(hang_up)}/"),
)

_UNTRUSTED = "clients with the usual authorities reject the certificate: "
for _versions, _rest in ((_TLS12, "; not reached: request"), (None, "(?:; the connection broke .+)?")):
    _version = "TLS 1.2" if _versions else "TLS 1.3"
    add(
        BROKEN,
        f"client certificate wanted, and the server's own is by an unknown authority, {_version}",
        WARN,
        rf"{_UNTRUSTED}its issuer is not a known authority; {_ASKS}{_rest}",
        lambda lab, versions=_versions: wanted(lab, authority=trustme.CA(), versions=versions),
        quick=True,
    )
    add(
        BROKEN,
        f"client certificate wanted, and the server's own chain lacks a link, {_version}",
        WARN,
        rf"{_UNTRUSTED}its issuer is not a known authority; {_ASKS}{_rest}",
        lambda lab, versions=_versions: wanted(
            lab, authority=lab.authority.create_child_ca(), without_chain=True, versions=versions
        ),
    )


def own_client(lab: Lab, pem: str) -> Check:
    """Return the check of a sound server that wants a client certificate, with what the connection has for one."""
    name = lab.name()
    settings = ProbeSettings(ca_pem=lab.ca_pem, client_pem=pem)
    expect = tolerant(client_certificate="probe_certificate")
    return https(lab, OK_ANSWER, lab.tls(name, clients=trustme.CA()), host=name, expect=expect, settings=settings)


def _mismatched() -> str:
    one, other = (trustme.CA().issue_cert("probe@acme.example") for _ in range(2))
    return (one.cert_chain_pems[0].bytes() + other.private_key_pem.bytes()).decode()


_NOT_USED = "the client certificate of the connection could not be used; not reached: request"
for _name, _pem in (
    ("that is no certificate", lambda: "not a certificate"),
    ("without a key", lambda: trustme.CA().issue_cert("probe@acme.example").cert_chain_pems[0].bytes().decode()),
    ("with the key of another", _mismatched),
):
    add(
        UNCHECKED,
        f"client certificate of ours {_name}",
        UNKNOWN,
        _NOT_USED,
        lambda lab, pem=_pem: own_client(lab, pem()),
        quick=_name == "with the key of another",
    )
add(
    HEALTHY,
    "client certificate that nobody asks for",
    OK,
    HTTPS_OK,
    lambda lab: https(
        lab,
        OK_ANSWER,
        expect=tolerant(client_certificate="probe_certificate"),
        settings=ProbeSettings(ca_pem=lab.ca_pem, client_pem=_own_pem()),
    ),
)
add(
    UNCHECKED,
    "authorities of ours that cannot be read",
    UNKNOWN,
    r"the authorities that the probe is to trust cannot be read; not reached: request",
    lambda lab: https(lab, OK_ANSWER, settings=ProbeSettings(ca_pem=_BROKEN_PEM)),
)
_BROKEN_PEM = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----"


def _own_pem() -> str:
    issued = trustme.CA().issue_cert("probe@acme.example")
    return (issued.cert_chain_pems[0].bytes() + issued.private_key_pem.bytes()).decode()
